package kernel

import (
	"fmt"
	"math"
	"testing"
)

// matOps lists the routines on matrices: run computes on m, (rows, cols) each, and returns further results.
var matOps = []struct {
	name   string
	inputs int
	run    func(m []Mat) []float32
}{
	{"RMSNorm", 3, func(m []Mat) []float32 {
		rstd := make([]float32, m[0].Rows)
		RMSNorm(m[0], m[1], weights(m[2]), 1e-5, rstd)
		return rstd
	}},
	{"RMSNormBackward", 4, func(m []Mat) []float32 {
		rstd, dw := make([]float32, m[0].Rows), make([]float32, m[0].Cols)
		for i := range rstd {
			rstd[i] = 0.5 + float32(i)
		}
		RMSNormBackward(m[0], m[1], m[2], weights(m[3]), rstd, dw)
		RMSNormBackward(m[0], m[1], m[2], weights(m[3]), rstd, nil)
		return dw
	}},
	{"CausalSoftmax", 1, func(m []Mat) []float32 {
		lse := make([]float32, m[0].Rows)
		CausalSoftmax(m[0], 3, 0.3, lse)
		return lse
	}},
	{"CausalProb", 1, func(m []Mat) []float32 {
		lse := make([]float32, m[0].Rows)
		for i := range lse {
			lse[i] = float32(i) / 3
		}
		CausalProb(m[0], 2, 0.3, lse)
		return nil
	}},
	{"CausalSoftmaxBackward", 2, func(m []Mat) []float32 {
		CausalSoftmaxBackward(m[0], m[1], 1, 0.3, make([]float32, m[0].Rows))
		return nil
	}},
	{"RowDots", 2, func(m []Mat) []float32 {
		d := make([]float32, m[0].Rows)
		RowDots(d, m[0], m[1])
		return d
	}},
}

// weights takes a row of numbers out of m.
func weights(m Mat) []float32 { return m.Row(0) }

func TestMatricesGiveTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		for _, op := range matOps {
			s := newSource(op.name)
			for _, rows := range []int{1, 2, 13} {
				for cols := 1; cols <= 70; cols += 1 + s.IntN(3) {
					var in, ref []Mat
					for range op.inputs {
						m := s.mat(rows, cols, cols+s.IntN(4))
						in, ref = append(in, m), append(ref, m.clone())
					}
					name := fmt.Sprintf("%s of %d × %d", op.name, rows, cols)
					got := op.run(in)
					var want []float32
					plain(func() { want = op.run(ref) })
					for i := range got {
						same(t, name, got[i:i+1:i+1], want[i:i+1:i+1])
					}
					for i := range in {
						same(t, fmt.Sprintf("%s, matrix %d", name, i), in[i].Data, ref[i].Data)
					}
				}
			}
		}
	})
}

func TestRoPEGivesTheSameBits(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("rope")
		for _, headDim := range []int{2, 6, 16, 32, 34, 62, 64, 96, 128} {
			const positions = 9
			cos, sin := s.floats(positions*headDim/2, 3), s.floats(positions*headDim/2, 5)
			x := s.mat(5, 3*headDim, 3*headDim+7)
			ref := x.clone()
			pos := []int32{0, 3, 8, 1, 1}
			for _, inverse := range []bool{false, true} {
				RoPE(x, headDim, cos, sin, pos, inverse)
				plain(func() { RoPE(ref, headDim, cos, sin, pos, inverse) })
				same(t, fmt.Sprintf("heads of %d, inverse %v", headDim, inverse), x.Data, ref.Data)
			}
		}
	})
}

func TestRoPEInverseUndoes(t *testing.T) {
	s := newSource("undo")
	const headDim, positions = 16, 4
	cos, sin := make([]float32, positions*headDim/2), make([]float32, positions*headDim/2)
	for i := range cos {
		sn, cs := math.Sincos(float64(i) * 0.7)
		cos[i], sin[i] = float32(cs), float32(sn)
	}
	x := s.mat(4, 2*headDim, 2*headDim)
	was := x.clone()
	pos := []int32{3, 0, 1, 2}
	RoPE(x, headDim, cos, sin, pos, false)
	if x.Data[0] == was.Data[0] {
		t.Fatal("nothing was rotated")
	}
	// The first pair of the first head, position 3, by hand.
	a, b := float64(was.Data[0]), float64(was.Data[headDim/2])
	c, d := float64(cos[3*headDim/2]), float64(sin[3*headDim/2])
	if got, want := float64(x.Data[0]), a*c-b*d; math.Abs(got-want) > 1e-6 {
		t.Errorf("first of the pair is %v, want %v", got, want)
	}
	if got, want := float64(x.Data[headDim/2]), b*c+a*d; math.Abs(got-want) > 1e-6 {
		t.Errorf("second of the pair is %v, want %v", got, want)
	}
	RoPE(x, headDim, cos, sin, pos, true)
	for i := range x.Data {
		if math.Abs(float64(x.Data[i]-was.Data[i])) > 1e-6 {
			t.Fatalf("element %d is %v, was %v", i, x.Data[i], was.Data[i])
		}
	}
}

