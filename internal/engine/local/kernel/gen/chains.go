package main

import "fmt"

// The fields of chainArgs by offset: those of tileArgs without the last, then the control words of the vector unit.
const (
	chainOld = 80 // as it was
	chainNew = 84 // with subnormal numbers taken and given as zero
)

// The bits of MXCSR that make it so: flush to zero and denormals are zero.
const flushBits = 0x8040

// A chain is a strip of rows times a panel in numerics AMX, without its instruction: in each block of 16 words of B the even
// and the odd halves, widened to float32, are two sums in registers. A is in float32, rounded to bfloat16.
type chain struct {
	*file
	rows   int
	wide   bool
	packed bool // A is packed [k][12], else its rows are read in place
}

// chains writes the functions of a strip, chainZ and chainPackedZ or those for AVX2, for each number of rows.
func chains(f *file, wide bool) {
	suffix, most := "Y", 3
	if wide {
		suffix, most = "Z", 6
	}
	for _, packed := range []bool{false, true} {
		name := "chain"
		if packed {
			name = "chainPacked"
		}
		for rows := 1; rows <= most; rows++ {
			(&chain{f, rows, wide, packed}).write(fmt.Sprintf("%s%s%d", name, suffix, rows))
		}
		f.dispatch(name+suffix, most, "chainArgs")
	}
	fmt.Fprintf(&f.data, "DATA upper<>+0(SB)/4, $0xffff0000\nGLOBL upper<>(SB), RODATA|NOPTR, $4\n")
}

// reg names a vector register.
func (c *chain) reg(n int) string {
	if c.wide {
		return fmt.Sprintf("Z%d", n)
	}
	return fmt.Sprintf("Y%d", n)
}

// size is the bytes of a register: two of them are the columns that the function does at once.
func (c *chain) size() int {
	if c.wide {
		return 64
	}
	return 32
}

// sum is the register of a row's sum: p 0 for even k and 1 for odd, h the half of the columns.
func (c *chain) sum(row, p, h int) int { return (row*2+p)*2 + h }

// scratch registers behind the sums.
func (c *chain) spare(n int) int {
	if c.wide {
		return 24 + n
	}
	return 12 + n
}

// a is the operand of A's row i at the k after the pointers.
func (c *chain) a(i, k int) string {
	if c.packed {
		return fmt.Sprintf("%d(SI)", (k*packWidth+i)*4)
	}
	base := [2]string{"SI", "R9"}[i/3]
	if i%3 == 0 {
		return fmt.Sprintf("%d(%s)", k*4, base)
	}
	return fmt.Sprintf("%d(%s)(R8*%d)", k*4, base, i%3)
}

// write writes one function. Registers: AX arguments, SI and R9 A, R8 its stride, DX into B, R15 at the panel, DI C, R12 its
// stride, R13 panels left (AVX2: half panels done), R10 words of k left, CX words of the block left.
func (c *chain) write(name string) {
	c.fn(name, fmt.Sprintf("computes a strip of %d rows in numerics AMX.", c.rows), "k:args", false)
	c.p("MOVQ args+0(FP), AX")
	c.p("STMXCSR %d(AX)", chainOld)
	c.p("MOVL %d(AX), BX", chainOld)
	c.p("ORL $%#x, BX", flushBits)
	c.p("MOVL BX, %d(AX)", chainNew)
	c.p("LDMXCSR %d(AX)", chainNew)
	c.p("MOVQ %d(AX), R15", argB)
	c.p("MOVQ %d(AX), DI", argC)
	c.p("MOVQ %d(AX), R12", argLDC)
	if c.wide {
		c.p("VPBROADCASTD upper<>(SB), Z31")
		c.panelsWide()
	} else {
		c.halvesNarrow()
	}
	c.p("LDMXCSR %d(AX)", chainOld)
	c.ret()
}

// panelsWide runs over the panels, the last one under a mask where it is not full.
func (c *chain) panelsWide() {
	loop, full, next := c.label("panel"), c.label("full"), c.label("next")
	c.p("MOVQ %d(AX), R13", argCount)
	c.at(loop)
	c.p("CMPQ R13, $1")
	c.p("JNE %s", full)
	c.p("MOVQ %d(AX), BX", argMask)
	c.p("TESTQ BX, BX")
	c.p("JZ %s", full)
	c.p("KMOVW BX, K1")
	c.p("SHRQ $16, BX")
	c.p("KMOVW BX, K2")
	c.panel(true)
	c.p("JMP %s", next)
	c.at(full)
	c.panel(false)
	c.at(next)
	c.p("ADDQ %d(AX), R15", argPanel)
	c.p("ADDQ $128, DI")
	c.p("DECQ R13")
	c.p("JNZ %s", loop)
}

