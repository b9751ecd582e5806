package main

import "fmt"

// The fields of neonTile by offset.
const (
	tileA     = 0  // A packed [k][12]
	tileB     = 8  // first panel, at the first k
	tilePanel = 16 // bytes from panel to panel
	tileC     = 24 // first element
	tileLDC   = 32 // bytes from row to row
	tileK     = 40 // words of k
	tileCount = 48 // tiles: see neonWidth
	tileSum   = 56 // not zero: start from C
	tileTiny  = 64 // numerics AMX: set to 1 where a result was tiny
)

// The registers of a strip's function.
const (
	rArgs, rA, rB, rC, rLDC, rK = "R0", "R1", "R2", "R3", "R4", "R5"
	rCount, rPanel, rTile       = "R6", "R7", "R8" // tiles left, where the tile's B and C begin
	rLeft, rTemp                = "R10", "R11"     // tiles left in the panel
	rStatus, rControl           = "R12", "R13"     // FPSR and FPCR as they were
	rBlock                      = "R14"            // words left in a block of numerics AMX
)

// neonWidth is how many columns a tile of so many rows has: as many as fit into 24 registers of sums, in numerics AMX twice.
func neonWidth(rows int, amx bool) int {
	width := map[bool]int{false: 96, true: 48}[amx] / rows
	for _, w := range []int{32, 16} {
		if width >= w {
			return w
		}
	}
	return 8
}

// A neonTile is a strip of rows times a few columns, C in registers. V0 to V23 hold sums, V24 to V27 B, V28 to V30 A, V31 the
// mask of upper halves.
//
// A is packed [k][12] in every form, so that one load gives four rows their factors and a multiply-add takes its lane. In pairs
// (bfloat16 and numerics AMX) a word of B is widened as it is loaded, and A has a row for each k, rounded to bfloat16.
type neonTile struct {
	*neon
	rows       int
	width      int // columns
	pairs, amx bool
}

// neonGEMM writes the functions of a strip, one for each number of rows.
func neonGEMM(m *neon) {
	for _, t := range []struct {
		name       string
		most       int
		pairs, amx bool
	}{{"tileN", 12, false, false}, {"tilePairsN", 12, true, false}, {"chainN", 6, true, true}} {
		for rows := 1; rows <= t.most; rows++ {
			(&neonTile{m, rows, neonWidth(rows, t.amx), t.pairs, t.amx}).write(fmt.Sprintf("%s%d", t.name, rows))
		}
		m.dispatch(t.name, t.most, "neonTile")
	}
	fmt.Fprintf(&m.data, "DATA upper<>+0(SB)/4, $0xffff0000\nGLOBL upper<>(SB), RODATA|NOPTR, $4\n")
	m.peak()
	m.each()
}

// peak writes the loop on registers that measures the processor.
func (m *neon) peak() {
	m.fn("peakN", "does n rounds of 24 multiply-adds on registers.", "i:n", false)
	m.p("MOVD n+0(FP), R1")
	for r := range 26 {
		m.clear(r)
	}
	loop := m.label("loop")
	m.p("PCALIGN $16")
	m.at(loop)
	for r := range 24 {
		m.v("fmla", r, 24, 25)
	}
	m.p("SUBS $1, R1, R1")
	m.p("BNE %s", loop)
	m.ret()
}

// acc is the register of row i's sums in columns 4c to 4c+3; p is 1 for odd k in numerics AMX.
func (t *neonTile) acc(i, c, p int) int {
	n := i*t.width/4 + c
	if t.amx {
		n = n*2 + p
	}
	return n
}

