package main

import (
	"fmt"
	"math"
)

// A machine writes instructions on vectors of 16 lanes: one 512-bit register (wide) or two of 256 bits.
//
// Loops are written once and come out twice: for 16 elements, and for the last few under a mask. Under the mask, loads fill
// with zeros and stores leave the rest alone.
type machine struct {
	*file
	wide   bool
	tail   bool
	next   int // the next free register
	consts map[uint32]int
	kept   map[float32]vec // constants that the function holds in registers
}

// A vec is 16 lanes; its numbers are those of the registers, and both are the same for a value that all lanes share.
type vec struct{ lo, hi int }

// The masks of a tail: K1, or two registers that no value may take.
const (
	maskLo, maskHi = 14, 15
	narrowRegs     = 14
	wideRegs       = 32
)

// begin starts a function; its name gets the suffix of the variant.
func (m *machine) begin(name, doc, ps string, result bool) map[string]string {
	suffix := "Y"
	if m.wide {
		suffix = "Z"
	}
	m.next, m.tail, m.kept = 0, false, nil
	return m.fn(name+suffix, doc, ps, result)
}

// vec takes registers for 16 lanes.
func (m *machine) vec() vec {
	v := vec{m.next, m.next}
	m.next++
	if !m.wide {
		v.hi = m.next
		m.next++
	}
	m.room()
	return v
}

// all takes a register for a value that all lanes share and fills it from memory.
func (m *machine) all(operand string) vec {
	v := vec{m.next, m.next}
	m.next++
	m.room()
	m.p("VBROADCASTSS %s, %s%d", operand, m.letter(), v.lo)
	return v
}

func (m *machine) room() {
	if limit := map[bool]int{true: wideRegs, false: narrowRegs}[m.wide]; m.next > limit {
		panic("out of registers")
	}
}

func (m *machine) letter() string {
	if m.wide {
		return "Z"
	}
	return "Y"
}

// halves calls do for each register of a vector: h is 0 or 1.
func (m *machine) halves(do func(h int)) {
	do(0)
	if !m.wide {
		do(1)
	}
}

func (v vec) reg(h int) int {
	if h == 0 {
		return v.lo
	}
	return v.hi
}

// op writes an instruction on vectors, in the assembler's order: sources first.
func (m *machine) op(name string, vs ...vec) {
	m.halves(func(h int) {
		s := name
		for i, v := range vs {
			if i > 0 {
				s += ","
			}
			s += fmt.Sprintf(" %s%d", m.letter(), v.reg(h))
		}
		m.p("%s", s)
	})
}

// imm writes an instruction with an immediate operand.
func (m *machine) imm(name string, imm int, vs ...vec) {
	m.op(fmt.Sprintf("%s $%d,", name, imm), vs...)
}

// opc writes an instruction whose first source is a constant in memory.
func (m *machine) opc(name string, c uint32, vs ...vec) {
	if m.wide {
		name += ".BCST"
	}
	m.op(name+" "+m.constant(c)+",", vs...)
}

// opf is opc with a float constant.
func (m *machine) opf(name string, c float32, vs ...vec) { m.opc(name, math.Float32bits(c), vs...) }

// keep holds constants in registers from here to the end of the function, where there are registers to spare.
func (m *machine) keep(cs ...float32) {
	if !m.wide {
		return
	}
	m.kept = map[float32]vec{}
	for _, c := range cs {
		m.kept[c] = m.all(m.constant(math.Float32bits(c)))
	}
}

// is returns a constant: in its own register if it is kept, else in v, which it fills.
func (m *machine) is(c float32, v vec) vec {
	if k, ok := m.kept[c]; ok {
		return k
	}
	m.op("VBROADCASTSS "+m.constant(math.Float32bits(c))+",", v)
	return v
}

// set fills v with a constant.
func (m *machine) set(c float32, v vec) {
	if k := m.is(c, v); k != v {
		m.op("VMOVAPS", k, v)
	}
}

// constant returns the operand of a constant, kept eight times so that 256-bit instructions can take it from memory.
func (m *machine) constant(c uint32) string {
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
	return fmt.Sprintf("constants<>+%d(SB)", off)
}

