package kernel

// Axpy adds a·x to dst.
func Axpy(dst []float32, a float32, x []float32) {
	want(len(dst) == len(x), "Axpy of slices of different length")
	axpy(dst, a, x)
}

// Scale multiplies x by a.
func Scale(x []float32, a float32) { scale(x, a) }

// Dot returns Σ a·b in the 16 lanes of the package.
func Dot(a, b []float32) float32 {
	want(len(a) == len(b), "Dot of slices of different length")
	return dot(a, b)
}

// sumChunk is how many elements SumSquares adds in float32 before it goes on in float64.
const sumChunk = 1024

// SumSquares returns Σ x². It adds chunks of 1024 elements in float32 and the chunks in float64, so that it is accurate on
// whole models.
func SumSquares(x []float32) float64 {
	var s float64
	for len(x) > sumChunk {
		s += float64(Dot(x[:sumChunk], x[:sumChunk]))
		x = x[sumChunk:]
	}
	return s + float64(Dot(x, x))
}

// Max returns the largest element of x, minus infinity if there is none.
func Max(x []float32) float32 { return maxOf(x) }

// RowDots computes dst[i] = a.Row(i)·b.Row(i).
func RowDots(dst []float32, a, b Mat) {
	a.check("a")
	b.check("b")
	want(len(dst) == a.Rows && a.Rows == b.Rows && a.Cols == b.Cols, "RowDots of sizes that do not fit")
	for i := range a.Rows {
		dst[i] = Dot(a.Row(i), b.Row(i))
	}
}

// Exp computes dst = exp(x); dst may be x. The result is within 2 units in the last place, 0 and +Inf where it must be.
func Exp(dst, x []float32) {
	want(len(dst) == len(x), "Exp of slices of different length")
	expAffine(dst, x, 1, 0, 1)
}
