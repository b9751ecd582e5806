package kernel

import "math"

// fma32 returns a·b + c rounded once, as the processor's fused multiply-add does on float32.
//
// The product of two float32 is exact in float64, so only the sum can be rounded twice. That goes wrong in one case alone:
// the float64 sum was inexact and lies half-way between two float32.
func fma32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	u := math.Float64bits(s)
	if u&0x1fffffff == 0x10000000 || u<<1 < 0x381<<53 {
		return fmaTie(p, float64(c), s)
	}
	return float32(s)
}

// fmaTie finishes fma32 where rounding twice may go wrong: near half-way cases, and where the result is subnormal, since
// half-way lies elsewhere there. It rounds the sum to odd: a lost remainder then survives as the lowest bit.
func fmaTie(p, c, s float64) float32 {
	b := s - p
	e := (p - (s - b)) + (c - b)
	if e == 0 || e != e || math.IsInf(s, 0) {
		return float32(s)
	}
	u := math.Float64bits(s)
	if u&1 == 0 {
		switch {
		case s == 0:
			// A non-zero remainder of a zero sum cannot be: the sum would have been the remainder.
		case (e > 0) == (s > 0):
			u++
		default:
			u--
		}
	}
	return float32(math.Float64frombits(u))
}
