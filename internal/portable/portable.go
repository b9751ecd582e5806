// Package portable computes a few functions of float64 to the same bits on every processor.
//
// Those of package math are not so: on some processors they are assembly, and elsewhere the compiler joins a product and a sum
// to one multiply-add where the processor has it. Here a conversion float64(x·y) keeps it from that. Log and Sincos give the bits
// that package math has on amd64, so that results do not depend on which of the two made them.
package portable

import "math"

// poly returns the polynomial of x with these coefficients, the highest power first.
func poly(x float64, coefficients *[6]float64) float64 {
	p := coefficients[0]
	for _, c := range coefficients[1:] {
		p = float64(p*x) + c
	}
	return p
}

// Log returns the natural logarithm of x: with x = (1+f)·2ᵏ and s = f/(2+f), that of 1+f is f − f²/2 + s·(f²/2 + R(s²)), R a
// polynomial whose even and odd terms are summed apart (FreeBSD's e_log.c).
func Log(x float64) float64 {
	switch {
	case x != x || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	const ln2High, ln2Low = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	f, k := m-1, float64(e)
	s := f / (2 + f)
	z := s * s
	w := z * z
	odd := 2.222219843214978396e-01 + float64(w*1.531383769920937332e-01)
	odd = w * (3.999999999940941908e-01 + float64(w*odd))
	even := 1.818357216161805012e-01 + float64(w*1.479819860511658591e-01)
	even = z * (6.666666666666735130e-01 + float64(w*(2.857142874366239149e-01+float64(w*even))))
	half := float64(0.5 * f * f)
	r := float64(s*(half+(float64(even)+float64(odd)))) + float64(k*ln2Low)
	return float64(k*ln2High) - ((half - r) - f)
}

// expTerms are the coefficients of Taylor's series of (eʳ − 1 − r)/r², in r.
var expTerms = [...]float64{
	1.0 / 87178291200, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
	1.0 / 24, 1.0 / 6, 1.0 / 2,
}

// Exp returns eˣ, within two units in the last place.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > 710:
		return math.Inf(1)
	case x < -746:
		return 0
	}
	const ln2, ln2Rest = 0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56
	n := math.RoundToEven(x / ln2)
	r := math.FMA(-n, ln2Rest, math.FMA(-n, ln2, x))
	var p float64
	for _, c := range expTerms {
		p = math.FMA(p, r, c)
	}
	return math.Ldexp(1+math.FMA(float64(r*r), p, r), int(n))
}

// The polynomials of Cephes for sine and cosine in z², z within π/4 of zero.
var (
	sinTerms = [6]float64{
		1.58962301576546568060e-10, -2.50507477628578072866e-8, 2.75573136213857245213e-6, -1.98412698295895385996e-4,
		8.33333333332211858878e-3, -1.66666666666666307295e-1,
	}
	cosTerms = [6]float64{
		-1.13585365213876817300e-11, 2.08757008419747316778e-9, -2.75573141792967388112e-7, 2.48015872888517045348e-5,
		-1.38888888888730564116e-3, 4.16666666666665929218e-2,
	}
)

// Sincos returns the sine and the cosine of x, which is less than 2²⁹ in magnitude.
func Sincos(x float64) (sin, cos float64) {
	// π/4 in three parts, of which the first two have few enough bits for their multiples to be exact.
	const high, middle, low = 7.85398125648498535156e-1, 3.77489470793079817668e-8, 2.69515142907905952645e-15
	a := math.Abs(x)
	n := uint64(a * (4 / math.Pi))
	n += n & 1 // the nearest even multiple
	y := float64(n)
	z := ((a - float64(y*high)) - float64(y*middle)) - float64(y*low)
	zz := z * z
	sin = z + float64(z*zz*poly(zz, &sinTerms))
	cos = 1 - float64(0.5*zz) + float64(zz*zz*poly(zz, &cosTerms))
	switch n >> 1 & 3 { // quarters of a turn
	case 1:
		sin, cos = cos, -sin
	case 2:
		sin, cos = -sin, -cos
	case 3:
		sin, cos = -cos, sin
	}
	if math.Signbit(x) {
		sin = -sin
	}
	return sin, cos
}
