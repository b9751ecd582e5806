package kernel

import "unsafe"

// Numerics AMX on Arm: the assembly widens B's halves and keeps two sums, with subnormal numbers taken and given as zero. Arm
// decides before rounding whether a result is subnormal, the definition after it, so the two differ about results that round up
// to the smallest normal number. The processor notes that a result was flushed; the panel in which one was is computed again,
// plainly.

func mulChains(c, a Mat, b *Packed, accumulate bool) {
	if variant == generic {
		mulChainsGeneric(c, a, b, accumulate)
		return
	}
	mulStrips(c, a, b, accumulate, false)
}

func mulEachChains(c, a Mat, b, _ []*Packed) {
	for i := range c.Rows {
		mulChains(c.RowsOf(i, i+1), a.RowsOf(i, i+1), b[i], false)
	}
}

func addTransAChains(c, a, b Mat, s *Scratch) {
	if variant == generic {
		addTransAChainsGeneric(c, a, b)
		return
	}
	addTransAStrips(c, a, b, s, AMX, false)
}

// chainRows is the most rows that the assembly of numerics AMX takes at once.
const chainRows = stripRows / 2

// chains computes 1 to 12 rows and cols columns of C in numerics AMX, panel by panel in a copy: C as it was is needed again
// where a result was tiny.
func (t *neonTile) chains(rows, cols int) {
	var own [chainRows * panelCols]float32
	c := Mat{Data: t.cData(rows, cols), Rows: rows, Cols: cols, Stride: t.ldc / 4}
	e := *t
	e.c, e.ldc = unsafe.Pointer(&own), panelCols*4
	for j := 0; j < cols; j += panelCols {
		part := c.ColsOf(j, min(j+panelCols, cols))
		for r := 0; r < rows; r += chainRows {
			n := min(chainRows, rows-r)
			e.a = unsafe.Add(t.a, r*4)
			e.count = panelCols / chainWidth(n)
			load := func() {
				for i := 0; i < n && t.sum != 0; i++ {
					copy(own[i*panelCols:], part.Row(r+i))
				}
			}
			load()
			if chainN(n, &e); e.tiny != 0 {
				load()
				e.plain(n)
			}
			for i := range n {
				copy(part.Row(r+i), own[i*panelCols:])
			}
		}
		e.b = unsafe.Add(e.b, t.panel)
	}
}

// chainWidth returns the columns of a tile of so many rows in numerics AMX.
func chainWidth(rows int) int {
	switch {
	case rows == 1:
		return 32
	case rows <= 3:
		return 16
	}
	return 8
}

// plain computes n rows of one panel by the definition.
func (t *neonTile) plain(n int) {
	a := unsafe.Slice((*float32)(t.a), (2*t.k-1)*stripRows+n)
	b := unsafe.Slice((*[panelCols]uint32)(t.b), t.k)
	for i := range n {
		acc := (*[panelCols]float32)(unsafe.Add(t.c, i*t.ldc))
		if t.sum == 0 {
			*acc = [panelCols]float32{}
		}
		for k := 0; k < t.k; k += chainBlock / 2 {
			var sum chainSum
			for w := k; w < min(k+chainBlock/2, t.k); w++ {
				sum.add(a[2*w*stripRows+i], a[(2*w+1)*stripRows+i], &b[w])
			}
			sum.into(acc)
		}
	}
}

// roundHalf rounds src to bfloat16 and keeps it in float32.
func roundHalf(dst, src []float32) {
	if variant == generic || len(src) == 0 {
		roundHalfGeneric(dst, src)
		return
	}
	roundHalfN(at(dst), at(src), len(src))
}
