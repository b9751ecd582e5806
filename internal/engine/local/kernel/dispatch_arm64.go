package kernel

import "unsafe"

// The functions of this file run a routine in the variant in use.

func at(x []float32) *float32 { return unsafe.SliceData(x) }

func axpy(dst []float32, a float32, x []float32) {
	if variant == generic {
		axpyGeneric(dst, a, x)
		return
	}
	axpyN(at(dst), at(x), len(x), a)
}

func scale(x []float32, a float32) {
	if variant == generic {
		scaleGeneric(x, a)
		return
	}
	scaleN(at(x), len(x), a)
}

func dot(a, b []float32) float32 {
	if variant == generic {
		return dotGeneric(a, b)
	}
	return dotN(at(a), at(b), len(a))
}

func dot3(a, b, c []float32) float32 {
	if variant == generic {
		return dot3Generic(a, b, c)
	}
	return dot3N(at(a), at(b), at(c), len(a))
}

func maxOf(x []float32) float32 {
	if variant == generic {
		return maxGeneric(x)
	}
	return maxN(at(x), len(x))
}

func expAffine(dst, x []float32, scale, shift, post float32) {
	if variant == generic {
		expAffineGeneric(dst, x, scale, shift, post)
		return
	}
	expAffineN(at(dst), at(x), len(x), scale, shift, post)
}

func expSum(dst, x []float32, scale, shift float32) float32 {
	switch {
	case variant == generic:
		return expSumGeneric(dst, x, scale, shift)
	case dst == nil:
		return sumExpN(at(x), len(x), scale, shift)
	}
	return expSumN(at(dst), at(x), len(x), scale, shift)
}

func softmaxRow(dst, x []float32, scale float32) (m, sum float32) {
	if variant == generic {
		return softmaxGeneric(dst, x, scale)
	}
	var stats [2]float32
	softmaxN(at(dst), at(x), len(x), scale, &stats[0])
	return stats[0], stats[1]
}

func softmaxBackward(dp, p []float32, d, scale float32) {
	if variant == generic {
		softmaxBackwardGeneric(dp, p, d, scale)
		return
	}
	softmaxBackwardN(at(dp), at(p), len(p), d, scale)
}

func mulScaled(y, x, w []float32, r float32) {
	if variant == generic {
		mulScaledGeneric(y, x, w, r)
		return
	}
	mulScaledN(at(y), at(x), at(w), len(x), r)
}

func mulAddScaled(dst, a, b []float32, r float32) {
	if variant == generic {
		mulAddScaledGeneric(dst, a, b, r)
		return
	}
	mulAddScaledN(at(dst), at(a), at(b), len(a), r)
}

func normBackward(dx, dy, x, w []float32, r, k float32) {
	if variant == generic {
		normBackwardGeneric(dx, dy, x, w, r, k)
		return
	}
	normBackwardN(at(dx), at(dy), at(x), at(w), len(x), r, k)
}

func swiGLU(h, g, u []float32) {
	if variant == generic {
		swiGLUGeneric(h, g, u)
		return
	}
	swiGLUN(at(h), at(g), at(u), len(g))
}

func swiGLUBackward(dg, du, dh, g, u []float32) {
	if variant == generic {
		swiGLUBackwardGeneric(dg, du, dh, g, u)
		return
	}
	swiGLUBackwardN(at(dg), at(du), at(dh), at(g), at(u), len(g))
}

func rope(x []float32, half int, cos, sin []float32, sign float32) {
	if variant == generic {
		ropeGeneric(x, half, cos, sin, sign)
		return
	}
	ropeN(at(x), half, len(x)/(2*half), at(cos), at(sin), sign)
}

func adamW(p, m, v, g []float32, k *adamConst) {
	if variant == generic {
		adamWGeneric(p, m, v, g, k)
		return
	}
	adamWN(at(p), at(m), at(v), at(g), len(p), k)
}

// toBF16 and fromBF16 leave what does not fill 16 lanes to the plain routine.
func toBF16(dst []uint16, src []float32) {
	n := 0
	if variant != generic {
		n = len(src) &^ 15
		toBF16N(unsafe.SliceData(dst), at(src), n)
	}
	toBF16Generic(dst[n:], src[n:])
}

func fromBF16(dst []float32, src []uint16) {
	n := 0
	if variant != generic {
		n = len(src) &^ 15
		fromBF16N(at(dst), unsafe.SliceData(src), n)
	}
	fromBF16Generic(dst[n:], src[n:])
}

// peakRound runs the register-only loop and returns the number of floating point operations.
func peakRound(iters int, _ Numerics) float64 {
	if variant == generic {
		return peakGeneric(iters)
	}
	peakN(iters)
	return float64(iters) * 24 * 8
}
