package kernel

import "unsafe"

// The packed blocks of AddTransA, in words. Panels are padded by a cache line or two: rows are written to all of them in turn,
// which must not fall on the same lines of the cache.
const (
	transDepth  = neonDepth                        // rows of A and B at once
	transPanels = 16                               // panels of B at once
	panelStride = transDepth*panelCols + panelCols // from panel to panel

	scratchWords = transPanels*panelStride + (transDepth+2)*stripRows
)

func addTransATiles(c, a, b Mat, s *Scratch, bf16, lower bool) {
	num := F32
	if bf16 {
		num = BF16
	}
	addTransAStrips(c, a, b, s, num, lower)
}

// addTransAStrips is AddTransA in every numerics, or AddTransALower: a block of B is packed into panels, then one strip of A
// after another into rows of 12.
func addTransAStrips(c, a, b Mat, s *Scratch, num Numerics, lower bool) {
	s.Reserve()
	panels, words := s.buf[:transPanels*panelStride], s.buf[transPanels*panelStride:]
	strip := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(words))), len(words))
	height, paired := stripHeight(c.Rows), num.paired()
	args := neonTile{b: unsafe.Pointer(&panels[0]), panel: panelStride * 4, ldc: c.Stride * 4, sum: 1}
	for t := 0; t < a.Rows; t += transDepth {
		ta, tb := a.RowsOf(t, min(t+transDepth, a.Rows)), b.RowsOf(t, min(t+transDepth, a.Rows))
		args.k = packedDepth(ta.Rows, paired)
		for j := 0; j < c.Cols; j += transPanels * panelCols {
			end := min(j+transPanels*panelCols, c.Cols)
			for p := j; p < end; p += panelCols {
				packRows(panels[(p-j)/panelCols*panelStride:], tb.ColsOf(p, min(p+panelCols, end)), paired)
			}
			for i := 0; i < c.Rows; i += height {
				last := min(i+height, c.Rows)
				cols := end - j
				if lower {
					cols = min(end, i+height) - j
				}
				if cols <= 0 {
					continue
				}
				at := packColsAsStrip(strip, ta, i, last, paired)
				args.a = unsafe.Pointer(&strip[at])
				args.c = unsafe.Pointer(&c.Data[i*c.Stride+j])
				args.strip(last-i, cols, num)
			}
		}
	}
}
