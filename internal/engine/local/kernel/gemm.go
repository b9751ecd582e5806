package kernel

import "fmt"

// Mul computes C = A·B, or C += A·B with accumulate: A is (M,K), B packed (K,N), C (M,N).
//
// C may be narrower than B and A than B is deep: then the leading columns and rows of B are used. So the causal half of an
// attention block is one call on a shared Packed. C must not overlap A.
//
// Each element is one chain of fused multiply-adds over k = 0, 1, … that starts at zero, or at C's value with accumulate.
// K = 0 gives zeros, or leaves C as it is.
func Mul(c, a Mat, b *Packed, accumulate bool) {
	c.check("C")
	a.check("A")
	if c.Rows != a.Rows || c.Cols > b.n || a.Cols > b.k {
		panic(fmt.Sprintf("kernel: C %d × %d = A %d × %d · B %d × %d", c.Rows, c.Cols, a.Rows, a.Cols, b.k, b.n))
	}
	if c.Rows == 0 || c.Cols == 0 {
		return
	}
	if a.Cols == 0 {
		if !accumulate {
			c.Zero()
		}
		return
	}
	switch {
	case b.num == AMX:
		mulChains(c, a, b, accumulate)
	case variant != generic && b.num == F32:
		mulTiles(c, a, b, accumulate, false)
	case variant != generic:
		mulTilesBF16(c, a, b, accumulate)
	case b.num == BF16:
		mulGenericBF16(c, a, b, accumulate)
	default:
		mulGeneric(c, a, b, accumulate)
	}
}

// MulEach computes C.Row(i) = A.Row(i)·b[i]: a product of its own for every row, of matrices in float32, or of
// numerics AMX, that are equally deep. Several may be the same. In attention each head is a row, and the keys or the values of its past are the matrix.
//
// As in Mul, C may be narrower than the b and A than they are deep, and the bits are those of Mul.
//
// next, unless it is nil, are as many matrices that are read soon: as much of their front as of the b is asked for on the
// way, so that it is near by then. All sequences' pasts together are larger than the near caches, each is read once for a
// token, and their way from memory is what takes the time.
func MulEach(c, a Mat, b, next []*Packed) {
	c.check("C")
	a.check("A")
	if next == nil {
		next = b
	}
	want(c.Rows == a.Rows && len(b) == a.Rows && len(next) == a.Rows, "MulEach of sizes that do not fit")
	for _, p := range b {
		want(p.num != BF16 && p.num == b[0].num && p.k == b[0].k, "MulEach of matrices that differ")
		want(c.Cols <= p.n && a.Cols <= p.k, "MulEach of sizes that do not fit")
	}
	if c.Rows == 0 || c.Cols == 0 {
		return
	}
	if a.Cols == 0 {
		c.Zero()
		return
	}
	switch {
	case b[0].num == AMX:
		mulEachChains(c, a, b, next)
	case variant == generic:
		mulEachGeneric(c, a, b)
	default:
		mulEach(c, a, b, next)
	}
}

// MulLower is Mul where C = A·B belongs to a symmetric matrix and only its lower triangle is wanted: C (M,N) holds M of its
// rows up to the last one's diagonal, so the diagonal ends in C's last element. A row is computed up to the end of the diagonal
// in its strip, one of the least number of equal strips of at most 12 rows; what is right of that stays as it is. B is in
// float32.
func MulLower(c, a Mat, b *Packed, accumulate bool) {
	c.check("C")
	a.check("A")
	if c.Rows != a.Rows || c.Cols > b.n || a.Cols > b.k || c.Rows > c.Cols || b.num != F32 {
		panic(fmt.Sprintf("kernel: lower C %d × %d = A %d × %d · B %d × %d in %v", c.Rows, c.Cols, a.Rows, a.Cols, b.k, b.n, b.num))
	}
	if variant != generic && c.Rows > 0 && a.Cols > 0 {
		mulTiles(c, a, b, accumulate, true)
		return
	}
	n := strips(c.Rows)
	for i := range n {
		r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
		Mul(c.View(r0, r1, 0, c.Cols-c.Rows+r1), a.RowsOf(r0, r1), b, accumulate)
	}
}

// stripRows is the height of the largest tile.
const stripRows = 12

// strips splits n rows into strips of nearly equal height and returns how many.
func strips(n int) int { return (n + stripRows - 1) / stripRows }

// stripHeight returns the height of all strips over n rows but the last, where they are counted from the front.
func stripHeight(n int) int { return (n + strips(n) - 1) / max(1, strips(n)) }

// stripAt returns the first row of strip i of count over n rows.
func stripAt(i, count, n int) int { return i * n / count }

// A Scratch is the working memory of AddTransA. Its zero value is ready; it grows to a fixed size at first use, or in Reserve,
// and serves one goroutine at a time.
type Scratch struct {
	buf []uint32
}

// Reserve takes the memory.
func (s *Scratch) Reserve() {
	if s.buf == nil {
		s.buf = alignedWords(scratchWords)
	}
}

// AddTransA computes C += Aᵀ·B: A is (T,M), B (T,N), C (M,N). It is the gradient of a weight matrix W (out,in): C = dW,
// A = dy, B = x, over T tokens. In float32 each element is one chain of fused multiply-adds over t in rising order from C's
// value; in the other numerics both factors are rounded to bfloat16, and t takes the place of k in their definition.
func AddTransA(c, a, b Mat, s *Scratch, num Numerics) {
	c.check("C")
	a.check("A")
	b.check("B")
	if a.Rows != b.Rows || c.Rows != a.Cols || c.Cols != b.Cols {
		panic(fmt.Sprintf("kernel: C %d × %d += Aᵀ (A %d × %d) · B %d × %d", c.Rows, c.Cols, a.Rows, a.Cols, b.Rows, b.Cols))
	}
	if c.Rows == 0 || c.Cols == 0 || a.Rows == 0 {
		return
	}
	switch {
	case num == AMX:
		addTransAChains(c, a, b, s)
	case variant != generic:
		addTransATiles(c, a, b, s, num == BF16, false)
	case num == BF16:
		addTransAGenericBF16(c, a, b)
	default:
		addTransAGeneric(c, a, b)
	}
}

// AddTransALower computes C += Aᵀ·A where only the lower triangle is wanted. A row is computed up to the end of the diagonal in
// its strip, as in MulLower, but here all strips but the last are of the same height.
func AddTransALower(c, a Mat, s *Scratch) {
	c.check("C")
	a.check("A")
	if c.Rows != a.Cols || c.Cols != a.Cols {
		panic(fmt.Sprintf("kernel: lower C %d × %d += Aᵀ·A (A %d × %d)", c.Rows, c.Cols, a.Rows, a.Cols))
	}
	if variant != generic && c.Rows > 0 && a.Rows > 0 {
		addTransATiles(c, a, a, s, false, true)
		return
	}
	height := stripHeight(c.Rows)
	for i := 0; i < c.Rows; i += height {
		end := min(i+height, c.Rows)
		addTransAGeneric(c.View(i, end, 0, end), a.ColsOf(i, end), a.ColsOf(0, end))
	}
}