// halvesNarrow runs over half panels: from the first to the second it is 64 bytes, from there to the next panel the rest.
func (c *chain) halvesNarrow() {
	loop, masked, full, done := c.label("half"), c.label("masked"), c.label("full"), c.label("done")
	c.p("XORQ R13, R13")
	c.at(loop)
	c.p("CMPQ R13, %d(AX)", argCount)
	c.p("JGE %s", done)
	c.p("LEAQ 1(R13), BX")
	c.p("CMPQ BX, %d(AX)", argCount)
	c.p("JNE %s", full)
	c.p("CMPQ %d(AX), $0", argMask)
	c.p("JNE %s", masked)
	c.at(full)
	c.panel(false)
	c.p("MOVQ $64, BX")
	c.p("MOVQ %d(AX), DX", argPanel)
	c.p("SUBQ BX, DX")
	c.p("TESTQ $1, R13")
	c.p("CMOVQNE DX, BX")
	c.p("ADDQ BX, R15")
	c.p("ADDQ $64, DI")
	c.p("INCQ R13")
	c.p("JMP %s", loop)
	c.at(masked)
	c.panel(true)
	c.at(done)
}

// eachC calls do for every register of C, BX at its row.
func (c *chain) eachC(do func(at string, row, h int)) {
	c.p("MOVQ DI, BX")
	for i := range c.rows {
		for h := range 2 {
			do(fmt.Sprintf("%d(BX)", h*c.size()), i, h)
		}
		if i < c.rows-1 {
			c.p("ADDQ R12, BX")
		}
	}
}

// mask loads AVX2's masks of the columns into two registers.
func (c *chain) mask(lo, hi int) {
	c.p("MOVQ %d(AX), DX", argMask)
	c.p("VMOVUPS (DX), Y%d", lo)
	c.p("VMOVUPS 32(DX), Y%d", hi)
}

// store writes a register to C.
func (c *chain) store(masked bool, reg int, at string, h, mask int) {
	switch {
	case masked && c.wide:
		c.p("VMOVUPS Z%d, K%d, %s", reg, h+1, at)
	case masked:
		c.p("VMASKMOVPS Y%d, Y%d, %s", reg, mask, at)
	default:
		c.p("VMOVUPS %s, %s", c.reg(reg), at)
	}
}

// panel does all of k for two registers of columns. C rests in memory between two blocks.
func (c *chain) panel(masked bool) {
	block, loop, done, blocked := c.label("block"), c.label("k"), c.label("kdone"), c.label("few")
	start := c.label("start")
	c.p("CMPQ %d(AX), $0", argSum)
	c.p("JNE %s", start)
	zero := c.spare(0)
	c.p("VXORPS %s, %s, %s", c.reg(zero), c.reg(zero), c.reg(zero))
	if masked && !c.wide {
		c.mask(c.spare(2), c.spare(3))
	}
	c.eachC(func(at string, _, h int) { c.store(masked, zero, at, h, c.spare(2+h)) })
	c.at(start)
	c.p("MOVQ %d(AX), SI", argA)
	c.p("MOVQ %d(AX), R8", argLDA)
	if c.rows > 3 && !c.packed {
		c.p("LEAQ (R8)(R8*2), R9")
		c.p("ADDQ SI, R9")
	}
	c.p("MOVQ R15, DX")
	c.p("MOVQ %d(AX), R10", argK)
	c.at(block)
	for i := range 4 * c.rows {
		c.p("VXORPS %s, %s, %s", c.reg(i), c.reg(i), c.reg(i))
	}
	c.p("MOVQ $16, CX")
	c.p("CMPQ R10, CX")
	c.p("JGE %s", blocked)
	c.p("MOVQ R10, CX")
	c.at(blocked)
	c.p("SUBQ CX, R10")
	c.p("PCALIGN $32")
	c.at(loop)
	c.pair()
	c.p("DECQ CX")
	c.p("JNZ %s", loop)
	c.combine(masked)
	c.p("TESTQ R10, R10")
	c.p("JNZ %s", block)
	c.at(done)
}

