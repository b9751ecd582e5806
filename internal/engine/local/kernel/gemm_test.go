package kernel

import (
	"fmt"
	"math"
	"testing"
)

var allNumerics = []Numerics{F32, BF16, AMX}

// sizes are shapes (M,K,N) at the edges of tiles, panels, vectors and blocks.
var sizes = [][3]int{
	{1, 1, 1},
	{1, 7, 33},
	{1, 64, 200},
	{2, 5, 31},
	{2, 16, 129},
	{3, 64, 64},
	{3, 9, 97},
	{4, 8, 32},
	{5, 3, 16},
	{6, 17, 48},
	{7, 33, 15},
	{8, 40, 65},
	{9, 31, 17},
	{10, 12, 130},
	{11, 100, 34},
	{12, 64, 32},
	{13, 63, 95},
	{14, 2, 1},
	{24, 48, 96},
	{25, 130, 47},
	{36, 0, 5},
	{0, 4, 4},
	{4, 4, 0},
	{61, 128, 128},
	{37, 300, 72},
}

// largeSizes pass the blocking of k, of panels and of t.
var largeSizes = [][3]int{{14, 1601, 70}, {13, 700, 600}, {530, 25, 40}, {40, 30, 560}}

func TestMulGivesTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, num := range allNumerics {
			s := newSource("mul")
			for _, z := range append(sizes, largeSizes...) {
				m, k, n := z[0], z[1], z[2]
				checkMul(t, s, m, k, n, k+s.IntN(5), n+s.IntN(5), num)
			}
			// Rows on the same lines of the cache take another path.
			checkMul(t, s, 14, 130, 100, 512, 512, num)
			for m := 1; m <= 26; m++ {
				checkMul(t, s, m, 9, 5+m*3, 16, 96, num)
			}
		}
	})
}

// checkMul compares one product in all its forms with the plain variant.
func checkMul(t *testing.T, s source, m, k, n, lda, ldc int, num Numerics) {
	t.Helper()
	a, b, bt := s.mat(m, k, lda), s.mat(k, n, n+3), NewMat(n, k)
	for i := range k {
		for j := range n {
			bt.Data[j*k+i] = b.Row(i)[j]
		}
	}
	c := s.mat(m, n, ldc)
	ref := Packed{Numerics: num}
	plain(func() { ref.PackB(b) })
	for _, transposed := range []bool{false, true} {
		for _, accumulate := range []bool{false, true} {
			name := fmt.Sprintf("%d × %d × %d, transposed %v, accumulate %v, %v", m, k, n, transposed, accumulate, num)
			p := Packed{Numerics: num}
			p.Use(s.floats(PackedWords(k, n, num)+5, 3))
			if transposed {
				p.PackBT(bt)
			} else {
				p.PackB(b)
			}
			if p.Rows() != k || p.Cols() != n {
				t.Fatalf("%s: packed %d × %d", name, p.Rows(), p.Cols())
			}
			for i, w := range p.buf {
				if w != ref.buf[i] {
					t.Fatalf("%s: packed word %d is %08x, want %08x", name, i, w, ref.buf[i])
				}
			}
			got, want := c.clone(), c.clone()
			Mul(got, a, &p, accumulate)
			plain(func() { Mul(want, a, &ref, accumulate) })
			same(t, name, got.Data, want.Data)
			if n > 1 && k > 1 {
				got, want = c.clone(), c.clone()
				Mul(got.ColsOf(0, n/2), a.ColsOf(0, k/2), &p, accumulate)
				plain(func() { Mul(want.ColsOf(0, n/2), a.ColsOf(0, k/2), &ref, accumulate) })
				same(t, name+", leading part", got.Data, want.Data)
			}
		}
	}
}

func TestMulEachGivesTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("each")
		for _, num := range []Numerics{F32, AMX} {
			for n := range 131 {
				checkMulEach(t, s, 1+s.IntN(9), s.IntN(70), n, s.IntN(4), num)
				checkMulEach(t, s, 1+s.IntN(9), n, s.IntN(70), s.IntN(4), num)
			}
			checkMulEach(t, s, 0, 3, 3, 0, num)
			checkMulEach(t, s, 5, 900, 40, 1, num)
		}
	})
}

// checkMulEach compares products of m rows, each with its own matrix of k × n or its neighbour's, with the plain variant and
// with Mul. The matrices are larger than what is used of them.
func checkMulEach(t *testing.T, s source, m, k, n, gap int, num Numerics) {
	t.Helper()
	a, c := s.mat(m, k, k+gap), s.mat(m, n, n+gap)
	var b []*Packed
	depth, width := k+s.IntN(3), n+s.IntN(3)
	for i := range m {
		if i > 0 && s.IntN(3) == 0 {
			b = append(b, b[i-1])
			continue
		}
		p := Packed{Numerics: num}
		p.PackB(s.mat(depth, width, width))
		b = append(b, &p)
	}
	name := fmt.Sprintf("%d rows of %d × %d in %v", m, k, n, num)
	want, single := c.clone(), c.clone()
	var next []*Packed
	if s.IntN(2) == 0 {
		next = append(append(next, b[m/2:]...), b[:m/2]...)
	}
	MulEach(c, a, b, next)
	plain(func() { MulEach(want, a, b, nil) })
	same(t, name, c.Data, want.Data)
	for i := range m {
		Mul(single.RowsOf(i, i+1), a.RowsOf(i, i+1), b[i], false)
	}
	same(t, name+", by Mul", c.Data, single.Data)
}

func TestAddTransAGivesTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, num := range allNumerics {
			s := newSource("transposed")
			for _, z := range append(sizes, largeSizes...) {
				checkAddTransA(t, s, z[1], z[0], z[2], s.IntN(5), num)
			}
		}
	})
}

// checkAddTransA compares one transposed product with the plain variant.
func checkAddTransA(t *testing.T, s source, tokens, m, n, gap int, num Numerics) {
	t.Helper()
	a, b, c := s.mat(tokens, m, m+gap), s.mat(tokens, n, n+gap), s.mat(m, n, n+gap)
	want := c.clone()
	var scratch Scratch
	AddTransA(c, a, b, &scratch, num)
	plain(func() { AddTransA(want, a, b, nil, num) })
	same(t, fmt.Sprintf("%d × %d × %d, %v", tokens, m, n, num), c.Data, want.Data)
}

// TestMulLower holds the lower triangle against the whole product, and what is right of it against what was there.
func TestMulLower(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("lower")
		for _, z := range [][4]int{{1, 1, 1, 0}, {12, 12, 5, 3}, {13, 13, 40, 0}, {30, 70, 64, 2}, {96, 200, 130, 1}, {25, 25, 1700, 0}, {40, 130, 512, 0}, {5, 9, 0, 0}} {
			m, n, k, gap := z[0], z[1], z[2], z[3]
			a, b := s.mat(m, k, k+gap), s.mat(k, n, n)
			var p Packed
			p.PackB(b)
			for _, accumulate := range []bool{false, true} {
				c := s.mat(m, n, n+gap)
				want := c.clone()
				plain(func() { MulLower(want, a, &p, accumulate) })
				whole, got := c.clone(), c.clone()
				Mul(whole, a, &p, accumulate)
				MulLower(got, a, &p, accumulate)
				name := fmt.Sprintf("%d × %d × %d, accumulate %v", m, k, n, accumulate)
				same(t, name+", against the plain one", got.Data, want.Data)
				for i := range m {
					d := n - m + i + 1
					same(t, name+", lower", got.Row(i)[:d:d], whole.Row(i)[:d:d])
					if far := min(d+stripRows, n); far < n {
						same(t, name+", right of it", got.Row(i)[far:n:n], c.Row(i)[far:n:n])
					}
				}
			}
		}
	})
}

// TestAddTransALower is TestMulLower for the other product.
func TestAddTransALower(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("transposed lower")
		for _, z := range [][3]int{{1, 1, 0}, {5, 12, 3}, {40, 13, 0}, {64, 70, 2}, {300, 25, 0}, {100, 600, 0}, {130, 256, 0}, {130, 230, 1}, {3, 512, 0}, {0, 9, 0}} {
			k, n, gap := z[0], z[1], z[2]
			a, c := s.mat(k, n, n+gap), s.mat(n, n, n+gap)
			whole, want, got := c.clone(), c.clone(), c.clone()
			var scratch Scratch
			scratch.Reserve()
			AddTransA(whole, a, a, &scratch, F32)
			AddTransALower(got, a, &scratch)
			plain(func() { AddTransALower(want, a, nil) })
			name := fmt.Sprintf("%d × %d", k, n)
			same(t, name+", against the plain one", got.Data, want.Data)
			for i := range n {
				same(t, name+", lower", got.Row(i)[:i+1:i+1], whole.Row(i)[:i+1:i+1])
				if far := min(i+1+stripRows, n); far < n {
					same(t, name+", right of it", got.Row(i)[far:n:n], c.Row(i)[far:n:n])
				}
			}
		}
	})
}

// TestMulIsAProduct holds the plain variant against float64.
func TestMulIsAProduct(t *testing.T) {
	s := newSource("product")
	plain(func() {
		for _, num := range allNumerics {
			a, b, c := s.mat(7, 50, 51), s.mat(50, 40, 43), s.mat(7, 40, 44)
			was := c.clone()
			p := Packed{Numerics: num}
			p.PackB(b)
			Mul(c, a, &p, true)
			at := NewMat(50, 7)
			for i := range 7 {
				for k := range 50 {
					at.Row(k)[i] = a.Row(i)[k]
				}
			}
			d := was.clone()
			AddTransA(d, at, b, nil, num)
			for i := range 7 {
				for j := range 40 {
					want := float64(was.Row(i)[j])
					for k := range 50 {
						x, y := a.Row(i)[k], b.Row(k)[j]
						if num != F32 {
							x, y = roundBF16(x), roundBF16(y)
						}
						want += float64(x) * float64(y)
					}
					for _, got := range []float32{c.Row(i)[j], d.Row(i)[j]} {
						if math.Abs(float64(got)-want) > 2e-5 {
							t.Fatalf("element (%d,%d), %v: %v, want %v", i, j, num, got, want)
						}
					}
				}
			}
		}
	})
}
