package kernel

import "unsafe"

// Transpose copies srcᵀ to dst, which must not overlap src.
func Transpose(dst, src Mat) {
	dst.check("dst")
	src.check("src")
	want(dst.Rows == src.Cols && dst.Cols == src.Rows, "Transpose of sizes that do not fit")
	// Panel by panel: their columns are src's rows, and a piece of one stays in the nearest cache.
	const depth = 128
	var panel [depth * panelCols]uint32
	floats := unsafe.Slice((*float32)(unsafe.Pointer(&panel)), len(panel))
	for i := 0; i < src.Rows; i += panelCols {
		end := min(i+panelCols, src.Rows)
		for k := 0; k < src.Cols; k += depth {
			piece := src.View(i, end, k, min(k+depth, src.Cols))
			packCols(panel[:], piece, false)
			for r := range piece.Cols {
				copy(dst.Row(k + r)[i:end], floats[r*panelCols:])
			}
		}
	}
}

// Mirror copies the lower triangle of a square matrix to the upper one.
func Mirror(m Mat) {
	m.check("square")
	want(m.Rows == m.Cols, "Mirror of a matrix that is not square")
	const block = 64
	for i := 0; i < m.Rows; i += block {
		end := min(i+block, m.Rows)
		for j := 0; j < i; j += block {
			Transpose(m.View(j, j+block, i, end), m.View(i, end, j, j+block))
		}
		for r := i; r < end; r++ {
			for j := i; j < r; j++ {
				m.Row(j)[r] = m.Row(r)[j]
			}
		}
	}
}
