package kernel

// A chainSum is the sum of a block of numerics AMX under way, for the columns of a panel.
type chainSum struct{ even, odd [panelCols]float32 }

// add adds the products of one pair of A with a row of words of B.
func (s *chainSum) add(lo, hi float32, row *[panelCols]uint32) {
	for l, w := range row {
		s.even[l] = fmaFlush(lo, bf16Half(w, 0), s.even[l])
		s.odd[l] = fmaFlush(hi, bf16Half(w, 1), s.odd[l])
	}
}

// into adds the block's sum to c.
func (s *chainSum) into(c *[panelCols]float32) {
	for l := range c {
		c[l] = addFlush(c[l], addFlush(s.even[l], s.odd[l]))
	}
}

// mulChainsGeneric is Mul in numerics AMX.
func mulChainsGeneric(c, a Mat, b *Packed, accumulate bool) {
	for i := range c.Rows {
		ar, cr := a.Row(i), c.Row(i)
		for j := 0; j < c.Cols; j += panelCols {
			var acc [panelCols]float32
			out := cr[j:min(j+panelCols, c.Cols)]
			if accumulate {
				copy(acc[:], out)
			}
			panel := b.buf[j*b.words:]
			for k := 0; k < len(ar); k += chainBlock {
				var sum chainSum
				for p := k; p < min(k+chainBlock, len(ar)); p += 2 {
					lo, hi := roundBF16(ar[p]), float32(0)
					if p+1 < len(ar) {
						hi = roundBF16(ar[p+1])
					}
					sum.add(lo, hi, (*[panelCols]uint32)(panel[p/2*panelCols:]))
				}
				sum.into(&acc)
			}
			copy(out, acc[:])
		}
	}
}

// mulEachChainsGeneric is MulEach in numerics AMX.
func mulEachChainsGeneric(c, a Mat, b []*Packed) {
	for i := range c.Rows {
		mulChainsGeneric(c.RowsOf(i, i+1), a.RowsOf(i, i+1), b[i], false)
	}
}

// addTransAChainsGeneric is AddTransA in numerics AMX.
func addTransAChainsGeneric(c, a, b Mat) {
	var panel [chainBlock / 2 * panelCols]uint32
	for t := 0; t < a.Rows; t += chainBlock {
		end := min(t+chainBlock, a.Rows)
		for j := 0; j < c.Cols; j += panelCols {
			packRowsGeneric(panel[:], b.View(t, end, j, min(j+panelCols, c.Cols)), true)
			for i := range c.Rows {
				var acc [panelCols]float32
				out := c.Row(i)[j:min(j+panelCols, c.Cols)]
				copy(acc[:], out)
				var sum chainSum
				for p := t; p < end; p += 2 {
					lo, hi := roundBF16(a.Row(p)[i]), float32(0)
					if p+1 < end {
						hi = roundBF16(a.Row(p + 1)[i])
					}
					sum.add(lo, hi, (*[panelCols]uint32)(panel[(p-t)/2*panelCols:]))
				}
				sum.into(&acc)
				copy(out, acc[:])
			}
		}
	}
}

// roundHalfGeneric rounds src to bfloat16 and keeps it in float32.
func roundHalfGeneric(dst, src []float32) {
	for i, x := range src {
		dst[i] = roundBF16(x)
	}
}
