package kernel

import "unsafe"

// The products of numerics AMX without its instruction: each strip of A is rounded first, and the assembly widens B's halves
// as it goes. It is the twin of the tiles: the same bits, at the speed of float32's multiply-adds.

// chainArgs is what the assembly of a strip reads, by offset; it begins like tileArgs.
type chainArgs struct {
	a     unsafe.Pointer // first row
	lda   int            // bytes from row to row
	b     unsafe.Pointer // first panel at the first k
	panel int            // bytes from panel to panel
	c     unsafe.Pointer // first element
	ldc   int            // bytes from row to row
	k     int            // words of k
	count int            // panels, or half panels in AVX2
	mask  uintptr        // of the last: bits, or the address of a vector mask; 0 if it is full
	sum   int            // not zero: start from C
	_     [2]uint32      // the vector unit's control word as it was, and with subnormal numbers off
}

// columns sets the panels of a strip: cols columns from the first panel on.
func (k *chainArgs) columns(cols int) {
	var t tileArgs
	t.columns(cols)
	k.count, k.mask = t.count, t.mask
}

// chainHeight is how many rows the assembly takes at once.
func chainHeight() int {
	if variant == avx512 {
		return 6
	}
	return 3
}

// run computes a strip of up to 12 rows, whose A is packed in twelves or in rows.
func (k chainArgs) run(rows int, packed bool) {
	most := chainHeight()
	for {
		n := min(rows, most)
		switch {
		case variant == avx512 && packed:
			chainPackedZ(n, &k)
		case variant == avx512:
			chainZ(n, &k)
		case packed:
			chainPackedY(n, &k)
		default:
			chainY(n, &k)
		}
		if rows -= n; rows == 0 {
			return
		}
		k.c = unsafe.Add(k.c, n*k.ldc)
		if packed {
			k.a = unsafe.Add(k.a, n*4)
		} else {
			k.a = unsafe.Add(k.a, n*k.lda)
		}
	}
}

// roundRow rounds a row to bfloat16 and keeps it in float32.
func roundRow(dst, src *float32, n int) {
	if variant == avx512 {
		roundHalfZ(dst, src, n)
		return
	}
	roundHalfY(dst, src, n)
}

// mulChains is Mul in numerics AMX.
func mulChains(c, a Mat, b *Packed, accumulate bool) {
	switch {
	case tiles:
		mulAMX(c, a, b, accumulate)
	case variant == generic:
		mulChainsGeneric(c, a, b, accumulate)
	case a.Cols <= 128:
		var strip [stripRows * (128 + 16)]float32
		mulChainStrips(c, a, b, accumulate, &strip[0], 128)
	default:
		var strip [stripRows * (chainDepth + 16)]float32
		mulChainStrips(c, a, b, accumulate, &strip[0], chainDepth)
	}
}

// chainDepth is the most k that are done in one go, a multiple of chainBlock.
const chainDepth = 512

// mulChainStrips is mulChains given a strip of rows of most+16 floats.
func mulChainStrips(c, a Mat, b *Packed, accumulate bool, strip *float32, most int) {
	stride := (most + 16) * 4
	args := chainArgs{a: unsafe.Pointer(strip), lda: stride, panel: b.words * panelCols * 4, ldc: c.Stride * 4}
	group := groupOf(packedDepth(min(most, a.Cols), true)) * panelCols
	n := strips(c.Rows)
	for k := 0; k < a.Cols; k += most {
		width := min(most, a.Cols-k)
		args.k = packedDepth(width, true)
		args.sum = sumFlag(accumulate || k > 0)
		for j := 0; j < c.Cols; j += group {
			args.b = unsafe.Pointer(&b.buf[j*b.words+k/2*panelCols])
			args.columns(min(group, c.Cols-j))
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				for r := r0; r < r1; r++ {
					row := unsafe.Add(unsafe.Pointer(strip), (r-r0)*stride)
					roundRow((*float32)(row), &a.Data[r*a.Stride+k], width)
					if width%2 != 0 {
						*(*float32)(unsafe.Add(row, width*4)) = 0
					}
				}
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, false)
			}
		}
	}
}