// write writes one function: tile after tile.
func (t *neonTile) write(name string) {
	kind := map[[2]bool]string{{false, false}: "", {true, false}: " of pairs", {true, true}: " in numerics AMX"}
	t.fn(name, fmt.Sprintf("computes a strip of %d rows%s, in tiles of %d columns.", t.rows, kind[[2]bool{t.pairs, t.amx}], t.width), "T:args", false)
	t.p("MOVD args+0(FP), %s", rArgs)
	t.p("MOVD %d(%s), %s", tileB, rArgs, rPanel)
	t.p("MOVD %d(%s), %s", tileC, rArgs, rTile)
	t.p("MOVD %d(%s), %s", tileLDC, rArgs, rLDC)
	t.p("MOVD %d(%s), %s", tileCount, rArgs, rCount)
	t.p("MOVD $%d, %s", 32/t.width, rLeft)
	if t.pairs {
		t.p("MOVD $upper<>(SB), %s", rTemp)
		t.p("FMOVS (%s), F31", rTemp)
		t.dup(31, 31)
	}
	if t.amx {
		t.flushOn()
	}
	loop, done := t.label("tile"), t.label("done")
	t.at(loop)
	if t.amx {
		t.blocks()
	} else {
		t.chain()
	}
	t.p("SUBS $1, %s, %s", rCount, rCount)
	t.p("BEQ %s", done)
	t.p("ADD $%d, %s, %s", t.width*4, rTile, rTile)
	t.p("ADD $%d, %s, %s", t.width*4, rPanel, rPanel)
	t.p("SUBS $1, %s, %s", rLeft, rLeft)
	t.p("BNE %s", loop)
	t.p("MOVD %d(%s), %s", tilePanel, rArgs, rTemp)
	t.p("SUB $128, %s, %s", rTemp, rTemp)
	t.p("ADD %s, %s, %s", rTemp, rPanel, rPanel)
	t.p("MOVD $%d, %s", 32/t.width, rLeft)
	t.p("B %s", loop)
	t.at(done)
	if t.amx {
		t.flushOff()
	}
	t.ret()
}

// start points the registers at the tile.
func (t *neonTile) start() {
	t.p("MOVD %d(%s), %s", tileA, rArgs, rA)
	t.p("MOVD %s, %s", rPanel, rB)
	t.p("MOVD %d(%s), %s", tileK, rArgs, rK)
}

// eachC calls do for every pair of registers of a row of C, rC at the row.
func (t *neonTile) eachC(do func(i, c int)) {
	t.p("MOVD %s, %s", rTile, rC)
	for i := range t.rows {
		for c := 0; c < t.width/4; c += 2 {
			do(i, c)
		}
		if i < t.rows-1 {
			t.p("ADD %s, %s, %s", rLDC, rC, rC)
		}
	}
}

// chain does a tile whose elements are one chain of multiply-adds.
func (t *neonTile) chain() {
	zero, begin := t.label("zero"), t.label("begin")
	t.p("MOVD %d(%s), %s", tileSum, rArgs, rTemp)
	t.p("CBZ %s, %s", rTemp, zero)
	t.eachC(func(i, c int) { t.p("FLDPQ %d(%s), (F%d, F%d)", c*16, rC, t.acc(i, c, 0), t.acc(i, c+1, 0)) })
	t.p("B %s", begin)
	t.at(zero)
	for r := range t.rows * t.width / 4 {
		t.clear(r)
	}
	t.at(begin)
	t.start()
	const unroll = 4
	loop, rest, tail, done := t.label("k"), t.label("krest"), t.label("ktail"), t.label("kdone")
	t.p("SUBS $%d, %s, %s", unroll, rK, rK)
	t.p("BLT %s", rest)
	t.p("PCALIGN $16")
	t.at(loop)
	for u := range unroll {
		t.step(u)
	}
	t.next(unroll)
	t.p("SUBS $%d, %s, %s", unroll, rK, rK)
	t.p("BGE %s", loop)
	t.at(rest)
	t.p("ADDS $%d, %s, %s", unroll, rK, rK)
	t.p("BEQ %s", done)
	t.at(tail)
	t.step(0)
	t.next(1)
	t.p("SUBS $1, %s, %s", rK, rK)
	t.p("BNE %s", tail)
	t.at(done)
	t.eachC(func(i, c int) { t.p("FSTPQ (F%d, F%d), %d(%s)", t.acc(i, c, 0), t.acc(i, c+1, 0), c*16, rC) })
}

