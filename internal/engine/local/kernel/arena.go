package kernel

import "fmt"

// An Arena is one block of memory outside the garbage collector's heap, in huge pages where the system has them. Slices are
// cut from its front and given back all at once by Reset. They are zero when the arena is fresh, and whatever was left in
// them after a Reset. It serves one goroutine at a time; the slices it gave are the callers'.
type Arena struct {
	data []float32
	used int
}

// arenaAlign is the granularity of an arena in floats: a cache line.
const arenaAlign = 16

// NewArena returns an arena with room for n floats. Every slice takes up to 15 floats more than its length.
func NewArena(n int) (*Arena, error) {
	n = (max(n, 1) + arenaAlign - 1) / arenaAlign * arenaAlign
	data, err := mapFloats(n)
	if err != nil {
		return nil, fmt.Errorf("reserving %.1f MiB of memory: %w", float64(n)*4/(1<<20), err)
	}
	return &Arena{data: data}, nil
}

// Floats returns n floats that start on a cache line. It panics if the arena is full: its owner computes its size.
func (a *Arena) Floats(n int) []float32 {
	size := (n + arenaAlign - 1) / arenaAlign * arenaAlign
	if n < 0 || size > len(a.data)-a.used {
		panic(fmt.Sprintf("kernel: %d floats from an arena with %d of %d in use", n, a.used, len(a.data)))
	}
	s := a.data[a.used : a.used+n : a.used+n]
	a.used += size
	return s
}

// Mat returns a matrix of rows × cols from the arena.
func (a *Arena) Mat(rows, cols int) Mat { return MatOf(a.Floats(rows*cols), rows, cols) }

// Len returns how many floats the arena holds, Used how many of them are given out.
func (a *Arena) Len() int { return len(a.data) }

// Used returns how many floats are given out.
func (a *Arena) Used() int { return a.used }

// Reset takes all slices back; who still holds one shares it with its next owner.
func (a *Arena) Reset() { a.used = 0 }

// Free returns the memory to the system. No slice of the arena may be used after it.
func (a *Arena) Free() error {
	data := a.data
	a.data, a.used = nil, 0
	if data == nil {
		return nil
	}
	if err := unmapFloats(data); err != nil {
		return fmt.Errorf("returning memory: %w", err)
	}
	return nil
}
