package kernel

// mulGeneric is Mul on float32, as plainly as it can be said.
func mulGeneric(c, a Mat, b *Packed, accumulate bool) {
	for i := range c.Rows {
		ar, cr := a.Row(i), c.Row(i)
		for j := 0; j < c.Cols; j += panelCols {
			var acc [panelCols]float32
			out := cr[j:min(j+panelCols, c.Cols)]
			if accumulate {
				copy(acc[:], out)
			}
			panel := b.buf[j*b.words:]
			for k, x := range ar {
				row := (*[panelCols]uint32)(panel[k*panelCols:])
				for l, w := range row {
					acc[l] = fma32(x, float32frombits(w), acc[l])
				}
			}
			copy(out, acc[:])
		}
	}
}

// mulGenericBF16 is Mul on bfloat16: of each pair of neighbours in k the processor adds the product of the second first.
func mulGenericBF16(c, a Mat, b *Packed, accumulate bool) {
	for i := range c.Rows {
		ar, cr := a.Row(i), c.Row(i)
		for j := 0; j < c.Cols; j += panelCols {
			var acc [panelCols]float32
			out := cr[j:min(j+panelCols, c.Cols)]
			if accumulate {
				copy(acc[:], out)
			}
			panel := b.buf[j*b.words:]
			for k := 0; k < len(ar); k += 2 {
				lo, hi := roundBF16(ar[k]), float32(0)
				if k+1 < len(ar) {
					hi = roundBF16(ar[k+1])
				}
				row := (*[panelCols]uint32)(panel[k/2*panelCols:])
				for l, w := range row {
					acc[l] = dot2(lo, hi, bf16Half(w, 0), bf16Half(w, 1), acc[l])
				}
			}
			copy(out, acc[:])
		}
	}
}

// mulEachGeneric is MulEach.
func mulEachGeneric(c, a Mat, b []*Packed) {
	for i := range c.Rows {
		mulGeneric(c.RowsOf(i, i+1), a.RowsOf(i, i+1), b[i], false)
	}
}

// addTransAGeneric is AddTransA on float32.
func addTransAGeneric(c, a, b Mat) {
	for t := range a.Rows {
		br := b.Row(t)
		for i, x := range a.Row(t) {
			cr := c.Row(i)
			for j, y := range br {
				cr[j] = fma32(x, y, cr[j])
			}
		}
	}
}

// addTransAGenericBF16 is AddTransA on bfloat16, in pairs of rows.
func addTransAGenericBF16(c, a, b Mat) {
	for t := 0; t < a.Rows; t += 2 {
		for i := range c.Rows {
			cr := c.Row(i)
			lo, hi := roundBF16(a.Row(t)[i]), float32(0)
			if t+1 < a.Rows {
				hi = roundBF16(a.Row(t + 1)[i])
			}
			for j := range cr {
				y, z := roundBF16(b.Row(t)[j]), float32(0)
				if t+1 < a.Rows {
					z = roundBF16(b.Row(t + 1)[j])
				}
				cr[j] = dot2(lo, hi, y, z, cr[j])
			}
		}
	}
}

// packRowsGeneric packs the rows of m, at most 32 wide, as one panel.
func packRowsGeneric(dst []uint32, m Mat, bf16 bool) {
	if !bf16 {
		for k := range m.Rows {
			out := (*[panelCols]uint32)(dst[k*panelCols:])
			for j, x := range m.Row(k) {
				out[j] = float32bits(x)
			}
			clear(out[m.Cols:])
		}
		return
	}
	for k := 0; k < m.Rows; k += 2 {
		out := (*[panelCols]uint32)(dst[k/2*panelCols:])
		for j := range out {
			var lo, hi float32
			if j < m.Cols {
				lo = m.Row(k)[j]
				if k+1 < m.Rows {
					hi = m.Row(k + 1)[j]
				}
			}
			out[j] = packBF16(lo, hi)
		}
	}
}

// packColsGeneric packs the rows of m, at most 32, as the columns of one panel.
func packColsGeneric(dst []uint32, m Mat, bf16 bool) {
	depth := packedDepth(m.Cols, bf16)
	if m.Rows < panelCols {
		clear(dst[:depth*panelCols])
	}
	fillCols(dst, m, depth, bf16)
}

// fillCols writes the rows of m as columns of a panel and leaves the other columns alone.
func fillCols(dst []uint32, m Mat, depth int, bf16 bool) {
	for j := range m.Rows {
		row := m.Row(j)
		for k := range depth {
			switch {
			case !bf16:
				dst[k*panelCols+j] = float32bits(row[k])
			case 2*k+1 < len(row):
				dst[k*panelCols+j] = packBF16(row[2*k], row[2*k+1])
			default:
				dst[k*panelCols+j] = packBF16(row[2*k], 0)
			}
		}
	}
}
