package engine

import (
	"errors"
	"fmt"
	"slices"
)

// Capabilities are what an engine can do. What is missing is an error before a run starts, never a silent substitute.
type Capabilities struct {
	Precisions  []Precision
	Losses      []Loss
	Optimizers  []Optimizer
	FullWeights bool
	LoRA        bool
	MaxRank     int // of an adapter; 0 is any
	// Continue is whether an adapter that was trained elsewhere can be trained on.
	Continue bool
	// Fresh is whether models of fresh weights can be made (see Initializer).
	Fresh bool
	// BetweenSteps is whether a model can be asked and changed between two updates, which RL needs.
	BetweenSteps bool
	// Latent is whether a model's residual stream can be read, perturbed and given losses: its models are StateReaders.
	Latent bool
}

// Needs are what a training asks of an engine.
type Needs struct {
	Settings     Settings
	Loss         Loss // "" means CrossEntropy
	Optimizer    Optimizer
	Fresh        bool
	BetweenSteps bool
	Latent       bool

	// What follows matters where an engine was looked at (see Remote).
	Optim     OptimParams // settings of the updates; LearningRate is the peak
	Sequences int         // samples of a batch, 0 where it varies
	Resume    bool        // a killed training goes on from a saved state
	OldModels bool        // checkpoints are asked after training has gone on
	Scores    bool        // given continuations are scored
	Stacked   bool        // what the engine itself has trained is trained further, with other weights than those of its adapter
}

// Check returns an error for all that n needs and an engine called name lacks; it wraps ErrUnsupported.
func (c Capabilities) Check(name string, n Needs) error {
	var errs []error
	lacks := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w: engine %s", fmt.Sprintf(format, args...), ErrUnsupported, name))
	}
	precision, loss := n.Settings.Precision, n.Loss
	if precision == "" {
		precision = F32
	}
	if loss == "" {
		loss = CrossEntropy
	}
	if !slices.Contains(c.Precisions, precision) {
		lacks("precision %s", precision)
	}
	if !slices.Contains(c.Losses, loss) {
		lacks("loss %s", loss)
	}
	if n.Optimizer != "" && !slices.Contains(c.Optimizers, n.Optimizer) {
		lacks("optimizer %s", n.Optimizer)
	}
	switch rank := n.Settings.LoRA.Rank; {
	case rank == 0 && !c.FullWeights:
		lacks("training of full weights")
	case rank > 0 && !c.LoRA:
		lacks("training of an adapter")
	case rank > 0 && c.MaxRank > 0 && rank > c.MaxRank:
		lacks("an adapter of rank %d, more than %d", rank, c.MaxRank)
	}
	if n.Settings.Continue && !c.Continue {
		lacks("training on from an adapter")
	}
	if n.Fresh && !c.Fresh {
		lacks("training from fresh weights")
	}
	if n.BetweenSteps && !c.BetweenSteps {
		lacks("a look at the model between updates")
	}
	if n.Latent && !c.Latent {
		lacks("a way into the residual stream")
	}
	return errors.Join(errs...)
}
