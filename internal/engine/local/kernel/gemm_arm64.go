package kernel

import "unsafe"

//go:generate go run ./gen

// The blocking of products. It moves the work through the caches and changes no bit. The nearest cache has 64 KiB or more on
// every processor in question, the second one 512 KiB or more.
const (
	neonDepth  = 256      // k at once, a multiple of chainBlock: a panel of 32 KiB, a strip of 12
	neonGroup  = 64 << 10 // words of B that one strip after another passes over
	neonFewest = 64       // k up to which a strip is small enough to be cleared for every product
)

// neonTile is what the assembly of a strip reads, by offset.
type neonTile struct {
	a     unsafe.Pointer // packed [k][12]; in pairs rounded to bfloat16
	b     unsafe.Pointer // first panel at the first k
	panel int            // bytes from panel to panel
	c     unsafe.Pointer // first element
	ldc   int            // bytes from row to row
	k     int            // words of k
	count int            // tiles of as many columns as neonWidth says
	sum   int            // not zero: start from C
	tiny  int            // numerics AMX: whether a result was so small that Arm and Intel may differ about it
}

// neonWidth returns the columns of a tile of so many rows, in float32 and in pairs.
func neonWidth(rows int) int {
	switch {
	case rows <= 3:
		return 32
	case rows <= 6:
		return 16
	}
	return 8
}

// run computes the tiles of a strip.
func (t *neonTile) run(rows int, num Numerics) {
	if num == F32 {
		tileN(rows, t)
		return
	}
	tilePairsN(rows, t)
}

// strip computes 1 to 12 rows and cols columns of C.
func (t *neonTile) strip(rows, cols int, num Numerics) {
	if num == AMX {
		t.chains(rows, cols)
		return
	}
	width := neonWidth(rows)
	if t.count = cols / width; t.count > 0 {
		t.run(rows, num)
	}
	if done := t.count * width; done < cols {
		t.edge(rows, done, cols, num)
	}
}

// edge computes columns from to end of C, fewer than a tile has, by way of a tile of its own.
func (t *neonTile) edge(rows, from, end int, num Numerics) {
	var own [stripRows * panelCols]float32
	// A copy, since a pointer written through t would move what it points at to the heap.
	e := *t
	e.b = unsafe.Add(t.b, from/panelCols*t.panel+from%panelCols*4)
	e.c, e.ldc, e.count = unsafe.Pointer(&own), panelCols*4, 1
	c := Mat{Data: t.cData(rows, end), Rows: rows, Cols: end, Stride: t.ldc / 4}
	if t.sum != 0 {
		for i := range rows {
			copy(own[i*panelCols:], c.Row(i)[from:])
		}
	}
	e.run(rows, num)
	for i := range rows {
		copy(c.Row(i)[from:], own[i*panelCols:])
	}
}

// cData views C from the strip's first element to the end of its last row.
func (t *neonTile) cData(rows, cols int) []float32 {
	return unsafe.Slice((*float32)(t.c), (rows-1)*t.ldc/4+cols)
}

// mulTiles is Mul on float32, or MulLower.
func mulTiles(c, a Mat, b *Packed, accumulate, lower bool) { mulStrips(c, a, b, accumulate, lower) }

// mulTilesBF16 is Mul on bfloat16.
func mulTilesBF16(c, a Mat, b *Packed, accumulate bool) { mulStrips(c, a, b, accumulate, false) }

// mulStrips is Mul in every numerics, or MulLower.
func mulStrips(c, a Mat, b *Packed, accumulate, lower bool) {
	if a.Cols <= neonFewest {
		var strip [(neonFewest + 2) * stripRows]float32
		mulStripsIn(strip[:], neonFewest, c, a, b, accumulate, lower)
		return
	}
	var strip [(neonDepth + 2) * stripRows]float32
	mulStripsIn(strip[:], neonDepth, c, a, b, accumulate, lower)
}

// mulStripsIn is mulStrips with room for most rows of a packed strip, and one or two more.
func mulStripsIn(strip []float32, most int, c, a Mat, b *Packed, accumulate, lower bool) {
	paired := b.num.paired()
	t := neonTile{a: unsafe.Pointer(unsafe.SliceData(strip)), panel: b.words * panelCols * 4, ldc: c.Stride * 4}
	n := strips(c.Rows)
	for k := 0; k < a.Cols; k += most {
		width := min(most, a.Cols-k)
		t.k = packedDepth(width, paired)
		if t.sum = 0; accumulate || k > 0 {
			t.sum = 1
		}
		group := max(1, neonGroup/(t.k*panelCols)) * panelCols
		for j := 0; j < c.Cols; j += group {
			t.b = unsafe.Pointer(&b.buf[j*b.words+packedDepth(k, paired)*panelCols])
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				cols := min(group, c.Cols-j)
				if lower {
					cols = min(cols, c.Cols-c.Rows+r1-j)
				}
				if cols <= 0 {
					continue
				}
				packRowsAsStrip(strip, a.View(r0, r1, k, k+width), paired)
				t.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				t.strip(r1-r0, cols, b.num)
			}
		}
	}
}

// neonEach is what the assembly of mulEach reads, by offset.
type neonEach struct {
	a, b, next, c [2]unsafe.Pointer
	k             int
}

// mulEach is MulEach in float32, two rows at a time.
func mulEach(c, a Mat, b, next []*Packed) {
	for i := 0; i < c.Rows; i += 2 {
		n := min(2, c.Rows-i)
		for j := 0; j < c.Cols; j += panelCols {
			args := neonEach{k: a.Cols}
			for r := range n {
				args.a[r] = unsafe.Pointer(&a.Data[(i+r)*a.Stride])
				args.b[r] = unsafe.Pointer(&b[i+r].buf[j*b[i+r].words])
				args.next[r] = args.b[r]
				if at := j * next[i+r].words; at < len(next[i+r].buf) {
					args.next[r] = unsafe.Pointer(&next[i+r].buf[at])
				}
			}
			mulEachPanel(&args, c.View(i, i+n, j, min(j+panelCols, c.Cols)))
		}
	}
}

// mulEachPanel computes the columns of one panel.
func mulEachPanel(args *neonEach, c Mat) {
	var own [2 * panelCols]float32
	e := *args
	whole := c.Cols == panelCols || c.Cols == panelCols/2
	for r := range c.Rows {
		if e.c[r] = unsafe.Pointer(&own[r*panelCols]); whole {
			e.c[r] = unsafe.Pointer(&c.Data[r*c.Stride])
		}
	}
	switch {
	case c.Cols <= panelCols/2 && c.Rows == 1:
		each16N1(&e)
	case c.Cols <= panelCols/2:
		each16N2(&e)
	case c.Rows == 1:
		each32N1(&e)
	default:
		each32N2(&e)
	}
	for r := 0; r < c.Rows && !whole; r++ {
		copy(c.Row(r), own[r*panelCols:])
	}
}