// endData closes the tables.
func (m *machine) endData() {
	fmt.Fprintf(&m.data, "GLOBL constants<>(SB), RODATA|NOPTR, $%d\n", 32*len(m.consts))
	if m.wide {
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

// load reads 16 floats from where the register points, store writes them.
func (m *machine) load(ptr string, v vec) {
	switch {
	case m.wide && m.tail:
		m.p("VMOVUPS.Z (%s), K1, Z%d", ptr, v.lo)
	case m.wide:
		m.p("VMOVUPS (%s), Z%d", ptr, v.lo)
	case m.tail:
		m.p("VMASKMOVPS (%s), Y%d, Y%d", ptr, maskLo, v.lo)
		m.p("VMASKMOVPS 32(%s), Y%d, Y%d", ptr, maskHi, v.hi)
	default:
		m.p("VMOVUPS (%s), Y%d", ptr, v.lo)
		m.p("VMOVUPS 32(%s), Y%d", ptr, v.hi)
	}
}

func (m *machine) store(v vec, ptr string) { m.storeAt(v, ptr, 0) }

// storeAt is store, off bytes behind where the register points.
func (m *machine) storeAt(v vec, ptr string, off int) {
	at := func(off int) string {
		if off == 0 {
			return "(" + ptr + ")"
		}
		return fmt.Sprintf("%d(%s)", off, ptr)
	}
	switch {
	case m.wide && m.tail:
		m.p("VMOVUPS Z%d, K1, %s", v.lo, at(off))
	case m.wide:
		m.p("VMOVUPS Z%d, %s", v.lo, at(off))
	case m.tail:
		m.p("VMASKMOVPS Y%d, Y%d, %s", v.lo, maskLo, at(off))
		m.p("VMASKMOVPS Y%d, Y%d, %s", v.hi, maskHi, at(off+32))
	default:
		m.p("VMOVUPS Y%d, %s", v.lo, at(off))
		m.p("VMOVUPS Y%d, %s", v.hi, at(off+32))
	}
}

// fmaAt adds to acc the product of x with the 16 floats off bytes behind where the register points.
func (m *machine) fmaAt(ptr string, off int, x, acc vec) {
	m.halves(func(h int) {
		m.p("VFMADD231PS %d(%s), %s%d, %s%d", off+32*h, ptr, m.letter(), x.reg(h), m.letter(), acc.reg(h))
	})
}

// into combines x into the running value acc, only in the lanes of the mask: acc = op(acc, x).
func (m *machine) into(op string, x, acc vec) {
	switch {
	case !m.tail:
		m.op(op, x, acc, acc)
	case m.wide:
		m.p("%s Z%d, Z%d, K1, Z%d", op, x.lo, acc.lo, acc.lo)
	default:
		// Lanes beyond the end take acc's own value for a maximum and zero for a sum: neither changes acc.
		for h, mask := range []int{maskLo, maskHi} {
			if op == "VMAXPS" {
				m.p("VBLENDVPS Y%d, Y%d, Y%d, Y%d", mask, x.reg(h), acc.reg(h), x.reg(h))
			} else {
				m.p("VANDPS Y%d, Y%d, Y%d", mask, x.reg(h), x.reg(h))
			}
			m.p("%s Y%d, Y%d, Y%d", op, x.reg(h), acc.reg(h), acc.reg(h))
		}
	}
}

// fold combines the lanes of acc in halves, 8, 4, 2, 1, and stores the result. t is overwritten.
func (m *machine) fold(op string, acc, t vec, to string) {
	hi := acc.hi
	if m.wide {
		m.p("VEXTRACTF64X4 $1, Z%d, Y%d", acc.lo, t.lo)
		hi = t.lo
	}
	m.p("%s Y%d, Y%d, Y%d", op, hi, acc.lo, acc.lo)
	m.p("VEXTRACTF128 $1, Y%d, X%d", acc.lo, t.lo)
	m.p("%s X%d, X%d, X%d", op, t.lo, acc.lo, acc.lo)
	m.p("VPERMILPS $0x0e, X%d, X%d", acc.lo, t.lo)
	m.p("%s X%d, X%d, X%d", op, t.lo, acc.lo, acc.lo)
	m.p("VPERMILPS $0x01, X%d, X%d", acc.lo, t.lo)
	m.p("%s X%d, X%d, X%d", op, t.lo, acc.lo, acc.lo)
	m.p("VMOVSS X%d, %s", acc.lo, to)
}

// zero clears v.
func (m *machine) zero(v vec) { m.op("VXORPS", v, v, v) }

// loop runs body over CX elements; ptrs move along. CX and BX are overwritten.
func (m *machine) loop(ptrs []string, body func()) {
	loop, tail, done := m.label("loop"), m.label("tail"), m.label("done")
	m.p("SUBQ $16, CX")
	m.p("JLT %s", tail)
	m.p("PCALIGN $32")
	m.at(loop)
	body()
	for _, p := range ptrs {
		m.p("ADDQ $64, %s", p)
	}
	m.p("SUBQ $16, CX")
	m.p("JGE %s", loop)
	m.at(tail)
	m.p("ADDQ $16, CX")
	m.p("JZ %s", done)
	m.setMask()
	m.tail = true
	body()
	m.tail = false
	m.at(done)
}

// setMask sets the mask of the first CX of 16 lanes, 1 to 16. CX and BX are overwritten.
func (m *machine) setMask() {
	if m.wide {
		m.p("MOVL $1, BX")
		m.p("SHLL CX, BX")
		m.p("DECL BX")
		m.p("KMOVW BX, K1")
	} else {
		m.p("LEAQ masks<>+64(SB), BX")
		m.p("SHLQ $2, CX")
		m.p("SUBQ CX, BX")
		m.p("VMOVUPS (BX), Y%d", maskLo)
		m.p("VMOVUPS 32(BX), Y%d", maskHi)
	}
}
