package main

import (
	"fmt"
	"math"
)

// Sixteen lanes are four registers. A loop over a row is written once and comes out twice, as in machine: for 16 elements, and
// for the last few. There are no masks: the last few are loaded and stored in pieces of four, two and one, and the lanes beyond
// them are zero.

// A quad is 16 lanes, or a value that all lanes share, four times the same register.
type quad [4]int

// begin starts a function; its name gets the suffix of the variant.
func (m *neon) begin(name, doc, ps string, result bool) map[string]string {
	m.next, m.tail, m.based, m.kept = 0, false, false, map[uint32]int{}
	return m.fn(name+"N", doc, ps, result)
}

// reg takes one register.
func (m *neon) reg() int {
	if m.next == 32 {
		panic("out of registers")
	}
	m.next++
	return m.next - 1
}

// quad takes registers for 16 lanes.
func (m *neon) quad() quad { return quad{m.reg(), m.reg(), m.reg(), m.reg()} }

// all takes a register for a value that all lanes share and fills it from memory.
func (m *neon) all(operand string) quad {
	r := m.reg()
	m.p("FMOVS %s, F%d", operand, r)
	m.dup(r, r)
	return quad{r, r, r, r}
}

// q writes an instruction on 16 lanes.
func (m *neon) q(name string, d, n quad, k ...quad) {
	for h := range 4 {
		if len(k) == 0 {
			m.v(name, d[h], n[h])
			continue
		}
		m.v(name, d[h], n[h], k[0][h])
	}
}

func (m *neon) qshift(name string, d, n quad, by int) {
	for h := range 4 {
		m.shift(name, d[h], n[h], by)
	}
}

// constant returns the offset of a constant in the table, where it is kept eight times, so that a pair of registers loads it.
func (m *neon) constant(c uint32) int {
	if m.consts == nil {
		m.consts = map[uint32]int{}
	}
	off, ok := m.consts[c]
	if !ok {
		off = 32 * len(m.consts)
		m.consts[c] = off
		for i := range 8 {
			fmt.Fprintf(&m.data, "DATA constants<>+%d(SB)/4, $0x%08x\n", off+4*i, c)
		}
	}
	return off
}

// keep holds words in registers that all lanes share, from here to the end of the function.
func (m *neon) keep(cs ...uint32) {
	m.base()
	for _, c := range cs {
		if _, ok := m.kept[c]; ok {
			continue
		}
		r := m.reg()
		m.p("FMOVQ %d(%s), F%d", m.constant(c), baseReg, r)
		m.kept[c] = r
	}
}

// keepFloats is keep for floats.
func (m *neon) keepFloats(cs ...float32) {
	for _, c := range cs {
		m.keep(math.Float32bits(c))
	}
}

func (m *neon) base() {
	if !m.based {
		m.p("MOVD $constants<>(SB), %s", baseReg)
		m.based = true
	}
}

// is returns a constant that is kept.
func (m *neon) is(c uint32) quad {
	r, ok := m.kept[c]
	if !ok {
		panic(fmt.Sprintf("constant %#x is not kept", c))
	}
	return quad{r, r, r, r}
}

func (m *neon) isFloat(c float32) quad { return m.is(math.Float32bits(c)) }

// set fills v with a constant from the table.
func (m *neon) set(v quad, c float32) {
	off := m.constant(math.Float32bits(c))
	for h := 0; h < 4; h += 2 {
		m.p("FLDPQ %d(%s), (F%d, F%d)", off, baseReg, v[h], v[h+1])
	}
}

// endData closes the tables.
func (m *neon) endData() {
	fmt.Fprintf(&m.data, "GLOBL constants<>(SB), RODATA|NOPTR, $%d\n", 32*len(m.consts))
	if !m.masked {
		return
	}
	for i := range 32 {
		v := uint32(0)
		if i < 16 {
			v = 0xffffffff
		}
		fmt.Fprintf(&m.data, "DATA masks<>+%d(SB)/4, $0x%08x\n", 4*i, v)
	}
	fmt.Fprintf(&m.data, "GLOBL masks<>(SB), RODATA|NOPTR, $128\n")
}

// load reads 16 floats from where the register points, or the last few, and zeros.
func (m *neon) load(ptr string, v quad) {
	if !m.tail {
		m.p("FLDPQ (%s), (F%d, F%d)", ptr, v[0], v[1])
		m.p("FLDPQ 32(%s), (F%d, F%d)", ptr, v[2], v[3])
		return
	}
	for _, r := range v {
		m.clear(r)
	}
	m.pieces(ptr, v, false)
}

// store writes 16 floats, or the last few.
func (m *neon) store(v quad, ptr string) {
	if !m.tail {
		m.p("FSTPQ (F%d, F%d), (%s)", v[0], v[1], ptr)
		m.p("FSTPQ (F%d, F%d), 32(%s)", v[2], v[3], ptr)
		return
	}
	m.pieces(ptr, v, true)
}

