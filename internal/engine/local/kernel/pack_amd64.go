package kernel

import "unsafe"

// packRows packs the rows of m, at most 32 wide, as one panel.
func packRows(dst []uint32, m Mat, bf16 bool) {
	switch {
	case m.Rows == 0:
	case variant != generic && !bf16 && m.Cols == panelCols:
		packRows32((*float32)(unsafe.Pointer(&dst[0])), &m.Data[0], m.Stride*4, m.Rows)
	case bf16 && NativeBF16():
		if n := m.Rows / 2; n > 0 {
			packPairs32(&dst[0], &m.Data[0], m.Stride*4, n, 1<<m.Cols-1)
		}
		packLast(dst, m, panelCols)
	default:
		packRowsGeneric(dst, m, bf16)
	}
}

// packCols packs the rows of m, at most 32, as the columns of one panel.
func packCols(dst []uint32, m Mat, bf16 bool) {
	if variant == generic || m.Cols < 8 || m.Rows < 8 || bf16 && !NativeBF16() {
		packColsGeneric(dst, m, bf16)
		return
	}
	depth := packedDepth(m.Cols, bf16)
	if m.Rows < panelCols {
		clear(dst[:depth*panelCols])
	}
	j := 0
	for ; j+8 <= m.Rows; j += 8 {
		if bf16 {
			packColsPairs(dst[j:], m.RowsOf(j, j+8))
			continue
		}
		transposeInto(dst[j:], (*uint32)(unsafe.Pointer(&m.Data[j*m.Stride])), m.Stride, m.Cols)
	}
	if j < m.Rows {
		fillCols(dst[j:], m.RowsOf(j, m.Rows), depth, bf16)
	}
}

// transposeInto writes 8 rows of n words, stride words apart, as 8 columns of a panel.
func transposeInto(dst []uint32, src *uint32, stride, n int) {
	if n >= 8 {
		transpose8(&dst[0], src, stride*4, n/8)
	}
	for r := range 8 {
		for k := n &^ 7; k < n; k++ {
			dst[k*panelCols+r] = *(*uint32)(unsafe.Add(unsafe.Pointer(src), (r*stride+k)*4))
		}
	}
}

// packColsPairs rounds 8 rows to bfloat16, block by block, and transposes the words of two.
func packColsPairs(dst []uint32, m Mat) {
	const words = 128
	var buf [8 * words]uint32
	for k := 0; k < m.Cols; k += 2 * words {
		n := min(2*words, m.Cols-k)
		for r := range 8 {
			cvtPairs(&buf[r*words], &m.Data[r*m.Stride+k], n)
		}
		transposeInto(dst[k/2*panelCols:], &buf[0], words, (n+1)/2)
	}
}
