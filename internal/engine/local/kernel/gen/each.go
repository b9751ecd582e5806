package main

import "fmt"

// The fields of eachArgs by offset.
const (
	eachA      = 0  // first row of A
	eachLDA    = 8  // bytes from row to row
	eachC      = 16 // first row of C
	eachLDC    = 24 // bytes from row to row
	eachK      = 32 // rows of B
	eachCols   = 40 // columns of C
	eachPitch  = 48 // bytes from panel to panel, of every row's B
	eachPanels = 56 // the first panel of each row's B; overwritten
	eachNext   = 88 // what to ask for meanwhile, one address for each row
)

// each writes the functions that multiply a few rows with a matrix each: a single row has too few sums to hide the latency
// of a multiply-add, several have enough. For each line that they read they ask for one that is read next.
func each(m *machine, rows int) {
	for r := 1; r <= rows; r++ {
		m.eachRows(r)
	}
	suffix := "Y"
	if m.wide {
		suffix = "Z"
	}
	fmt.Fprintf(&m.decl, "\n// mulEach%s multiplies 1 to %d rows.\nfunc mulEach%s(rows int, args *eachArgs) {\n\tswitch rows {\n", suffix, rows, suffix)
	for r := 1; r <= rows; r++ {
		fmt.Fprintf(&m.decl, "\tcase %d:\n\t\tmulEach%d%s(args)\n", r, r, suffix)
	}
	fmt.Fprintf(&m.decl, "\t}\n}\n")
}

// eachRows writes the function for so many rows: panel after panel, all rows side by side.
func (m *machine) eachRows(rows int) {
	m.begin(fmt.Sprintf("mulEach%d", rows), fmt.Sprintf("multiplies %d rows with a matrix each.", rows), "e:args", false)
	m.p("MOVQ args+0(FP), AX")
	a := []string{"(R10)", "(R10)(R11*1)", "(R10)(R11*2)", "(R10)(R12*1)"}
	b := []string{"SI", "DI", "R8", "R9"}
	m.p("MOVQ %d(AX), R11", eachLDA)
	m.p("LEAQ (R11)(R11*2), R12")
	m.p("MOVQ %d(AX), DX", eachC)
	m.p("MOVQ %d(AX), R15", eachCols)
	m.p("XORQ R13, R13") // bytes asked for
	panel, last, narrow, done := m.label("panel"), m.label("last"), m.label("narrow"), m.label("end")
	m.at(panel)
	m.p("MOVQ %d(AX), R10", eachA)
	for r := range rows {
		m.p("MOVQ %d(AX), %s", eachPanels+8*r, b[r])
	}
	m.p("MOVQ %d(AX), CX", eachK)
	m.p("CMPQ R15, $16")
	m.p("JLE %s", narrow)
	acc := m.eachPanel(rows, 2, a, b)
	m.p("CMPQ R15, $32")
	m.p("JL %s", last)
	m.eachStore(rows, func(r int) {
		m.store(acc[2*r], "BX")
		m.storeAt(acc[2*r+1], "BX", 64)
	})
	m.p("SUBQ $32, R15")
	m.p("JZ %s", done) // the panels' pointers must not leave their matrices: the garbage collector sees them
	m.p("ADDQ $128, DX")
	m.p("MOVQ %d(AX), BX", eachPitch)
	for r := range rows {
		m.p("ADDQ BX, %d(AX)", eachPanels+8*r)
	}
	m.p("JMP %s", panel)

	m.at(last)
	m.p("LEAQ -16(R15), CX")
	m.setMask()
	m.eachStore(rows, func(r int) {
		m.store(acc[2*r], "BX")
		m.tail = true
		m.storeAt(acc[2*r+1], "BX", 64)
		m.tail = false
	})
	m.p("JMP %s", done)

	// Of a panel's last half nothing is read: it may never have been written to, and costs its way from memory.
	m.at(narrow)
	acc = m.eachPanel(rows, 1, a, b)
	m.p("MOVQ R15, CX")
	m.setMask()
	m.eachStore(rows, func(r int) {
		m.tail = true
		m.store(acc[r], "BX")
		m.tail = false
	})
	m.at(done)
	m.ret()
}

// eachPanel sums CX products in n vectors a row.
func (m *machine) eachPanel(rows, n int, a, b []string) []vec {
	m.next = 0
	acc := make([]vec, rows*n)
	for i := range acc {
		acc[i] = m.vec()
		m.zero(acc[i])
	}
	x := make([]vec, rows)
	for i := range x {
		x[i] = vec{m.next, m.next}
		m.next++
		m.room()
	}
	loop := m.label("k")
	m.p("PCALIGN $32")
	m.at(loop)
	for r := range rows {
		m.p("VBROADCASTSS %s, %s%d", a[r], m.letter(), x[r].lo)
		for h := range n {
			m.fmaAt(b[r], 64*h, x[r], acc[r*n+h])
		}
		m.p("ADDQ $128, %s", b[r])
		m.p("MOVQ %d(AX), BX", eachNext+8*r)
		for h := range n {
			m.p("PREFETCHT1 %d(BX)(R13*1)", 64*h)
		}
	}
	m.p("ADDQ $%d, R13", 64*n)
	m.p("ADDQ $4, R10")
	m.p("DECQ CX")
	m.p("JNZ %s", loop)
	return acc
}

// eachStore calls store with BX at the panel's columns of each row of C.
func (m *machine) eachStore(rows int, store func(r int)) {
	m.p("MOVQ DX, BX")
	for r := range rows {
		store(r)
		if r < rows-1 {
			m.p("ADDQ %d(AX), BX", eachLDC)
		}
	}
}
