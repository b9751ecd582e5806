package kernel

import "unsafe"

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
	var rounded [panelCols]float32
	for i := 0; i < len(x); i += panelCols {
		part := x[i:min(i+panelCols, len(x))]
		roundHalf(rounded[:len(part)], part)
		clear(rounded[len(part):])
		for k := 0; k < len(part); k += 2 {
			col[(i+k)/2*panelCols] = float32bits(rounded[k])>>16 | float32bits(rounded[k+1])
		}
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
			copy(row, unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(part))), len(part)))
			continue
		}
		var rounded [panelCols]float32
		roundHalf(rounded[:len(part)], part)
		row := p.buf[j*p.words+i/2*panelCols:][:len(part)]
		if i&1 == 0 {
			for l := range row {
				row[l] = float32bits(rounded[l]) >> 16
			}
			continue
		}
		for l := range row {
			row[l] = row[l]&0xffff | float32bits(rounded[l])
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
