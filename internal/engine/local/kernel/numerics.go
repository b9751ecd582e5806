package kernel

import (
	"fmt"
	"math"
)

// A Numerics is a definition of the results of matrix products, down to their roundings. Every variant computes each of them,
// fast where the processor has the instruction and exactly elsewhere.
type Numerics uint8

// The numerics. The last two round both factors to bfloat16, ties to even, subnormal numbers to zero.
const (
	// F32 is one chain of fused multiply-adds over k in rising order.
	F32 Numerics = iota
	// BF16 is one chain as well, the second product of each pair of neighbours in k before the first (VDPBF16PS).
	BF16
	// AMX takes k in blocks of 32: in each the products of even k and of odd k are two chains of fused multiply-adds from +0;
	// their sum is added to what there was. Every operation rounds to nearest, takes subnormal operands for zero and gives zero,
	// of the same sign, where its rounded result is subnormal (TDPBF16PS: Intel SDM, volume 2; tininess after rounding was found
	// by experiment). An odd K is filled up with a zero in A.
	AMX
)

// String returns the name of the numerics.
func (n Numerics) String() string {
	switch n {
	case F32:
		return "f32"
	case BF16:
		return "bf16"
	case AMX:
		return "amx"
	}
	return fmt.Sprintf("numerics %d", uint8(n))
}

// paired says whether two neighbours in k share a word when they are packed.
func (n Numerics) paired() bool { return n != F32 }

// chainBlock is the number of k in a block of numerics AMX.
const chainBlock = 32

const (
	smallestNormal = 0x1p-126
	// tinyBelow is where rounding to 24 bits starts to give smallestNormal: half-way to the number before it.
	tinyBelow = 0x1p-126 - 0x1p-151
)

// flush returns zero of the same sign for a subnormal number.
func flush(x float32) float32 {
	if u := float32bits(x); u&0x7f800000 == 0 {
		return float32frombits(u & 0x80000000)
	}
	return x
}

// addFlush returns a + b as numerics AMX has it. A subnormal sum is exact, so that it is tiny before and after rounding.
func addFlush(a, b float32) float32 { return flush(flush(a) + flush(b)) }

// fmaFlush returns a·b + c as numerics AMX has it, for a and b that are not subnormal.
func fmaFlush(a, b, c float32) float32 {
	c = flush(c)
	r := fma32(a, b, c)
	if r != smallestNormal && r != -smallestNormal {
		return flush(r)
	}
	// Rounding to the grid of subnormal numbers may have reached what rounding to 24 bits does not.
	p := float64(a) * float64(b)
	s := p + float64(c)
	d := s - p
	e := (p - (s - d)) + (float64(c) - d)
	m := math.Abs(s)
	if s < 0 {
		e = -e
	}
	if m < tinyBelow || m == tinyBelow && e < 0 {
		return float32(math.Copysign(0, float64(r)))
	}
	return r
}
