// Package kernel holds the vector and matrix routines of the embedded engine: matrix products, softmax, normalisation, the
// optimizer's update and their backward passes, on float32 slices.
//
// Every routine exists in three variants, chosen once at start-up: plain Go (the reference, in the files generic_*.go),
// AVX2 and AVX-512 assembly (written by the program in gen). All three give the same bits, because each result is defined
// down to its roundings:
//
//   - an element of a matrix product is one chain of fused multiply-adds over k in rising order, whatever the tile, the
//     blocking or the number of threads;
//   - a sum over a row is kept in 16 lanes (element i goes to lane i mod 16) that are folded in halves: 8, 4, 2, 1;
//   - exp is one fixed polynomial.
//
// Two further numerics (see Numerics) round both factors of a product to bfloat16 and accumulate in float32.
//
// Nothing here starts a goroutine or allocates in a steady state: memory is the caller's, or that of a Packed, a Scratch
// or an Arena, which are used by one goroutine at a time. A filled Packed may be read by many.
//
// Sizes that do not fit are programmer errors and panic.
package kernel

import "fmt"

// A Mat is a row-major matrix over a slice: element (i,j) is Data[i*Stride+j]. It is a view: copies share Data.
type Mat struct {
	Data               []float32
	Rows, Cols, Stride int
}

// NewMat allocates a matrix of zeros.
func NewMat(rows, cols int) Mat { return MatOf(make([]float32, rows*cols), rows, cols) }

// MatOf views data as a matrix of rows × cols without gaps between its rows.
func MatOf(data []float32, rows, cols int) Mat {
	m := Mat{Data: data, Rows: rows, Cols: cols, Stride: cols}
	m.check("matrix")
	return m
}

// Row returns row i, as long as the matrix is wide.
func (m Mat) Row(i int) []float32 { return m.Data[i*m.Stride:][:m.Cols:m.Cols] }

// RowsOf returns the view of rows i to j, j excluded.
func (m Mat) RowsOf(i, j int) Mat { return m.View(i, j, 0, m.Cols) }

// ColsOf returns the view of columns i to j, j excluded: one attention head, for instance.
func (m Mat) ColsOf(i, j int) Mat { return m.View(0, m.Rows, i, j) }

// View returns the view of rows r0 to r1 and columns c0 to c1, the ends excluded.
func (m Mat) View(r0, r1, c0, c1 int) Mat {
	if r0 < 0 || r1 < r0 || r1 > m.Rows || c0 < 0 || c1 < c0 || c1 > m.Cols {
		panic(fmt.Sprintf("kernel: view [%d:%d, %d:%d] of a matrix of %d × %d", r0, r1, c0, c1, m.Rows, m.Cols))
	}
	v := Mat{Rows: r1 - r0, Cols: c1 - c0, Stride: m.Stride}
	if v.Rows > 0 && v.Cols > 0 {
		v.Data = m.Data[r0*m.Stride+c0 : (r1-1)*m.Stride+c1]
	}
	return v
}

// Zero sets every element to zero and leaves the gaps between the rows alone.
func (m Mat) Zero() {
	for i := range m.Rows {
		clear(m.Row(i))
	}
}

// check panics unless the matrix lies within its slice.
func (m *Mat) check(name string) {
	if m.Rows < 0 || m.Cols < 0 || (m.Rows > 1 && m.Stride < m.Cols) {
		panic(fmt.Sprintf("kernel: %s of %d × %d with stride %d", name, m.Rows, m.Cols, m.Stride))
	}
	if m.Rows > 0 && m.Cols > 0 && len(m.Data) < (m.Rows-1)*m.Stride+m.Cols {
		panic(fmt.Sprintf("kernel: %s of %d × %d with stride %d in a slice of %d", name, m.Rows, m.Cols, m.Stride, len(m.Data)))
	}
}

// want panics with a message about lengths unless ok holds. It is separate so that the checks stay cheap in the callers.
func want(ok bool, what string) {
	if !ok {
		panic("kernel: " + what)
	}
}
