package kernel

import "unsafe"

//go:generate go run ./gen

// The blocking of products. It moves the work through the caches and changes no bit: between two blocks of k an element
// rests in C, in the precision of its accumulator.
const (
	maxDepth       = 768       // words of k that are done in one go
	depthBlock     = 512       // words of k at once when there are more
	groupWords     = 96 << 10  // words of B that one strip after another passes over: 384 KiB, well inside L2
	copyGroupWords = 128 << 10 // the same where each strip is copied once for every group
	shortPanel     = 256       // words of k of a panel that fits into the nearest cache
)

// tileArgs is what the assembly of a strip reads, by offset.
type tileArgs struct {
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
	ldb   int            // bytes from row to row of B, if it is read in place
}

// tileKind says which family of strip functions to call: A's rows in place, A packed, or A transposed and both in place.
type tileKind struct{ packed, place, bf16 bool }

// columns sets the panels of a strip: cols columns from the first panel on.
func (t *tileArgs) columns(cols int) {
	if variant == avx512 {
		t.count = (cols + panelCols - 1) / panelCols
		t.mask = 0
		if r := cols % panelCols; r != 0 {
			t.mask = 1<<r - 1
		}
		return
	}
	const half = panelCols / 2
	t.count = (cols + half - 1) / half
	t.mask = 0
	if r := cols % half; r != 0 {
		t.mask = uintptr(unsafe.Pointer(&vectorMasks[half-r]))
	}
}

// vectorMasks gives the mask of the first r of 16 lanes at index 16-r.
var vectorMasks = [32]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// run computes a strip of 1 to 12 rows.
func (t *tileArgs) run(rows int, kind tileKind) {
	if variant == avx512 {
		switch {
		case kind.bf16 && kind.packed:
			tilePackedBF16Z(rows, t)
		case kind.bf16:
			tileBF16Z(rows, t)
		case kind.packed:
			tilePackedZ(rows, t)
		case kind.place:
			tilePlaceZ(rows, t)
		default:
			tileZ(rows, t)
		}
		return
	}
	t.runY(min(rows, stripRows/2), kind)
	if rows <= stripRows/2 {
		return
	}
	// A copy, since a pointer written back through t would move what it points at to the heap.
	rest := *t
	rest.c = unsafe.Add(t.c, stripRows/2*t.ldc)
	if kind.packed || kind.place {
		rest.a = unsafe.Add(t.a, stripRows/2*4)
	} else {
		rest.a = unsafe.Add(t.a, stripRows/2*t.lda)
	}
	rest.runY(rows-stripRows/2, kind)
}

// runY computes a strip of 1 to 6 rows.
func (t *tileArgs) runY(rows int, kind tileKind) {
	switch {
	case kind.packed:
		tilePackedY(rows, t)
	case kind.place:
		tilePlaceY(rows, t)
	default:
		tileY(rows, t)
	}
}

// blocks splits depth words of k.
func blocks(depth int) (size int) {
	if depth <= maxDepth {
		return depth
	}
	n := (depth + depthBlock - 1) / depthBlock
	return (depth + n - 1) / n
}

// groupOf returns how many panels of depth words one strip after another passes over.
func groupOf(depth int) int { return max(1, groupWords/(depth*panelCols)) }

// mulTiles is Mul on float32, or MulLower. A is read in place, unless its rows lie so that they fall on the same lines of the
// cache.
func mulTiles(c, a Mat, b *Packed, accumulate, lower bool) {
	if a.Stride%512 == 0 && a.Rows > 4 && a.Cols >= 128 && c.Cols > 2*panelCols {
		mulTilesCopy(c, a, b, accumulate, lower)
		return
	}
	args := tileArgs{lda: a.Stride * 4, panel: b.words * panelCols * 4, ldc: c.Stride * 4}
	depth := blocks(a.Cols)
	group := groupOf(depth) * panelCols
	if variant == avx2 && depth <= shortPanel {
		// The lower tile passes over B twice as often: one panel at a time stays in the nearest cache.
		group = panelCols
	}
	n := strips(c.Rows)
	for k := 0; k < a.Cols; k += depth {
		args.k = min(depth, a.Cols-k)
		args.sum = sumFlag(accumulate || k > 0)
		for j := 0; j < c.Cols; j += group {
			args.b = unsafe.Pointer(&b.buf[j*b.words+k*panelCols])
			args.columns(min(group, c.Cols-j))
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				if lower && !args.below(c, r1, j, group) {
					continue
				}
				args.a = unsafe.Pointer(&a.Data[r0*a.Stride+k])
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, tileKind{})
			}
		}
	}
}

// mulTilesCopy is mulTiles with each strip of A copied first, to rows that do not fall on the same lines.
func mulTilesCopy(c, a Mat, b *Packed, accumulate, lower bool) {
	const stride = maxDepth + 16
	var strip [stripRows * stride]float32
	args := tileArgs{a: unsafe.Pointer(&strip), lda: stride * 4, panel: b.words * panelCols * 4, ldc: c.Stride * 4}
	depth := blocks(a.Cols)
	group := max(1, copyGroupWords/(depth*panelCols)) * panelCols
	n := strips(c.Rows)
	for k := 0; k < a.Cols; k += depth {
		args.k = min(depth, a.Cols-k)
		args.sum = sumFlag(accumulate || k > 0)
		for j := 0; j < c.Cols; j += group {
			args.b = unsafe.Pointer(&b.buf[j*b.words+k*panelCols])
			args.columns(min(group, c.Cols-j))
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				if lower && !args.below(c, r1, j, group) {
					continue
				}
				for r := r0; r < r1; r++ {
					copy(strip[(r-r0)*stride:], a.Data[r*a.Stride+k:][:args.k])
				}
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, tileKind{})
			}
		}
	}
}

