package kernel

import "unsafe"

// The packed blocks of AddTransA, in words. Panels and strips are padded by a cache line or two: rows are written to all of
// them in turn, which must not fall on the same lines of the cache.
const (
	transDepth  = 256                              // words of t at once
	transPanels = 16                               // panels of B at once: 512 KiB
	transStrips = 8                                // strips of A at once: 96 KiB
	panelStride = transDepth*panelCols + panelCols // from panel to panel
	stripStride = transDepth*stripRows + 16        // from strip to strip

	scratchWords = transPanels*panelStride + transStrips*stripStride
)

// inPlace says whether AddTransA reads both factors where they lie: where they are small, packing does not pay. The limits
// were found with BenchmarkAddTransA on Zen 4, by trying both ways on all its shapes.
func inPlace(a, b Mat) bool {
	const few = 96
	if variant == avx512 {
		small := a.Rows <= few && b.Cols <= 1024 || a.Cols+b.Cols <= 512
		return small && a.Stride%512 != 0 && b.Stride%512 != 0
	}
	// The narrower tile reads B in half lines and has no mask for it: its rows must stay in the nearest cache.
	return a.Rows <= few && b.Cols%16 == 0 && a.Rows <= rowsInCache(a.Stride) && a.Rows <= rowsInCache(b.Stride)
}

// rowsInCache returns how many rows, stride floats apart, fit into half of a first-level cache of 8 ways and 64 sets: rows
// whose distance is a multiple of a high power of two fall into few of the sets.
func rowsInCache(stride int) int {
	lines := max(1, stride/16)
	return 4 * 64 / min(64, lines&-lines)
}

// addTransAPlace is AddTransA, or AddTransALower, without packing.
func addTransAPlace(c, a, b Mat, lower bool) {
	args := tileArgs{lda: a.Stride * 4, ldb: b.Stride * 4, panel: panelCols * 4, ldc: c.Stride * 4, sum: 1}
	args.columns(c.Cols)
	height := stripHeight(c.Rows)
	for t := 0; t < a.Rows; t += transDepth {
		args.k = min(transDepth, a.Rows-t)
		args.b = unsafe.Pointer(&b.Data[t*b.Stride])
		for r0 := 0; r0 < c.Rows; r0 += height {
			r1 := min(r0+height, c.Rows)
			if lower {
				args.columns(r1)
			}
			args.a = unsafe.Pointer(&a.Data[t*a.Stride+r0])
			args.c = unsafe.Pointer(&c.Data[r0*c.Stride])
			args.run(r1-r0, tileKind{place: true})
		}
	}
}

// transBlock is one block of t of an AddTransA.
type transBlock struct {
	a, b           Mat
	panels, strips []uint32
	height         int  // rows of C in a strip
	bf16, native   bool // native: the processor multiplies bfloat16
}

// addTransATiles is AddTransA, or AddTransALower in float32: a block of B is packed into panels, then a few strips of A at a
// time into rows of 12.
func addTransATiles(c, a, b Mat, s *Scratch, bf16, lower bool) {
	if !bf16 && inPlace(a, b) {
		addTransAPlace(c, a, b, lower)
		return
	}
	s.Reserve()
	k := transBlock{
		panels: s.buf[:transPanels*panelStride],
		strips: s.buf[transPanels*panelStride:],
		height: stripHeight(c.Rows),
		bf16:   bf16,
		native: bf16 && NativeBF16(),
	}
	rows := transDepth
	if k.native {
		rows *= 2
	}
	args := tileArgs{panel: panelStride * 4, ldc: c.Stride * 4, sum: 1}
	kind := tileKind{packed: true, bf16: k.native}
	for t := 0; t < a.Rows; t += rows {
		k.a, k.b = a.RowsOf(t, min(t+rows, a.Rows)), b.RowsOf(t, min(t+rows, a.Rows))
		args.k = packedDepth(k.a.Rows, k.native)
		for j := 0; j < c.Cols; j += transPanels * panelCols {
			end := min(j+transPanels*panelCols, c.Cols)
			k.packPanels(j, end)
			args.b = unsafe.Pointer(&k.panels[0])
			args.columns(end - j)
			first := 0
			if lower {
				first = j / (transStrips * k.height) * (transStrips * k.height) // the others end before column j
			}
			for i := first; i < c.Rows; i += k.height {
				if i%(transStrips*k.height) == 0 {
					k.packStrips(i)
				}
				if lower {
					cols := min(end, i+k.height) - j
					if cols <= 0 {
						continue
					}
					args.columns(cols)
				}
				// The last strips may have been packed with their neighbours to the left.
				strip := i / k.height % transStrips
				args.a = unsafe.Pointer(&k.strips[strip*stripStride+i-k.from(i)])
				args.c = unsafe.Pointer(&c.Data[i*c.Stride+j])
				args.run(min(k.height, c.Rows-i), kind)
			}
		}
	}
}

