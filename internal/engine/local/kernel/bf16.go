package kernel

import "math"

func float32bits(x float32) uint32     { return math.Float32bits(x) }
func float32frombits(u uint32) float32 { return math.Float32frombits(u) }

// ToBF16 rounds src to bfloat16, ties to even. A NaN stays a NaN.
func ToBF16(dst []uint16, src []float32) {
	want(len(dst) == len(src), "ToBF16 of slices of different length")
	toBF16(dst, src)
}

// FromBF16 widens bfloat16 to float32, exactly.
func FromBF16(dst []float32, src []uint16) {
	want(len(dst) == len(src), "FromBF16 of slices of different length")
	fromBF16(dst, src)
}

func toBF16Generic(dst []uint16, src []float32) {
	for i, x := range src {
		dst[i] = bf16Bits(x)
	}
}

func fromBF16Generic(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = float32frombits(uint32(h) << 16)
	}
}

// bf16Bits rounds x to bfloat16, ties to even.
func bf16Bits(x float32) uint16 {
	u := float32bits(x)
	if x != x {
		return uint16(u>>16 | 0x40)
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// roundBF16 rounds x as the products in bfloat16 do: like the processor's conversion it takes subnormal numbers for zero.
func roundBF16(x float32) float32 {
	u := float32bits(x)
	if u&0x7f800000 == 0 {
		return float32frombits(u & 0x80000000)
	}
	return float32frombits(uint32(bf16Bits(x)) << 16)
}

// packBF16 rounds two numbers and puts the first into the lower half of a word.
func packBF16(lo, hi float32) uint32 {
	return float32bits(roundBF16(lo))>>16 | float32bits(roundBF16(hi))
}

// bf16Half returns the lower half of w for even k and the upper one for odd k.
func bf16Half(w uint32, k int) float32 {
	if k&1 == 0 {
		return float32frombits(w << 16)
	}
	return float32frombits(w & 0xffff0000)
}

// dot2 adds the products of one pair of bfloat16 to acc: the second pair's product first, then the first's, each rounded.
func dot2(lo, hi, blo, bhi, acc float32) float32 {
	return fma32(lo, blo, fma32(hi, bhi, acc))
}
