package main

import "fmt"

// neonPacking writes the routines that lay matrices out for the products on Arm.
func neonPacking(m *neon) {
	for _, width := range []int{32, packWidth} {
		m.packRows(width)
	}
	m.packPairs()
	m.convertPairs()
	m.transpose()
	m.endData()
}

// packRows copies rows of 32 columns (a panel) or 12 (a strip of A).
func (m *neon) packRows(width int) {
	at := m.begin(fmt.Sprintf("packRows%d", width), fmt.Sprintf("copies n rows of %d columns, stride bytes apart, to contiguous ones.", width),
		"w:dst p:src i:stride i:n", false)
	r := m.ptrs(at, "dst", "src")
	m.p("MOVD %s, R3", at["stride"])
	loop := m.label("row")
	m.at(loop)
	for c := 0; c < width; c += 8 {
		if width-c < 8 {
			m.p("FMOVQ %d(%s), F0", c*4, r[1])
			m.p("FMOVQ F0, %d(%s)", c*4, r[0])
			break
		}
		m.p("FLDPQ %d(%s), (F%d, F%d)", c*4, r[1], 2+c/4, 3+c/4)
		m.p("FSTPQ (F%d, F%d), %d(%s)", 2+c/4, 3+c/4, c*4, r[0])
	}
	m.p("ADD R3, %s, %s", r[1], r[1])
	m.p("ADD $%d, %s, %s", width*4, r[0], r[0])
	m.p("SUBS $1, %s, %s", countReg, countReg)
	m.p("BNE %s", loop)
	m.ret()
}

// packPairs rounds two rows of 32 columns to the halves of words.
func (m *neon) packPairs() {
	at := m.begin("packPairs32", "rounds n pairs of rows of 32 columns, stride bytes apart, to words of two bfloat16.", "w:dst p:src i:stride i:n", false)
	r := m.ptrs(at, "dst", "src")
	m.p("MOVD %s, R3", at["stride"])
	m.keepRounding()
	x, y, t, u := m.quad(), m.quad(), m.reg(), m.reg()
	loop := m.label("pair")
	m.at(loop)
	m.p("ADD R3, %s, R4", r[1])
	for c := 0; c < 32; c += 8 {
		m.p("FLDPQ %d(%s), (F%d, F%d)", c*4, r[1], x[0], x[1])
		m.p("FLDPQ %d(R4), (F%d, F%d)", c*4, x[2], x[3])
		for h := range 4 {
			m.roundFlush(y[h], x[h], t, u)
		}
		m.shift("sri", y[2], y[0], 16)
		m.shift("sri", y[3], y[1], 16)
		m.p("FSTPQ (F%d, F%d), %d(%s)", y[2], y[3], c*4, r[0])
	}
	m.p("ADD R3, R4, %s", r[1])
	m.p("ADD $128, %s, %s", r[0], r[0])
	m.p("SUBS $1, %s, %s", countReg, countReg)
	m.p("BNE %s", loop)
	m.ret()
}

// convertPairs rounds neighbours in a row to the halves of words.
func (m *neon) convertPairs() {
	at := m.begin("cvtPairs", "rounds n floats, a multiple of 16, to words of two bfloat16.", "w:dst p:src i:n", false)
	r := m.ptrs(at, "dst", "src")
	m.keepRounding()
	x, y, t, u := m.quad(), m.quad(), m.reg(), m.reg()
	m.sixteens(func() {
		m.load(r[1], x)
		for h := range 4 {
			m.roundFlush(y[h], x[h], t, u)
		}
		m.v("uzp2h", y[0], y[0], y[1])
		m.v("uzp2h", y[1], y[2], y[3])
		m.p("FSTPQ (F%d, F%d), (%s)", y[0], y[1], r[0])
		m.p("ADD $32, %s, %s", r[0], r[0])
		m.p("ADD $64, %s, %s", r[1], r[1])
	})
	m.ret()
}

// transpose writes four rows as four columns.
func (m *neon) transpose() {
	m.begin("transpose4", "writes four rows of 4·n words as columns of a matrix whose rows are step bytes apart.", "w:dst i:step w:a w:b w:c w:d i:n", false)
	m.p("MOVD dst+0(FP), R0")
	m.p("MOVD step+8(FP), R8")
	rows := []string{"R1", "R2", "R3", "R4"}
	for i, name := range []string{"a+16(FP)", "b+24(FP)", "c+32(FP)", "d+40(FP)"} {
		m.p("MOVD %s, %s", name, rows[i])
	}
	m.p("MOVD n+48(FP), %s", countReg)
	loop := m.label("block")
	m.at(loop)
	for i, r := range rows {
		m.p("FMOVQ.P 16(%s), F%d", r, i)
	}
	m.v("trn1", 4, 0, 1)
	m.v("trn2", 5, 0, 1)
	m.v("trn1", 6, 2, 3)
	m.v("trn2", 7, 2, 3)
	m.v("trn1d", 16, 4, 6)
	m.v("trn1d", 17, 5, 7)
	m.v("trn2d", 18, 4, 6)
	m.v("trn2d", 19, 5, 7)
	for i := range 4 {
		m.p("FMOVQ F%d, (R0)", 16+i)
		m.p("ADD R8, R0, R0")
	}
	m.p("SUBS $1, %s, %s", countReg, countReg)
	m.p("BNE %s", loop)
	m.ret()
}
