package kernel

// SetCol writes column j of a packed B: the keys of one more position, for instance. x has as many elements as B has rows.
func (p *Packed) SetCol(j int, x []float32) {
	want(j >= 0 && j < p.n && len(x) == p.k, "SetCol of sizes that do not fit")
	col := p.buf[j/panelCols*panelCols*p.words+j%panelCols:]
	if !p.num.paired() {
		for i, v := range x {
			col[i*panelCols] = float32bits(v)
		}
		return
	}
	for i := 0; i < len(x); i += 2 {
		hi := float32(0)
		if i+1 < len(x) {
			hi = x[i+1]
		}
		col[i/2*panelCols] = packBF16(x[i], hi)
	}
}

// SetRow writes row i of a packed B: the values of one more position, for instance. x has as many elements as B has columns.
// Where two rows share a word, a row of even number clears the one behind it: rows are written in rising order.
func (p *Packed) SetRow(i int, x []float32) {
	want(i >= 0 && i < p.k && len(x) == p.n, "SetRow of sizes that do not fit")
	for j := 0; j < p.n; j += panelCols {
		part := x[j:min(j+panelCols, p.n)]
		if !p.num.paired() {
			row := p.buf[j*p.words+i*panelCols:][:len(part)]
			for l, v := range part {
				row[l] = float32bits(v)
			}
			continue
		}
		row := p.buf[j*p.words+i/2*panelCols:][:len(part)]
		for l, v := range part {
			if i&1 == 0 {
				row[l] = packBF16(v, 0)
			} else {
				row[l] = row[l]&0xffff | packBF16(0, v)
			}
		}
	}
}

// CopyCols copies the first n columns of another packed B of the same numerics and depth.
func (p *Packed) CopyCols(from *Packed, n int) {
	want(p.num == from.num && p.k == from.k && n <= p.n && n <= from.n, "CopyCols of sizes that do not fit")
	copy(p.buf[:(n+panelCols-1)/panelCols*panelCols*p.words], from.buf)
}

// CopyRows copies the first n rows of another packed B of the same numerics and width.
func (p *Packed) CopyRows(from *Packed, n int) {
	want(p.num == from.num && p.n == from.n && n <= p.k && n <= from.k, "CopyRows of sizes that do not fit")
	words := packedDepth(n, p.num.paired())
	for j := 0; j < p.n; j += panelCols {
		copy(p.buf[j*p.words:][:words*panelCols], from.buf[j*from.words:])
	}
}