// below sets the panels of a strip that ends before row end of the lower triangle in C, at most group columns from column j on,
// and says whether there are any.
func (t *tileArgs) below(c Mat, end, j, group int) bool {
	cols := min(group, c.Cols-c.Rows+end-j)
	if cols > 0 {
		t.columns(cols)
	}
	return cols > 0
}

func sumFlag(sum bool) int {
	if sum {
		return 1
	}
	return 0
}

// mulTilesBF16 is Mul on bfloat16: each strip of A is rounded first, into rows padded so that they do not fall on the same
// lines. The strip lies on the stack, which is cleared for every call: small products take a small one.
func mulTilesBF16(c, a Mat, b *Packed, accumulate bool) {
	switch {
	case !NativeBF16():
		mulTilesWiden(c, a, b, accumulate)
	case a.Cols <= 128:
		var strip [stripRows * (64 + 16)]uint32
		mulStripsBF16(c, a, b, accumulate, &strip[0], 64)
	default:
		var strip [stripRows * (maxDepth/2 + 16)]uint32
		mulStripsBF16(c, a, b, accumulate, &strip[0], maxDepth/2)
	}
}

// mulStripsBF16 is mulTilesBF16 given a strip of rows of most+16 words.
func mulStripsBF16(c, a Mat, b *Packed, accumulate bool, strip *uint32, most int) {
	stride := (most + 16) * 4
	args := tileArgs{a: unsafe.Pointer(strip), lda: stride, panel: b.words * panelCols * 4, ldc: c.Stride * 4}
	words := packedDepth(a.Cols, true)
	parts := (words + most - 1) / most
	depth := (words + parts - 1) / parts
	group := groupOf(depth) * panelCols
	n := strips(c.Rows)
	for k := 0; k < words; k += depth {
		args.k = min(depth, words-k)
		args.sum = sumFlag(accumulate || k > 0)
		width := min(2*depth, a.Cols-2*k)
		for j := 0; j < c.Cols; j += group {
			args.b = unsafe.Pointer(&b.buf[j*b.words+k*panelCols])
			args.columns(min(group, c.Cols-j))
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				for r := r0; r < r1; r++ {
					cvtPairs((*uint32)(unsafe.Add(unsafe.Pointer(strip), (r-r0)*stride)), &a.Data[r*a.Stride+2*k], width)
				}
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, tileKind{bf16: true})
			}
		}
	}
}

// mulTilesWiden is Mul on bfloat16 for processors that cannot multiply it: both factors are rounded and widened to float32
// block by block, the neighbours of a pair exchanged, since the second product is added first.
func mulTilesWiden(c, a Mat, b *Packed, accumulate bool) {
	const depth = 128
	var panel [depth * panelCols]float32
	var strip [stripRows * (depth + 16)]float32
	args := tileArgs{a: unsafe.Pointer(&strip), lda: (depth + 16) * 4, b: unsafe.Pointer(&panel), ldc: c.Stride * 4}
	n := strips(c.Rows)
	for j := 0; j < c.Cols; j += panelCols {
		args.columns(min(panelCols, c.Cols-j))
		for k := 0; k < a.Cols; k += depth {
			args.k = (min(depth, a.Cols-k) + 1) &^ 1
			args.sum = sumFlag(accumulate || k > 0)
			for x, w := range b.buf[j*b.words+k/2*panelCols:][:args.k/2*panelCols] {
				at := x/panelCols*2*panelCols + x%panelCols
				panel[at], panel[at+panelCols] = bf16Half(w, 1), bf16Half(w, 0)
			}
			for i := range n {
				r0, r1 := stripAt(i, n, c.Rows), stripAt(i+1, n, c.Rows)
				for r := r0; r < r1; r++ {
					row := a.Row(r)[k:]
					out := strip[(r-r0)*(depth+16):]
					for x := 0; x < args.k; x += 2 {
						out[x], out[x+1] = 0, roundBF16(row[x])
						if x+1 < len(row) {
							out[x] = roundBF16(row[x+1])
						}
					}
				}
				args.c = unsafe.Pointer(&c.Data[r0*c.Stride+j])
				args.run(r1-r0, tileKind{})
			}
		}
	}
}

// eachArgs is what the assembly of mulEach reads, by offset.
type eachArgs struct {
	a      unsafe.Pointer // first row
	lda    int            // bytes from row to row
	c      unsafe.Pointer // first row
	ldc    int            // bytes from row to row
	k      int            // rows of each matrix
	cols   int            // columns of C
	pitch  int            // bytes from panel to panel
	panels [4]unsafe.Pointer
	next   [4]unsafe.Pointer // what to ask for meanwhile
}

// mulEach is MulEach: as many rows at a time as have room for their sums in registers.
func mulEach(c, a Mat, b, next []*Packed) {
	most := 4
	if variant == avx2 {
		most = 2
	}
	args := eachArgs{lda: a.Stride * 4, ldc: c.Stride * 4, k: a.Cols, cols: c.Cols, pitch: b[0].words * panelCols * 4}
	for i := 0; i < c.Rows; i += most {
		n := min(most, c.Rows-i)
		args.a, args.c = unsafe.Pointer(&a.Data[i*a.Stride]), unsafe.Pointer(&c.Data[i*c.Stride])
		for r := range n {
			args.panels[r] = unsafe.Pointer(unsafe.SliceData(b[i+r].buf))
			args.next[r] = unsafe.Pointer(unsafe.SliceData(next[i+r].buf))
		}
		if variant == avx512 {
			mulEachZ(n, &args)
		} else {
			mulEachY(n, &args)
		}
	}
}
