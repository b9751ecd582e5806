//go:build !amd64 && !arm64

package kernel

// Processors without assembly run the plain routines.

func mulTiles(c, a Mat, b *Packed, accumulate, _ bool)  { mulGeneric(c, a, b, accumulate) }
func mulTilesBF16(c, a Mat, b *Packed, accumulate bool) { mulGenericBF16(c, a, b, accumulate) }

func mulEach(c, a Mat, b, _ []*Packed) { mulEachGeneric(c, a, b) }

const scratchWords = 0

func addTransATiles(c, a, b Mat, _ *Scratch, bf16, _ bool) {
	if bf16 {
		addTransAGenericBF16(c, a, b)
		return
	}
	addTransAGeneric(c, a, b)
}

func packRows(dst []uint32, m Mat, bf16 bool) { packRowsGeneric(dst, m, bf16) }
func packCols(dst []uint32, m Mat, bf16 bool) { packColsGeneric(dst, m, bf16) }

func axpy(dst []float32, a float32, x []float32) { axpyGeneric(dst, a, x) }
func scale(x []float32, a float32)               { scaleGeneric(x, a) }
func dot(a, b []float32) float32                 { return dotGeneric(a, b) }
func dot3(a, b, c []float32) float32             { return dot3Generic(a, b, c) }
func maxOf(x []float32) float32                  { return maxGeneric(x) }

func expAffine(dst, x []float32, scale, shift, post float32) {
	expAffineGeneric(dst, x, scale, shift, post)
}

func expSum(dst, x []float32, scale, shift float32) float32 {
	return expSumGeneric(dst, x, scale, shift)
}

func softmaxRow(dst, x []float32, scale float32) (m, sum float32) {
	return softmaxGeneric(dst, x, scale)
}

func softmaxBackward(dp, p []float32, d, scale float32) { softmaxBackwardGeneric(dp, p, d, scale) }
func mulScaled(y, x, w []float32, r float32)            { mulScaledGeneric(y, x, w, r) }
func mulAddScaled(dst, a, b []float32, r float32)       { mulAddScaledGeneric(dst, a, b, r) }
func normBackward(dx, dy, x, w []float32, r, k float32) { normBackwardGeneric(dx, dy, x, w, r, k) }
func swiGLU(h, g, u []float32)                          { swiGLUGeneric(h, g, u) }
func swiGLUBackward(dg, du, dh, g, u []float32)         { swiGLUBackwardGeneric(dg, du, dh, g, u) }
func adamW(p, m, v, g []float32, k *adamConst)          { adamWGeneric(p, m, v, g, k) }
func toBF16(dst []uint16, src []float32)                { toBF16Generic(dst, src) }
func fromBF16(dst []float32, src []uint16)              { fromBF16Generic(dst, src) }

func rope(x []float32, half int, cos, sin []float32, sign float32) {
	ropeGeneric(x, half, cos, sin, sign)
}

func peakRound(iters int, _ Numerics) float64 { return peakGeneric(iters) }
