package kernel

import (
	"fmt"
	"unsafe"
)

// panelCols is the width of a panel: two AVX-512 vectors, or four of AVX2.
const panelCols = 32

// A Packed is the right factor B (K,N) of a product, laid out for the inner loops: panels of 32 columns, each k after k, so
// that a tile reads it from front to back. The last panel is filled up with zeros.
//
// In numerics BF16 and AMX the elements are rounded to bfloat16 and two neighbours in k share a 32-bit word, the lower k in
// the lower half; an odd K is filled up with zeros. Products with it round A to bfloat16 too.
//
// The zero value is ready for use. Its memory grows to the largest matrix it has held and is used again. While it is
// filled it belongs to one goroutine; filled, any number may read it.
type Packed struct {
	// Numerics chooses the numerics of what is packed next.
	Numerics Numerics

	num   Numerics // of what is packed
	k, n  int
	words int // words of 32 bits per column: K, or (K+1)/2 in pairs
	buf   []uint32
}

// Rows returns K, the number of rows of the packed B.
func (p *Packed) Rows() int { return p.k }

// Cols returns N, the number of columns of the packed B.
func (p *Packed) Cols() int { return p.n }

// PackedWords returns how many 32-bit words a packed matrix of k × n takes.
func PackedWords(k, n int, num Numerics) int {
	return (n + panelCols - 1) / panelCols * panelCols * packedDepth(k, num.paired())
}

func packedDepth(k int, paired bool) int {
	if paired {
		return (k + 1) / 2
	}
	return k
}

// Use gives p memory to pack into, from an arena for instance: as many words as PackedWords says. What was packed is lost.
func (p *Packed) Use(buf []float32) {
	p.k, p.n, p.words, p.buf = 0, 0, 0, nil
	if len(buf) > 0 {
		p.buf = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(buf))), len(buf))[:0]
	}
}

// Adopt takes memory for a packed matrix of k × n in p's numerics as it is and touches nothing: who wrote it, or will, knows
// the layout. Memory fresh from an Arena is a matrix of zeros.
func (p *Packed) Adopt(buf []float32, k, n int) {
	want(len(buf) >= PackedWords(k, n, p.Numerics), "Adopt of too little memory")
	p.Use(buf)
	p.reserve(k, n)
}

// Bytes returns the size of p's memory.
func (p *Packed) Bytes() int { return 4 * cap(p.buf) }

// reserve makes room for a matrix of k × n in p's format.
func (p *Packed) reserve(k, n int) {
	p.num, p.k, p.n, p.words = p.Numerics, k, n, packedDepth(k, p.Numerics.paired())
	size := PackedWords(k, n, p.num)
	if cap(p.buf) < size {
		p.buf = alignedWords(size)
	}
	p.buf = p.buf[:size]
}

// alignedWords allocates n words that start on a cache line.
func alignedWords(n int) []uint32 {
	const line = 16
	b := make([]uint32, n+line-1)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))/4) & (line - 1)
	return b[skip : skip+n : skip+n]
}

// PackB packs B = m.
func (p *Packed) PackB(m Mat) {
	m.check("B")
	p.reserve(m.Rows, m.Cols)
	for j := 0; j < p.n; j += panelCols {
		packRows(p.buf[j*p.words:], m.View(0, m.Rows, j, min(j+panelCols, m.Cols)), p.num.paired())
	}
}

// PackBT packs B = mᵀ. A weight matrix W (out,in) packed so gives y = x·Wᵀ.
func (p *Packed) PackBT(m Mat) {
	m.check("Bᵀ")
	p.reserve(m.Cols, m.Rows)
	for j := 0; j < p.n; j += panelCols {
		packCols(p.buf[j*p.words:], m.RowsOf(j, min(j+panelCols, m.Rows)), p.num.paired())
	}
}

// At returns element (k,n) of the packed B: rounded, if it is packed in bfloat16.
func (p *Packed) At(k, n int) float32 {
	if k < 0 || k >= p.k || n < 0 || n >= p.n {
		panic(fmt.Sprintf("kernel: element (%d,%d) of a packed %d × %d", k, n, p.k, p.n))
	}
	panel := p.buf[n/panelCols*panelCols*p.words:]
	if p.num.paired() {
		return bf16Half(panel[k/2*panelCols+n%panelCols], k)
	}
	return float32frombits(panel[k*panelCols+n%panelCols])
}
