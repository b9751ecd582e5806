package kernel

import "unsafe"

// addTransATiles is AddTransA: a block of B is packed into panels, then one strip of A after another into rows of 12.
func addTransATiles(c, a, b Mat, s *Scratch, bf16 bool) {
	const panelWords = transDepth * panelCols
	const stripSize = transDepth*stripRows + 16
	if s.buf == nil {
		s.buf = alignedWords(transCols*panelWords + stripSize)
	}
	panels, strip := s.buf[:transCols*panelWords], s.buf[transCols*panelWords:]
	native := bf16 && NativeBF16()
	rows := transDepth
	if native {
		rows *= 2
	}
	args := tileArgs{b: unsafe.Pointer(&panels[0]), panel: panelWords * 4, ldc: c.Stride * 4, sum: 1}
	n := strips(c.Rows)
	for t := 0; t < a.Rows; t += rows {
		at, bt := a.RowsOf(t, min(t+rows, a.Rows)), b.RowsOf(t, min(t+rows, a.Rows))
		args.k = packedDepth(at.Rows, native)
		for j := 0; j < c.Cols; j += transCols * panelCols {
			end := min(j+transCols*panelCols, c.Cols)
			for p := j; p < end; p += panelCols {
				dst := panels[(p-j)*transDepth:]
				m := bt.ColsOf(p, min(p+panelCols, end))
				if bf16 && !native {
					packRounded(dst, m, panelCols)
				} else {
					packRows(dst, m, bf16)
				}
			}
			args.columns(end - j)
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				// A strip of fewer rows is packed with its neighbours to the left, so that every row of the copy is whole.
				from := max(0, min(r0, c.Rows-stripRows))
				m := at.ColsOf(from, min(from+stripRows, c.Rows))
				if bf16 && !native {
					packRounded(strip, m, stripRows)
				} else {
					packStrip(strip, m, bf16)
				}
				args.a = unsafe.Pointer(&strip[r0-from])
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, tileKind{packed: true, bf16: native})
			}
		}
	}
}

// packRounded packs rows of the given width, rounded to bfloat16 but kept in float32, the two of a pair exchanged.
func packRounded(dst []uint32, m Mat, width int) {
	for t := range m.Rows {
		from := t
		if t^1 < m.Rows {
			from = t ^ 1
		}
		out := dst[t*width:][:width]
		for i, x := range m.Row(from) {
			out[i] = float32bits(roundBF16(x))
		}
		clear(out[m.Cols:])
	}
}

// packStrip packs at most 12 columns of A.
func packStrip(dst []uint32, m Mat, bf16 bool) {
	switch {
	case bf16:
		if n := m.Rows / 2; n > 0 {
			packPairs12(&dst[0], &m.Data[0], m.Stride*4, n, 1<<m.Cols-1)
		}
		if t := m.Rows - 1; t%2 == 0 {
			out := dst[t/2*stripRows:][:stripRows]
			for i, x := range m.Row(t) {
				out[i] = packBF16(x, 0)
			}
		}
	case m.Cols == stripRows:
		packRows12((*float32)(unsafe.Pointer(&dst[0])), &m.Data[0], m.Stride*4, m.Rows)
	default:
		for t := range m.Rows {
			out := dst[t*stripRows:][:stripRows]
			for i, x := range m.Row(t) {
				out[i] = float32bits(x)
			}
		}
	}
}

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
		if t := m.Rows - 1; t%2 == 0 {
			packRowsGeneric(dst[t/2*panelCols:], m.RowsOf(t, t+1), true)
		}
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
