package kernel

import "unsafe"

// The functions of this file run a routine in the variant in use. Each is a switch and not a table of functions, since
// arguments to an unknown function would move to the heap.

func at(x []float32) *float32 { return unsafe.SliceData(x) }

func axpy(dst []float32, a float32, x []float32) {
	switch variant {
	case avx512:
		axpyZ(at(dst), at(x), len(x), a)
	case avx2:
		axpyY(at(dst), at(x), len(x), a)
	default:
		axpyGeneric(dst, a, x)
	}
}

func scale(x []float32, a float32) {
	switch variant {
	case avx512:
		scaleZ(at(x), len(x), a)
	case avx2:
		scaleY(at(x), len(x), a)
	default:
		scaleGeneric(x, a)
	}
}

func dot(a, b []float32) float32 {
	switch variant {
	case avx512:
		return dotZ(at(a), at(b), len(a))
	case avx2:
		return dotY(at(a), at(b), len(a))
	}
	return dotGeneric(a, b)
}

func dot3(a, b, c []float32) float32 {
	switch variant {
	case avx512:
		return dot3Z(at(a), at(b), at(c), len(a))
	case avx2:
		return dot3Y(at(a), at(b), at(c), len(a))
	}
	return dot3Generic(a, b, c)
}

func maxOf(x []float32) float32 {
	switch variant {
	case avx512:
		return maxZ(at(x), len(x))
	case avx2:
		return maxY(at(x), len(x))
	}
	return maxGeneric(x)
}

func expAffine(dst, x []float32, scale, shift, post float32) {
	switch variant {
	case avx512:
		expAffineZ(at(dst), at(x), len(x), scale, shift, post)
	case avx2:
		expAffineY(at(dst), at(x), len(x), scale, shift, post)
	default:
		expAffineGeneric(dst, x, scale, shift, post)
	}
}

func expSum(dst, x []float32, scale, shift float32) float32 {
	switch {
	case variant == avx512 && dst == nil:
		return sumExpZ(at(x), len(x), scale, shift)
	case variant == avx512:
		return expSumZ(at(dst), at(x), len(x), scale, shift)
	case variant == avx2 && dst == nil:
		return sumExpY(at(x), len(x), scale, shift)
	case variant == avx2:
		return expSumY(at(dst), at(x), len(x), scale, shift)
	}
	return expSumGeneric(dst, x, scale, shift)
}

func softmaxRow(dst, x []float32, scale float32) (m, sum float32) {
	var stats [2]float32
	switch variant {
	case avx512:
		softmaxZ(at(dst), at(x), len(x), scale, &stats[0])
	case avx2:
		softmaxY(at(dst), at(x), len(x), scale, &stats[0])
	default:
		return softmaxGeneric(dst, x, scale)
	}
	return stats[0], stats[1]
}

func softmaxBackward(dp, p []float32, d, scale float32) {
	switch variant {
	case avx512:
		softmaxBackwardZ(at(dp), at(p), len(p), d, scale)
	case avx2:
		softmaxBackwardY(at(dp), at(p), len(p), d, scale)
	default:
		softmaxBackwardGeneric(dp, p, d, scale)
	}
}

func mulScaled(y, x, w []float32, r float32) {
	switch variant {
	case avx512:
		mulScaledZ(at(y), at(x), at(w), len(x), r)
	case avx2:
		mulScaledY(at(y), at(x), at(w), len(x), r)
	default:
		mulScaledGeneric(y, x, w, r)
	}
}

func mulAddScaled(dst, a, b []float32, r float32) {
	switch variant {
	case avx512:
		mulAddScaledZ(at(dst), at(a), at(b), len(a), r)
	case avx2:
		mulAddScaledY(at(dst), at(a), at(b), len(a), r)
	default:
		mulAddScaledGeneric(dst, a, b, r)
	}
}

func normBackward(dx, dy, x, w []float32, r, k float32) {
	switch variant {
	case avx512:
		normBackwardZ(at(dx), at(dy), at(x), at(w), len(x), r, k)
	case avx2:
		normBackwardY(at(dx), at(dy), at(x), at(w), len(x), r, k)
	default:
		normBackwardGeneric(dx, dy, x, w, r, k)
	}
}

func swiGLU(h, g, u []float32) {
	switch variant {
	case avx512:
		swiGLUZ(at(h), at(g), at(u), len(g))
	case avx2:
		swiGLUY(at(h), at(g), at(u), len(g))
	default:
		swiGLUGeneric(h, g, u)
	}
}

func swiGLUBackward(dg, du, dh, g, u []float32) {
	switch variant {
	case avx512:
		swiGLUBackwardZ(at(dg), at(du), at(dh), at(g), at(u), len(g))
	case avx2:
		swiGLUBackwardY(at(dg), at(du), at(dh), at(g), at(u), len(g))
	default:
		swiGLUBackwardGeneric(dg, du, dh, g, u)
	}
}

func rope(x []float32, half int, cos, sin []float32, sign float32) {
	switch variant {
	case avx512:
		ropeZ(at(x), half, len(x)/(2*half), at(cos), at(sin), sign)
	case avx2:
		ropeY(at(x), half, len(x)/(2*half), at(cos), at(sin), sign)
	default:
		ropeGeneric(x, half, cos, sin, sign)
	}
}

func adamW(p, m, v, g []float32, k *adamConst) {
	switch variant {
	case avx512:
		adamWZ(at(p), at(m), at(v), at(g), len(p), k)
	case avx2:
		adamWY(at(p), at(m), at(v), at(g), len(p), k)
	default:
		adamWGeneric(p, m, v, g, k)
	}
}

// toBF16 and fromBF16 leave what does not fill 16 lanes to the plain routine.
func toBF16(dst []uint16, src []float32) {
	n := 0
	switch variant {
	case avx512:
		n = len(src) &^ 15
		toBF16Z(unsafe.SliceData(dst), at(src), n)
	case avx2:
		n = len(src) &^ 15
		toBF16Y(unsafe.SliceData(dst), at(src), n)
	}
	toBF16Generic(dst[n:], src[n:])
}

func fromBF16(dst []float32, src []uint16) {
	n := 0
	switch variant {
	case avx512:
		n = len(src) &^ 15
		fromBF16Z(at(dst), unsafe.SliceData(src), n)
	case avx2:
		n = len(src) &^ 15
		fromBF16Y(at(dst), unsafe.SliceData(src), n)
	}
	fromBF16Generic(dst[n:], src[n:])
}

// peakRound runs the register-only loop and returns the number of floating point operations.
func peakRound(iters int, num Numerics) float64 {
	switch {
	case num == AMX:
		return peakTiles(iters / 16)
	case variant == avx512 && num == BF16:
		peakBF16Z(iters)
		return float64(iters) * 24 * 64
	case variant == avx512:
		peakZ(iters)
		return float64(iters) * 24 * 32
	case variant == avx2:
		peakY(iters)
		return float64(iters) * 12 * 16
	}
	return peakGeneric(iters)
}