// pair adds the products of one word of B's columns.
func (c *chain) pair() {
	x, even := c.spare(2), c.spare(0)
	if c.wide {
		// Both halves of both registers at once: there is room, and more to do in between.
		odd := c.spare(4)
		for h := range 2 {
			c.p("VMOVDQU32 %d(DX), Z%d", h*64, odd+h)
			c.p("VPSLLD $16, Z%d, Z%d", odd+h, even+h)
			c.p("VPANDD Z31, Z%d, Z%d", odd+h, odd+h)
		}
		for i := range c.rows {
			for p := range 2 {
				c.p("VBROADCASTSS %s, Z%d", c.a(i, p), x+p)
				for h := range 2 {
					c.p("VFMADD231PS Z%d, Z%d, Z%d", [2]int{even, odd}[p]+h, x+p, c.sum(i, p, h))
				}
			}
		}
	} else {
		c.p("VBROADCASTSS upper<>(SB), Y%d", x)
		for p := range 2 {
			for h := range 2 {
				if p == 0 {
					c.p("VMOVDQU %d(DX), Y%d", h*32, even+h)
					c.p("VPSLLD $16, Y%d, Y%d", even+h, even+h)
				} else {
					c.p("VPAND %d(DX), Y%d, Y%d", h*32, x, even+h)
				}
			}
			for i := range c.rows {
				c.p("VBROADCASTSS %s, Y%d", c.a(i, p), x+1)
				for h := range 2 {
					c.p("VFMADD231PS Y%d, Y%d, Y%d", even+h, x+1, c.sum(i, p, h))
				}
			}
		}
	}
	c.p("ADDQ $128, DX")
	if c.packed {
		c.p("ADDQ $%d, SI", 2*packWidth*4)
		return
	}
	c.p("ADDQ $8, SI")
	if c.rows > 3 {
		c.p("ADDQ $8, R9")
	}
}

// combine adds the block's sums to C.
func (c *chain) combine(masked bool) {
	if masked && !c.wide {
		c.p("MOVQ DX, R11")
		c.mask(c.spare(2), c.spare(3))
		c.p("MOVQ R11, DX")
	}
	c.eachC(func(at string, i, h int) {
		e, o := c.sum(i, 0, h), c.sum(i, 1, h)
		c.p("VADDPS %s, %s, %s", c.reg(o), c.reg(e), c.reg(e))
		switch {
		case masked && c.wide:
			c.p("VMOVUPS.Z %s, K%d, Z%d", at, h+1, c.spare(0))
			c.p("VADDPS Z%d, Z%d, Z%d", c.spare(0), e, e)
		case masked:
			c.p("VMASKMOVPS %s, Y%d, Y%d", at, c.spare(2+h), c.spare(0))
			c.p("VADDPS Y%d, Y%d, Y%d", c.spare(0), e, e)
		default:
			c.p("VADDPS %s, %s, %s", at, c.reg(e), c.reg(e))
		}
		c.store(masked, e, at, h, c.spare(2+h))
	})
}

// rounding writes the rounding of floats to bfloat16 as the products do it, kept in float32.
func rounding(m *machine) {
	at := m.begin("roundHalf", "rounds n floats to bfloat16, subnormal numbers to zero, and keeps them in float32.", "p:dst p:src i:n", false)
	r := m.ptrs(at, "dst", "src")
	x, y, t := m.vec(), m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[1], x)
		m.imm("VPSRLD", 16, x, y)
		m.opInt("VPAND", 1, y, y)
		m.opc("VPADDD", 0x7fff, y, y)
		m.op("VPADDD", x, y, y)
		m.opInt("VPOR", 0x00400000, x, t)
		// What is not a number keeps its sign and becomes quiet.
		if m.wide {
			m.p("VCMPPS $3, Z%d, Z%d, K2", x.lo, x.lo)
			m.p("VMOVDQA32 Z%d, K2, Z%d", t.lo, y.lo)
			m.opInt("VPAND", 0x7f800000, x, t)
			m.p("VPTESTNMD Z%d, Z%d, K2", t.lo, t.lo)
			m.opInt("VPAND", 0x80000000, x, x)
			m.opInt("VPAND", 0xffff0000, y, y)
			m.p("VMOVDQA32 Z%d, K2, Z%d", x.lo, y.lo)
		} else {
			m.more(func(u vec) {
				m.imm("VCMPPS", 3, x, x, u)
				m.op("VBLENDVPS", u, t, y, y)
				m.opInt("VPAND", 0x7f800000, x, t)
				m.zero(u)
				m.op("VPCMPEQD", u, t, t)
				m.opInt("VPAND", 0x80000000, x, x)
				m.opInt("VPAND", 0xffff0000, y, y)
				m.op("VBLENDVPS", t, x, y, y)
			})
		}
		m.store(y, r[0])
	})
	m.ret()
}

// more lends one more vector.
func (m *machine) more(use func(v vec)) {
	was := m.next
	use(m.vec())
	m.next = was
}
