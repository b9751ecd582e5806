package llama

import (
	"context"
	"math"
)

// Channels adds the magnitudes of the feed-forward channels of a chunk: into[i][l] takes F sums, over the tokens of the chunk's datum i behind
// block l. Every token of the chunk carries a weight.
func (n *Net) Channels(ctx context.Context, w *Workspace, ch Chunk, into [][][]float64) error {
	if err := n.forward(ctx, w, ch); err != nil {
		return err
	}
	for l := range w.layers {
		h := w.layers[l].h
		for row := range w.rows { // all tokens, in order
			sums := into[w.lossAt[row].datum][l]
			for f, v := range h.Row(row) {
				sums[f] += math.Abs(float64(v))
			}
		}
	}
	return nil
}
