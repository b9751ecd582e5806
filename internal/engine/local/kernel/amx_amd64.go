package kernel

import "unsafe"

// The products of numerics AMX on the processor's tiles: strips of 32 rows of A times panels of 32 columns of B, four tiles of C
// at a time. What does not fill a tile is a smaller tile, so that there is nothing but the instruction's own rounding.

// tileDim is the number of rows, and of columns of C, of a full tile; a strip is two of them high.
const (
	tileDim  = 16
	amxStrip = 2 * tileDim
)

// tileShapes is what LDTILECFG reads: palette 1, then the bytes of a row and the rows of each tile.
type tileShapes struct {
	palette, start uint8
	_              [14]uint8
	rowBytes       [16]uint16
	rows           [16]uint8
}

// amxArgs is what the assembly reads, by offset.
type amxArgs struct {
	a      unsafe.Pointer // first row
	lda    int            // bytes from row to row
	b      unsafe.Pointer // first panel at the first k
	panel  int            // bytes from panel to panel
	c      unsafe.Pointer // first element
	ldc    int            // bytes from row to row
	k      int            // blocks of 32 k
	count  int            // panels
	low    int            // bytes from A's first row to its row 16
	step   int            // bytes from two blocks of A to the next two
	sum    int            // not zero: start from C
	shapes tileShapes
}

// set shapes one tile. One without rows or columns does not exist.
func (s *tileShapes) set(tile, rows, words int) {
	if rows == 0 || words == 0 {
		rows, words = 0, 0
	}
	s.rows[tile], s.rowBytes[tile] = uint8(rows), uint16(4*words)
}

// tileHook, in tests, takes the place of the assembly. It gets the address of its amxArgs as a number, or else they, and the strip
// that they point at, would move to the heap.
var tileHook func(rows, cols int, args uintptr)

// shape sets the tiles of rows × cols of C, of so many words of a block of k, and returns how many tiles high and wide C is.
func (s *tileShapes) shape(rows, cols, words int) (high, wide int) {
	r0, c0 := min(rows, tileDim), min(cols, tileDim)
	r1, c1 := rows-r0, cols-c0
	s.palette = 1
	for i, z := range [8][2]int{{r0, c0}, {r0, c1}, {r1, c0}, {r1, c1}, {r0, words}, {r1, words}, {words, c0}, {words, c1}} {
		s.set(i, z[0], z[1])
	}
	return 1 + sumFlag(r1 > 0), 1 + sumFlag(c1 > 0)
}

// run computes rows × cols of each of count panels, of so many words of a block of k.
func (m *amxArgs) run(rows, cols, words int) {
	high, wide := m.shapes.shape(rows, cols, words)
	if tileHook != nil {
		tileHook(high, wide, uintptr(unsafe.Pointer(m)))
		return
	}
	tileAMX(high, wide, m)
}

// strip computes cols columns of a strip over k of A's columns: whole blocks, then what is left, and of columns alike.
func (m amxArgs) strip(rows, cols, k int) {
	whole, rest := k/chainBlock, packedDepth(k%chainBlock, true)
	m.columns(rows, cols, whole, tileDim)
	if rest == 0 {
		return
	}
	if whole > 0 {
		m.sum = 1
		m.a = unsafe.Add(m.a, whole/2*m.step+whole%2*4*tileDim)
		m.b = unsafe.Add(m.b, whole*tileDim*panelCols*4)
	}
	m.columns(rows, cols, 1, rest)
}

// columns computes cols columns of a strip over so many blocks of k, of so many words each.
func (m amxArgs) columns(rows, cols, blocks, words int) {
	if blocks == 0 {
		return
	}
	m.k = blocks
	if m.count = cols / panelCols; m.count > 0 {
		m.run(rows, panelCols, words)
	}
	if left := cols % panelCols; left > 0 {
		m.b, m.c = unsafe.Add(m.b, m.count*m.panel), unsafe.Add(m.c, m.count*panelCols*4)
		m.count = 1
		m.run(rows, left, words)
	}
}