// from returns the first of the 12 columns of A that are packed for the strip at row i of C: the same, unless they would go
// past the end of A.
func (k *transBlock) from(i int) int { return max(0, min(i, k.a.Cols-stripRows)) }

// packPanels packs columns j to end of B.
func (k *transBlock) packPanels(j, end int) {
	whole := (end - j) / panelCols
	switch n := k.b.Rows; {
	case whole == 0 || k.bf16 && !k.native:
		whole = 0
	case !k.bf16:
		packBlock32((*float32)(unsafe.Pointer(&k.panels[0])), &k.b.Data[j], k.b.Stride*4, panelCols*4, panelStride*4, n, whole)
	default:
		if n > 1 {
			packBlockPairs32(&k.panels[0], &k.b.Data[j], k.b.Stride*4, panelCols*4, panelStride*4, n/2, whole)
		}
		for p := range whole {
			packLast(k.panels[p*panelStride:], k.b.ColsOf(j+p*panelCols, j+(p+1)*panelCols), panelCols)
		}
	}
	for p := j + whole*panelCols; p < end; p += panelCols {
		dst, m := k.panels[(p-j)/panelCols*panelStride:], k.b.ColsOf(p, min(p+panelCols, end))
		if k.bf16 && !k.native {
			packRounded(dst, m, panelCols)
		} else {
			packRows(dst, m, k.bf16)
		}
	}
}

// packStrips packs the strips of A from row i of C on.
func (k *transBlock) packStrips(i int) {
	last := min(i+transStrips*k.height, k.a.Cols)
	whole := 0
	if k.a.Cols >= i+stripRows && (!k.bf16 || k.native) {
		whole = min(transStrips, (k.a.Cols-stripRows-i)/k.height+1)
	}
	n := k.a.Rows
	switch {
	case whole == 0:
	case !k.bf16:
		packBlock12((*float32)(unsafe.Pointer(&k.strips[0])), &k.a.Data[i], k.a.Stride*4, k.height*4, stripStride*4, n, whole)
	default:
		if n > 1 {
			packBlockPairs12(&k.strips[0], &k.a.Data[i], k.a.Stride*4, k.height*4, stripStride*4, n/2, whole)
		}
		for s := range whole {
			packLast(k.strips[s*stripStride:], k.a.ColsOf(i+s*k.height, i+s*k.height+stripRows), stripRows)
		}
	}
	for s := whole; i+s*k.height < last; s++ {
		from := k.from(i + s*k.height)
		dst, m := k.strips[s*stripStride:], k.a.ColsOf(from, min(from+stripRows, k.a.Cols))
		if k.bf16 && !k.native {
			packRounded(dst, m, stripRows)
		} else {
			packStrip(dst, m, k.bf16)
		}
	}
}

// packLast packs the last row of m, if it has no partner, with zeros.
func packLast(dst []uint32, m Mat, width int) {
	if m.Rows%2 == 0 {
		return
	}
	out := dst[m.Rows/2*width:][:width]
	for i, x := range m.Row(m.Rows - 1) {
		out[i] = packBF16(x, 0)
	}
	clear(out[m.Cols:])
}

// packRounded packs rows of the given width, rounded to bfloat16 but kept in float32, the two of a pair exchanged: the
// processor adds the second product of a pair first.
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
		packLast(dst, m, stripRows)
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