// pieces moves the last 1 to 15 floats, as many as countReg says: whole registers first, then two, then one.
func (m *neon) pieces(ptr string, v quad, store bool) {
	done, high, odd, top := m.label("moved"), m.label("high"), m.label("odd"), m.label("top")
	m.p("TBNZ $3, %s, %s", countReg, high)
	m.p("TBNZ $2, %s, %s", countReg, odd)
	m.rest(ptr, v[0], 0, store, done)
	m.at(odd)
	m.move("FMOVQ", ptr, 0, v[0], store)
	m.rest(ptr, v[1], 16, store, done)
	m.at(high)
	if store {
		m.p("FSTPQ (F%d, F%d), (%s)", v[0], v[1], ptr)
	} else {
		m.p("FLDPQ (%s), (F%d, F%d)", ptr, v[0], v[1])
	}
	m.p("TBNZ $2, %s, %s", countReg, top)
	m.rest(ptr, v[2], 32, store, done)
	m.at(top)
	m.move("FMOVQ", ptr, 32, v[2], store)
	m.rest(ptr, v[3], 48, store, "")
	m.at(done)
}

// rest moves the last 0 to 3 floats and goes on at done; an empty label is what follows.
func (m *neon) rest(ptr string, v, off int, store bool, done string) {
	end := done
	if end == "" {
		end = m.label("rest")
	}
	one := m.label("one")
	m.p("TBZ $1, %s, %s", countReg, one)
	m.move("FMOVD", ptr, off, v, store)
	m.p("TBZ $0, %s, %s", countReg, end)
	m.p("ADD $%d, %s, %s", off+8, ptr, tempReg)
	m.third(v, store)
	m.p("B %s", end)
	m.at(one)
	m.p("TBZ $0, %s, %s", countReg, end)
	m.move("FMOVS", ptr, off, v, store)
	if done == "" {
		m.at(end)
		return
	}
	m.p("B %s", end)
}

func (m *neon) move(name, ptr string, off, v int, store bool) {
	if store {
		m.p("%s F%d, %d(%s)", name, v, off, ptr)
		return
	}
	m.p("%s %d(%s), F%d", name, off, ptr, v)
}

// addTo adds x to the running sums in acc, in a tail only those lanes that there are. t is overwritten, and x.
func (m *neon) addTo(acc, x quad, t int) {
	m.masks(func(h int) { m.v("and", x[h], x[h], t) }, t)
	m.q("fadd", acc, acc, x)
}

// maxTo raises the running maxima in acc to x: acc's lane stays only if it is larger.
func (m *neon) maxTo(acc, x quad, t int) {
	m.masks(func(h int) { m.v("bif", x[h], acc[h], t) }, t)
	for h := range 4 {
		m.larger(acc[h], x[h], t)
	}
}

// larger is d = d > x ? d : x, as the plain max2 orders it.
func (m *neon) larger(d, x, t int) {
	m.v("fcmgt", t, d, x)
	m.v("bif", d, x, t)
}

// masks calls use for each register of a tail, t being the mask of its lanes.
func (m *neon) masks(use func(h int), t int) {
	if !m.tail {
		return
	}
	m.masked = true
	m.p("MOVD $masks<>+64(SB), %s", maskReg)
	m.p("SUB %s<<2, %s, %s", countReg, maskReg, maskReg)
	for h := range 4 {
		m.p("FMOVQ %d(%s), F%d", 16*h, maskReg, t)
		use(h)
	}
}

// fold combines the lanes of acc in halves, 8, 4, 2, 1; the result is in the lowest lane of its first register.
func (m *neon) fold(op func(d, x, t int), acc quad, x, t int) {
	op(acc[0], acc[2], t)
	op(acc[1], acc[3], t)
	op(acc[0], acc[1], t)
	m.ext(x, acc[0], 8)
	op(acc[0], x, t)
	m.ext(x, acc[0], 4)
	op(acc[0], x, t)
}

// sum is fold's addition.
func (m *neon) sum(d, x, _ int) { m.v("fadd", d, d, x) }

// loop runs body over countReg elements; ptrs move along.
func (m *neon) loop(ptrs []string, body func()) {
	loop, tail, done := m.label("loop"), m.label("tail"), m.label("done")
	m.p("SUBS $16, %s, %s", countReg, countReg)
	m.p("BLT %s", tail)
	m.p("PCALIGN $16")
	m.at(loop)
	body()
	for _, p := range ptrs {
		m.p("ADD $64, %s, %s", p, p)
	}
	m.p("SUBS $16, %s, %s", countReg, countReg)
	m.p("BGE %s", loop)
	m.at(tail)
	m.p("ADDS $16, %s, %s", countReg, countReg)
	m.p("BEQ %s", done)
	m.tail = true
	body()
	m.tail = false
	m.at(done)
}