// mulAMX is Mul on tiles.
func mulAMX(c, a Mat, b *Packed, accumulate bool) {
	if a.Cols <= 128 {
		var strip [amxStrip * (64 + 16)]uint32
		mulAMXStrips(c, a, b, accumulate, &strip[0], 64)
		return
	}
	var strip [amxStrip * (chainDepth/2 + 16)]uint32
	mulAMXStrips(c, a, b, accumulate, &strip[0], chainDepth/2)
}

// mulAMXStrips is mulAMX given a strip of rows of most+16 words: the gap keeps them off the same lines of the cache.
func mulAMXStrips(c, a Mat, b *Packed, accumulate bool, strip *uint32, most int) {
	stride := (most + 16) * 4
	args := amxArgs{
		a: unsafe.Pointer(strip), lda: stride, low: tileDim * stride, step: 2 * tileDim * 4,
		panel: b.words * panelCols * 4, ldc: c.Stride * 4,
	}
	for k := 0; k < a.Cols; k += 2 * most {
		width := min(2*most, a.Cols-k)
		args.sum = sumFlag(accumulate || k > 0)
		group := groupOf(packedDepth(width, true)) * panelCols
		for j := 0; j < c.Cols; j += group {
			args.b = unsafe.Pointer(&b.buf[j*b.words+k/2*panelCols])
			for i := 0; i < c.Rows; i += amxStrip {
				rows := min(amxStrip, c.Rows-i)
				for r := range rows {
					cvtPairs((*uint32)(unsafe.Add(unsafe.Pointer(strip), r*stride)), &a.Data[(i+r)*a.Stride+k], width)
				}
				args.c = unsafe.Pointer(&c.Data[i*c.Stride+j])
				args.strip(rows, min(group, c.Cols-j), width)
			}
		}
	}
}

// The working memory of addTransAAMX behind B's panels, in words: a strip of A in pairs as a panel, and turned around.
const (
	amxPairs  = transDepth * panelCols
	amxTurned = transDepth * panelCols
)

// addTransAAMX is AddTransA on tiles. A strip of A is packed in pairs like a panel of B, then turned around in squares of 32
// words, so that its columns are rows of tiles.
func addTransAAMX(c, a, b Mat, s *Scratch) {
	s.Reserve()
	k := transBlock{panels: s.buf[:transPanels*panelStride], bf16: true, native: true}
	pairs := s.buf[transPanels*panelStride:][:amxPairs]
	turned := s.buf[transPanels*panelStride+amxPairs:][:amxTurned]
	const square = panelCols * panelCols
	args := amxArgs{
		a: unsafe.Pointer(&turned[0]), lda: panelCols * 4, low: tileDim * panelCols * 4, step: square * 4,
		b: unsafe.Pointer(&k.panels[0]), panel: panelStride * 4, ldc: c.Stride * 4, sum: 1,
	}
	for t := 0; t < a.Rows; t += 2 * transDepth {
		end := min(t+2*transDepth, a.Rows)
		k.b = b.RowsOf(t, end)
		words := packedDepth(end-t, true)
		for j := 0; j < c.Cols; j += transPanels * panelCols {
			last := min(j+transPanels*panelCols, c.Cols)
			k.packPanels(j, last)
			for i := 0; i < c.Rows; i += amxStrip {
				rows := min(amxStrip, c.Rows-i)
				packRows(pairs, a.View(t, end, i, i+rows), true)
				for w := 0; w < words; w += 8 {
					transposeInto(turned[w/panelCols*square+w%panelCols:], &pairs[w*panelCols], panelCols, panelCols)
				}
				args.c = unsafe.Pointer(&c.Data[i*c.Stride+j])
				args.strip(rows, last-j, end-t)
			}
		}
	}
}

// peakTiles runs the register-only loop and returns the number of floating point operations.
func peakTiles(iters int) float64 {
	var args amxArgs
	args.shapes.shape(amxStrip, panelCols, tileDim)
	peakAMX(&args, iters)
	return float64(iters) * 4 * 2 * tileDim * tileDim * chainBlock
}