// next moves A and B on by n words.
func (t *neonTile) next(n int) {
	t.p("ADD $%d, %s, %s", n*128, rB, rB)
	if t.pairs {
		n *= 2
	}
	t.p("ADD $%d, %s, %s", n*packWidth*4, rA, rA)
}

// loadA loads the factors of the rows at the k-th row of A.
func (t *neonTile) loadA(k int) {
	off := k * packWidth * 4
	if t.rows > 4 {
		t.p("FLDPQ %d(%s), (F28, F29)", off, rA)
	} else {
		t.p("FMOVQ %d(%s), F28", off, rA)
	}
	if t.rows > 8 {
		t.p("FMOVQ %d(%s), F30", off+32, rA)
	}
}

// step does the u-th word from where the registers point. Of a pair bfloat16's second product comes first; in numerics AMX
// they go to sums of their own.
func (t *neonTile) step(u int) {
	if !t.pairs {
		t.loadA(u)
		t.products(u, 0, func(b int) {})
		return
	}
	t.loadA(2*u + 1)
	t.products(u, 1, func(b int) { t.v("and", b, b, 31) })
	t.loadA(2 * u)
	t.products(u, 0, func(b int) { t.shift("shl", b, b, 16) })
}

// products adds the products of a row of B, widened, with the factors loaded, to the sums p.
func (t *neonTile) products(u, p int, widen func(b int)) {
	for c := 0; c < t.width/4; c += 2 {
		b := 24 + (c/2+u+p)%2*2
		t.p("FLDPQ %d(%s), (F%d, F%d)", u*128+c*16, rB, b, b+1)
		widen(b)
		widen(b + 1)
		for i := range t.rows {
			for h := range 2 {
				t.fmlaLane(t.acc(i, c+h, p), b+h, 28+i/4, i%4)
			}
		}
	}
}

// FPCR's bit that takes and gives subnormal numbers as zero, and FPSR's that says that a result was.
const (
	flushBit = 1 << 24
	tinyBit  = 3
)

// flushOn sets flush to zero and clears the flags.
func (t *neonTile) flushOn() {
	t.p("MOVD FPSR, %s", rStatus)
	t.p("MOVD FPCR, %s", rControl)
	t.p("ORR $%d, %s, %s", flushBit, rControl, rTemp)
	t.p("MOVD %s, FPCR", rTemp)
	t.p("MOVD ZR, FPSR")
}

// flushOff puts back what was and notes whether a result was tiny.
func (t *neonTile) flushOff() {
	t.p("MOVD FPSR, %s", rTemp)
	t.p("UBFX $%d, %s, $1, %s", tinyBit, rTemp, rTemp)
	t.p("MOVD %s, %d(%s)", rTemp, tileTiny, rArgs)
	t.p("MOVD %s, FPCR", rControl)
	t.p("MOVD %s, FPSR", rStatus)
}

// blocks does a tile of numerics AMX: in each block of 16 words the even and the odd k are two sums. C rests in memory between
// two blocks.
func (t *neonTile) blocks() {
	block, loop, few, summed := t.label("block"), t.label("k"), t.label("few"), t.label("summed")
	t.p("MOVD %d(%s), %s", tileSum, rArgs, rTemp)
	t.p("CBNZ %s, %s", rTemp, summed)
	t.clear(24)
	t.eachC(func(_, c int) { t.p("FSTPQ (F24, F24), %d(%s)", c*16, rC) })
	t.at(summed)
	t.start()
	t.at(block)
	for r := range t.rows * t.width / 2 {
		t.clear(r)
	}
	t.p("MOVD $16, %s", rBlock)
	t.p("CMP $16, %s", rK)
	t.p("BGE %s", few)
	t.p("MOVD %s, %s", rK, rBlock)
	t.at(few)
	t.p("SUB %s, %s, %s", rBlock, rK, rK)
	t.p("PCALIGN $16")
	t.at(loop)
	t.step(0)
	t.next(1)
	t.p("SUBS $1, %s, %s", rBlock, rBlock)
	t.p("BNE %s", loop)
	t.eachC(func(i, c int) {
		t.p("FLDPQ %d(%s), (F24, F25)", c*16, rC)
		for h := range 2 {
			e := t.acc(i, c+h, 0)
			t.v("fadd", e, e, t.acc(i, c+h, 1))
			t.v("fadd", 24+h, 24+h, e)
		}
		t.p("FSTPQ (F24, F25), %d(%s)", c*16, rC)
	})
	t.p("CBNZ %s, %s", rK, block)
}