// mulEachChains is MulEach in numerics AMX, on tiles or not: a single row leaves fifteen of sixteen rows of a tile idle, and the
// matrices' way from memory is what takes the time.
func mulEachChains(c, a Mat, b, _ []*Packed) {
	if variant == generic {
		mulEachChainsGeneric(c, a, b)
		return
	}
	var strip [chainDepth]float32
	args := chainArgs{a: unsafe.Pointer(&strip), panel: b[0].words * panelCols * 4}
	args.columns(c.Cols)
	for i := range c.Rows {
		args.c = unsafe.Pointer(&c.Data[i*c.Stride])
		for k := 0; k < a.Cols; k += chainDepth {
			width := min(chainDepth, a.Cols-k)
			roundRow(&strip[0], &a.Data[i*a.Stride+k], width)
			if width%2 != 0 {
				strip[width] = 0
			}
			args.k = packedDepth(width, true)
			args.sum = sumFlag(k > 0)
			args.b = unsafe.Pointer(&b[i].buf[k/2*panelCols])
			args.run(1, false)
		}
	}
}

// addTransAChains is AddTransA in numerics AMX: blocks of t are packed as for bfloat16, A's strips in float32.
func addTransAChains(c, a, b Mat, s *Scratch) {
	switch {
	case tiles:
		addTransAAMX(c, a, b, s)
		return
	case variant == generic:
		addTransAChainsGeneric(c, a, b)
		return
	}
	s.Reserve()
	k := transBlock{
		panels: s.buf[:transPanels*panelStride],
		strips: s.buf[transPanels*panelStride:],
		height: stripHeight(c.Rows),
		bf16:   true,
		native: true,
	}
	args := chainArgs{panel: panelStride * 4, ldc: c.Stride * 4, sum: 1}
	for t := 0; t < a.Rows; t += transDepth {
		end := min(t+transDepth, a.Rows)
		k.a, k.b = a.RowsOf(t, end), b.RowsOf(t, end)
		args.k = packedDepth(end-t, true)
		for j := 0; j < c.Cols; j += transPanels * panelCols {
			end := min(j+transPanels*panelCols, c.Cols)
			k.packHalves(j, end)
			args.b = unsafe.Pointer(&k.panels[0])
			args.columns(end - j)
			for i := 0; i < c.Rows; i += k.height {
				if i%(transStrips*k.height) == 0 {
					k.packRoundedStrips(i)
				}
				strip := i / k.height % transStrips
				args.a = unsafe.Pointer(&k.strips[strip*stripStride+i-k.from(i)])
				args.c = unsafe.Pointer(&c.Data[i*c.Stride+j])
				args.run(min(k.height, c.Rows-i), true)
			}
		}
	}
}

// packHalves packs columns j to end of B in pairs, by the processor's conversion where it has one.
func (k *transBlock) packHalves(j, end int) {
	if NativeBF16() {
		k.packPanels(j, end)
		return
	}
	for p := j; p < end; p += panelCols {
		packRowsGeneric(k.panels[(p-j)/panelCols*panelStride:], k.b.ColsOf(p, min(p+panelCols, end)), true)
	}
}

// packRoundedStrips packs the strips of A from row i of C on, as in float32, and rounds them.
func (k *transBlock) packRoundedStrips(i int) {
	bf16 := k.bf16
	k.bf16 = false
	k.packStrips(i)
	k.bf16 = bf16
	n := k.a.Rows
	for s := 0; s < transStrips && i+s*k.height < k.a.Cols; s++ {
		strip := k.strips[s*stripStride:][:(n+n%2)*stripRows]
		clear(strip[n*stripRows:])
		first := (*float32)(unsafe.Pointer(&strip[0]))
		roundRow(first, first, n*stripRows)
	}
}

// roundHalf rounds src to bfloat16 and keeps it in float32.
func roundHalf(dst, src []float32) {
	if variant == generic || len(src) == 0 {
		roundHalfGeneric(dst, src)
		return
	}
	roundRow(at(dst), at(src), len(src))
}
