package pipeline

// readyHeap orders the steps that can run: longest way to the end first, then the order of the file.
type readyHeap struct {
	plan *Plan
	idx  []int
	ties []int // a permutation of the steps; nil: the order of the file
}

// Len is for the heap.
func (h *readyHeap) Len() int { return len(h.idx) }

// Less is for the heap.
func (h *readyHeap) Less(a, b int) bool {
	i, j := h.idx[a], h.idx[b]
	if pi, pj := h.plan.nodes[i].priority, h.plan.nodes[j].priority; pi != pj {
		return pi > pj
	}
	if h.ties != nil {
		return h.ties[i] < h.ties[j]
	}
	return i < j
}

// Swap is for the heap.
func (h *readyHeap) Swap(a, b int) { h.idx[a], h.idx[b] = h.idx[b], h.idx[a] }

// Push is for the heap.
func (h *readyHeap) Push(v any) { h.idx = append(h.idx, v.(int)) }

// Pop is for the heap.
func (h *readyHeap) Pop() any {
	last := len(h.idx) - 1
	i := h.idx[last]
	h.idx = h.idx[:last]
	return i
}