// The fields of neonEach by offset.
const (
	neonEachA    = 0  // the rows of A
	neonEachB    = 16 // each row's panel
	neonEachNext = 32 // what to ask for meanwhile
	neonEachC    = 48 // the rows of C
	neonEachK    = 64 // rows of the panels
)

// each writes the products of one row or two with a panel each, whole or of its first half: of a last half nothing is read. For
// each line that they read they ask for one that is read next.
func (m *neon) each() {
	for _, width := range []int{32, 16} {
		for rows := 1; rows <= 2; rows++ {
			m.eachPanel(rows, width)
		}
	}
}

func (m *neon) eachPanel(rows, width int) {
	m.fn(fmt.Sprintf("each%dN%d", width, rows), fmt.Sprintf("multiplies %d rows with %d columns of a panel each.", rows, width), "n:args", false)
	a, b, next := []string{"R1", "R2"}, []string{"R3", "R4"}, []string{"R5", "R6"}
	n := width / 4
	m.p("MOVD args+0(FP), R0")
	for r := range rows {
		m.p("MOVD %d(R0), %s", neonEachA+8*r, a[r])
		m.p("MOVD %d(R0), %s", neonEachB+8*r, b[r])
		m.p("MOVD %d(R0), %s", neonEachNext+8*r, next[r])
	}
	m.p("MOVD %d(R0), R7", neonEachK)
	for i := range rows * n {
		m.clear(i)
	}
	// V0 to V15 are sums, V16 and V17 the rows of A, V20 to V27 B.
	step := func(u int) {
		for r := range rows {
			for c := 0; c < n; c += 2 {
				x := 20 + (r*n+c)%8
				m.p("FLDPQ %d(%s), (F%d, F%d)", u*128+c*16, b[r], x, x+1)
				if c%4 == 0 {
					m.p("PRFM %d(%s), PLDL2KEEP", u*128+c*16, next[r])
				}
				m.fmlaLane(r*n+c, x, 16+r, u)
				m.fmlaLane(r*n+c+1, x+1, 16+r, u)
			}
		}
	}
	move := func(k int) {
		for r := range rows {
			m.p("ADD $%d, %s, %s", k*4, a[r], a[r])
			m.p("ADD $%d, %s, %s", k*128, b[r], b[r])
			m.p("ADD $%d, %s, %s", k*128, next[r], next[r])
		}
		m.p("SUBS $%d, R7, R7", k)
	}
	loop, rest, tail, done := m.label("k"), m.label("krest"), m.label("ktail"), m.label("kdone")
	m.p("SUBS $4, R7, R7")
	m.p("BLT %s", rest)
	m.p("PCALIGN $16")
	m.at(loop)
	for r := range rows {
		m.p("FMOVQ (%s), F%d", a[r], 16+r)
	}
	for u := range 4 {
		step(u)
	}
	move(4)
	m.p("BGE %s", loop)
	m.at(rest)
	m.p("ADDS $4, R7, R7")
	m.p("BEQ %s", done)
	m.at(tail)
	for r := range rows {
		m.p("FMOVS (%s), F%d", a[r], 16+r)
	}
	step(0)
	move(1)
	m.p("BNE %s", tail)
	m.at(done)
	for r := range rows {
		m.p("MOVD %d(R0), R8", neonEachC+8*r)
		for c := 0; c < n; c += 2 {
			m.p("FSTPQ (F%d, F%d), %d(R8)", r*n+c, r*n+c+1, c*16)
		}
	}
	m.ret()
}