// gradient compares df, the gradient that a routine gave at x, with differences of f. Sums are in float64, steps large
// enough for float32 functions.
func gradient(t *testing.T, name string, x, df []float32, f func() float64) {
	t.Helper()
	for i := range x {
		const h = 1e-2
		was := x[i]
		x[i] = was + h
		up := f()
		x[i] = was - h
		down := f()
		x[i] = was
		if want := (up - down) / (2 * h); math.Abs(float64(df[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s: gradient %d is %v, differences give %v", name, i, df[i], want)
		}
	}
}

// weighted is Σ y·w in float64.
func weighted(y, w []float32) float64 {
	s := 0.0
	for i := range y {
		s += float64(y[i]) * float64(w[i])
	}
	return s
}

func TestGradientsAgreeWithDifferences(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("differences")
		const n = 19
		t.Run("RMSNorm", func(t *testing.T) {
			x, w, dy, y := s.mat(2, n, n), s.floats(n, 0), s.mat(2, n, n), NewMat(2, n)
			rstd, dx, dw := make([]float32, 2), NewMat(2, n), make([]float32, n)
			f := func() float64 {
				RMSNorm(y, x, w, 1e-5, rstd)
				return weighted(y.Data, dy.Data)
			}
			f()
			RMSNormBackward(dx, dy, x, w, rstd, dw)
			gradient(t, "x", x.Data, dx.Data, f)
			gradient(t, "w", w, dw, f)
		})
		t.Run("SwiGLU", func(t *testing.T) {
			g, u, dh, h := s.floats(n, 0), s.floats(n, 0), s.floats(n, 0), make([]float32, n)
			dg, du := make([]float32, n), make([]float32, n)
			f := func() float64 {
				SwiGLU(h, g, u)
				return weighted(h, dh)
			}
			SwiGLUBackward(dg, du, dh, g, u)
			gradient(t, "g", g, dg, f)
			gradient(t, "u", u, du, f)
		})
		t.Run("cross-entropy", func(t *testing.T) {
			x, dx := s.floats(n, 0), make([]float32, n)
			CrossEntropyGrad(dx, x, LogSumExp(x), 4, 0.5)
			gradient(t, "x", x, dx, func() float64 { return -0.5 * float64(x[4]-LogSumExp(x)) })
		})
		t.Run("causal softmax", func(t *testing.T) {
			const first, scale = 2, 0.7
			x, dp := s.mat(3, n, n), s.mat(3, n, n)
			p := x.clone()
			lse := make([]float32, 3)
			f := func() float64 {
				copy(p.Data, x.Data)
				CausalSoftmax(p, first, scale, lse)
				return weighted(p.Data, dp.Data)
			}
			f()
			again := x.clone()
			CausalProb(again, first, scale, lse)
			for i := range p.Data {
				if math.Abs(float64(p.Data[i]-again.Data[i])) > 1e-6 {
					t.Fatalf("probability %d is %v, computed again %v", i, p.Data[i], again.Data[i])
				}
			}
			ds, d := dp.clone(), make([]float32, 3)
			RowDots(d, p, dp)
			CausalSoftmaxBackward(ds, p, first, scale, d)
			gradient(t, "scores", x.Data, ds.Data, f)
		})
	})
}

func TestSoftmaxSumsToOne(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		x := []float32{1, 1000, 1000, -1000}
		lse := Softmax(x, x, 1)
		same(t, "softmax", x, []float32{0, 0.5, 0.5, 0})
		if want := float32(1000 + math.Ln2); lse != want {
			t.Errorf("log-sum-exp %v, want %v", lse, want)
		}
	})
}

// TestAdamWMatchesItsDefinition holds the update against float64, step after step.
func TestAdamWMatchesItsDefinition(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("adamw")
		const n, lr, b1, b2, eps, decay = 21, 0.01, 0.9, 0.95, 1e-8, 0.1
		p, m, v := s.floats(n, 0), make([]float32, n), make([]float32, n)
		var rp, rm, rv [n]float64
		for i, x := range p {
			rp[i] = float64(x)
		}
		for step := 1; step <= 10; step++ {
			g := s.floats(n, 0)
			AdamW(p, m, v, g, AdamWStep{LR: lr, Beta1: b1, Beta2: b2, Eps: eps, WeightDecay: decay, GradScale: 0.5, Step: step})
			for i := range rp {
				x := float64(g[i]) * 0.5
				rm[i] = b1*rm[i] + (1-b1)*x
				rv[i] = b2*rv[i] + (1-b2)*x*x
				mh, vh := rm[i]/(1-math.Pow(b1, float64(step))), rv[i]/(1-math.Pow(b2, float64(step)))
				rp[i] -= lr * (decay*rp[i] + mh/(math.Sqrt(vh)+eps))
				if math.Abs(float64(p[i])-rp[i]) > 1e-5 {
					t.Fatalf("step %d: parameter %d is %v, want %v", step, i, p[i], rp[i])
				}
			}
		}
	})
}
