package kernel

import "math"

// The conversions float32(x*y) below keep the compiler from fusing a product with a sum where the definition rounds twice:
// it would do so on arm64.

// lanes is a sum over a row under way: element i of the row belongs to lane i mod 16.
type lanes [16]float32

// fold adds the lanes up in halves.
func (l *lanes) fold() float32 {
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			l[i] += l[i+n]
		}
	}
	return l[0]
}

func axpyGeneric(dst []float32, a float32, x []float32) {
	for i, v := range x {
		dst[i] = fma32(a, v, dst[i])
	}
}

func scaleGeneric(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func dotGeneric(a, b []float32) float32 {
	var l lanes
	for i, x := range a {
		l[i%16] = fma32(x, b[i], l[i%16])
	}
	return l.fold()
}

// dot3Generic returns Σ (a·b)·c.
func dot3Generic(a, b, c []float32) float32 {
	var l lanes
	for i, x := range a {
		l[i%16] = fma32(float32(x*b[i]), c[i], l[i%16])
	}
	return l.fold()
}

// maxGeneric orders its comparisons as the assembly does, so that zeros of either sign come out alike.
func maxGeneric(x []float32) float32 {
	var l lanes
	for i := range l {
		l[i] = float32(math.Inf(-1))
	}
	for i, v := range x {
		l[i%16] = max2(l[i%16], v)
	}
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			l[i] = max2(l[i], l[i+n])
		}
	}
	return l[0]
}

// max2 is the processor's maximum: b unless a is larger.
func max2(a, b float32) float32 {
	if a > b {
		return a
	}
	return b
}

// The constants of exp: the range reduction by ln 2 in two parts, and the polynomial of Cephes.
const (
	expHigh  = 89   // above, exp is infinite
	expLow   = -104 // below, exp is zero
	log2e    = 1.44269504088896341
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	expPoly0 = 1.9875691500e-4
	expPoly1 = 1.3981999507e-3
	expPoly2 = 8.3334519073e-3
	expPoly3 = 4.1665795894e-2
	expPoly4 = 1.6666665459e-1
	expPoly5 = 5.0000001201e-1
)

// exp32 is the package's exp: x = n·ln 2 + r, a polynomial in r, scaled by 2ⁿ in two steps so that subnormal results
// come out right.
func exp32(x float32) float32 {
	if x != x {
		return x
	}
	x = min(max(x, expLow), expHigh)
	n := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := fma32(-n, ln2High, x)
	r = fma32(-n, ln2Low, r)
	p := float32(expPoly0)
	p = fma32(p, r, expPoly1)
	p = fma32(p, r, expPoly2)
	p = fma32(p, r, expPoly3)
	p = fma32(p, r, expPoly4)
	p = fma32(p, r, expPoly5)
	p = fma32(p, float32(r*r), r) + 1
	i := int32(n)
	h := i >> 1
	return p * pow2(h) * pow2(i-h)
}

// pow2 returns 2ⁿ for the exponents of normal numbers.
func pow2(n int32) float32 { return float32frombits(uint32(n+127) << 23) }

// expAffineGeneric computes dst = exp(x·scale + shift)·post.
func expAffineGeneric(dst, x []float32, scale, shift, post float32) {
	for i, v := range x {
		dst[i] = exp32(fma32(v, scale, shift)) * post
	}
}

// expSumGeneric returns Σ exp(x·scale + shift) and stores the terms unless dst is nil.
func expSumGeneric(dst, x []float32, scale, shift float32) float32 {
	var l lanes
	for i, v := range x {
		e := exp32(fma32(v, scale, shift))
		if dst != nil {
			dst[i] = e
		}
		l[i%16] += e
	}
	return l.fold()
}

// softmaxGeneric computes dst = softmax(x·scale) and returns the largest x·scale and the sum.
func softmaxGeneric(dst, x []float32, scale float32) (m, sum float32) {
	m = float32(maxGeneric(x) * scale)
	sum = expSumGeneric(dst, x, scale, -m)
	scaleGeneric(dst, 1/sum)
	return m, sum
}

// softmaxBackwardGeneric computes dp = (dp - d)·p·scale.
func softmaxBackwardGeneric(dp, p []float32, d, scale float32) {
	for i, v := range p {
		dp[i] = float32((dp[i]-d)*v) * scale
	}
}
