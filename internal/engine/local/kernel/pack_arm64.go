package kernel

import "unsafe"

// packRows packs the rows of m, at most 32 wide, as one panel.
func packRows(dst []uint32, m Mat, bf16 bool) {
	if variant == generic || m.Cols < panelCols || m.Rows < 2 {
		packRowsGeneric(dst, m, bf16)
		return
	}
	if !bf16 {
		packRows32N(&dst[0], &m.Data[0], m.Stride*4, m.Rows)
		return
	}
	n := m.Rows / 2
	packPairs32N(&dst[0], &m.Data[0], m.Stride*4, n)
	packRowsGeneric(dst[n*panelCols:], m.RowsOf(2*n, m.Rows), true)
}

// packCols packs the rows of m, at most 32, as the columns of one panel.
func packCols(dst []uint32, m Mat, bf16 bool) {
	if variant == generic || m.Cols < 4 || m.Rows < 4 {
		packColsGeneric(dst, m, bf16)
		return
	}
	depth := packedDepth(m.Cols, bf16)
	if m.Rows < panelCols {
		clear(dst[:depth*panelCols])
	}
	j := 0
	for ; j+4 <= m.Rows; j += 4 {
		if bf16 {
			packColsPairs(dst[j:], m.RowsOf(j, j+4))
			continue
		}
		var rows [4]*uint32
		for r := range rows {
			rows[r] = (*uint32)(unsafe.Pointer(&m.Data[(j+r)*m.Stride]))
		}
		transposeInto(dst[j:], panelCols, rows, m.Cols)
	}
	if j < m.Rows {
		fillCols(dst[j:], m.RowsOf(j, m.Rows), depth, bf16)
	}
}

// transposeInto writes four rows of n words as four columns of a matrix with so many words a row.
func transposeInto(dst []uint32, width int, rows [4]*uint32, n int) {
	if n >= 4 {
		transpose4N(&dst[0], width*4, rows[0], rows[1], rows[2], rows[3], n/4)
	}
	for r, row := range rows {
		for k := n &^ 3; k < n; k++ {
			dst[k*width+r] = *(*uint32)(unsafe.Add(unsafe.Pointer(row), k*4))
		}
	}
}

// packColsPairs rounds four rows to bfloat16, block by block, and transposes the words of two.
func packColsPairs(dst []uint32, m Mat) {
	const words = 128
	var buf [4 * words]uint32
	for k := 0; k < m.Cols; k += 2 * words {
		n := min(2*words, m.Cols-k)
		var rows [4]*uint32
		for r := range rows {
			out := buf[r*words:][:words]
			row := m.Row(r)[k : k+n]
			whole := n &^ 15
			cvtPairsN(&out[0], &row[0], whole)
			for i := whole; i < n; i += 2 {
				hi := float32(0)
				if i+1 < n {
					hi = row[i+1]
				}
				out[i/2] = packBF16(row[i], hi)
			}
			rows[r] = &out[0]
		}
		transposeInto(dst[k/2*panelCols:], panelCols, rows, (n+1)/2)
	}
}

// packRowsAsStrip packs 1 to 12 rows of A as columns of a strip. In pairs it rounds them and fills up an odd number of k.
// Columns that no row has hold anything.
func packRowsAsStrip(strip []float32, m Mat, paired bool) {
	for q := 0; q < m.Rows; q += 4 {
		var rows [4]*uint32
		for r := range rows {
			rows[r] = (*uint32)(unsafe.Pointer(&m.Data[min(q+r, m.Rows-1)*m.Stride]))
		}
		words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(strip))), len(strip))
		transposeInto(words[q:], stripRows, rows, m.Cols)
	}
	if paired {
		roundStrip(strip, m.Cols)
	}
}

// packColsAsStrip packs columns first to end, at most 12, of A and returns where in each row of the strip the first one is: the
// last strips are packed with their neighbours to the left.
func packColsAsStrip(strip []float32, a Mat, first, end int, paired bool) (at int) {
	if from := min(first, a.Cols-stripRows); from >= 0 {
		packRows12N((*uint32)(unsafe.Pointer(unsafe.SliceData(strip))), &a.Data[from], a.Stride*4, a.Rows)
		at = first - from
	} else {
		for k := range a.Rows {
			copy(strip[k*stripRows:], a.Row(k)[first:end])
		}
	}
	if paired {
		roundStrip(strip, a.Rows)
	}
	return at
}

// roundStrip rounds a strip of n rows to bfloat16 and, if n is odd, adds a row of zeros.
func roundStrip(strip []float32, n int) {
	roundHalfN(&strip[0], &strip[0], n*stripRows)
	if n%2 != 0 {
		clear(strip[n*stripRows:][:stripRows])
	}
}
