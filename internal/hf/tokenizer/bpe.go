package tokenizer

// A model turns a word into tokens: it begins with the word's characters (or bytes) and joins the neighbours that come
// first in the list of merges, again and again.
type model struct {
	vocab  *vocabulary // added tokens left out
	merges mergeTable

	bytes        [256]int32 // byte-level: the token of each byte; -1 has none and is dropped, as the library does
	byteLevel    bool
	words        bool // nothing is merged across the beginning of a word as Metaspace marks it
	ignoreMerges bool // a word that is a token stays whole, whatever the merges say

	fallback     [256]int32 // char-level: the tokens <0x00> to <0xFF>; -1 has none
	byteFallback bool
	unknown      int32 // -1: characters without token are dropped
	fuseUnknown  bool
}

// A merge says what two neighbours become, and how early: the lowest rank goes first.
type merge struct {
	rank  int32 // -1 in an empty slot
	token int32
}

// A mergeTable finds the merge of two tokens. It is a hash table with linear probing, half full.
type mergeTable struct{ slots []mergeSlot }

type mergeSlot struct {
	key uint64
	merge
}

func newMergeTable(n int) mergeTable {
	m := mergeTable{make([]mergeSlot, max(2*n, 1))}
	for i := range m.slots {
		m.slots[i].rank = -1
	}
	return m
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// find returns the slot of a pair, or the free one where it would be.
func (m *mergeTable) find(key uint64) *mergeSlot {
	h := (key * 0x9E3779B97F4A7C15) >> 32
	i := int((h * uint64(len(m.slots))) >> 32)
	for {
		s := &m.slots[i]
		if s.key == key || s.rank < 0 {
			return s
		}
		if i++; i == len(m.slots) {
			i = 0
		}
	}
}

// set adds a merge; a pair that is there already takes the new one, as in the library.
func (m *mergeTable) set(left, right int32, v merge) {
	key := pairKey(left, right)
	s := m.find(key)
	s.key, s.merge = key, v
}

func (m *mergeTable) get(left, right int32) merge { return m.find(pairKey(left, right)).merge }

// heapFrom is the number of symbols from which a word is merged with a heap. Measured by BenchmarkMerge: below it, looking
// for the lowest rank in a few dozen neighbours is faster than keeping order.
const heapFrom = 48

const noRank = int32(1<<31 - 1)

// merge joins the symbols of a word in place and appends the tokens that are left.
func (e *encoder) merge(dst []int32, syms []int32) []int32 {
	if len(syms) >= heapFrom {
		return e.mergeHeap(dst, syms)
	}
	m := &e.t.model.merges
	n := len(syms)
	if n < 2 {
		return append(dst, syms...)
	}
	var ranks, made [heapFrom]int32 // of the pair (i, i+1)
	for i := range n - 1 {
		ranks[i], made[i] = noRank, 0
		if v := m.get(syms[i], syms[i+1]); v.rank >= 0 {
			ranks[i], made[i] = v.rank, v.token
		}
	}
	for n > 1 {
		best, at := noRank, 0
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
		if best == noRank {
			break
		}
		syms[at] = made[at]
		copy(syms[at+1:n-1], syms[at+2:n])
		copy(ranks[at:n-2], ranks[at+1:n-1])
		copy(made[at:n-2], made[at+1:n-1])
		n--
		for _, i := range [2]int{at - 1, at} {
			if i >= 0 && i < n-1 {
				ranks[i] = noRank
				if v := m.get(syms[i], syms[i+1]); v.rank >= 0 {
					ranks[i], made[i] = v.rank, v.token
				}
			}
		}
	}
	return append(dst, syms[:n]...)
}

// mergeHeap does the same in n log n steps: the symbols form a list, and a heap holds the possible merges as rank and
// position, so that its order is the order of merging. An entry whose pair has changed since is skipped.
func (e *encoder) mergeHeap(dst []int32, syms []int32) []int32 {
	m := &e.t.model.merges
	n := int32(len(syms))
	if cap(e.next) < int(n) {
		e.next, e.prev = make([]int32, n), make([]int32, n)
	}
	next, prev := e.next[:n], e.prev[:n]
	h := e.heap[:0]
	for i := range n {
		next[i], prev[i] = i+1, i-1
		if i+1 < n {
			if v := m.get(syms[i], syms[i+1]); v.rank >= 0 {
				h = append(h, uint64(v.rank)<<32|uint64(i))
			}
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		siftDown(h, i)
	}
	for len(h) > 0 {
		top := h[0]
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		siftDown(h, 0)
		i := int32(top & (1<<32 - 1))
		j := next[i]
		if syms[i] < 0 || j >= n {
			continue
		}
		v := m.get(syms[i], syms[j])
		if v.rank != int32(top>>32) {
			continue
		}
		syms[i], syms[j] = v.token, -1
		next[i] = next[j]
		if next[i] < n {
			prev[next[i]] = i
			if v := m.get(syms[i], syms[next[i]]); v.rank >= 0 {
				h = push(h, uint64(v.rank)<<32|uint64(i))
			}
		}
		if p := prev[i]; p >= 0 {
			if v := m.get(syms[p], syms[i]); v.rank >= 0 {
				h = push(h, uint64(v.rank)<<32|uint64(p))
			}
		}
	}
	e.heap = h
	for i := int32(0); i < n; i = next[i] {
		dst = append(dst, syms[i])
	}
	return dst
}

func push(h []uint64, v uint64) []uint64 {
	h = append(h, v)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up] <= h[i] {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	return h
}

func siftDown(h []uint64, i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child] < h[least] {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
