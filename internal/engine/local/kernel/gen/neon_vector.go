package main

// neonVectors writes the routines on rows for Arm. As vectors does for the other machines, it follows the plain ones in order
// of operations and of operands.
func neonVectors(m *neon) {
	m.sums()
	m.exponentials()
	m.softmax()
	m.layers()
	m.rope()
	m.adam()
	m.conversions()
	m.rounding()
	m.endData()
}

// ptrs loads pointer parameters and the count into registers.
func (m *neon) ptrs(at map[string]string, names ...string) []string {
	regs := []string{"R1", "R2", "R3", "R4", "R5"}[:len(names)]
	for i, n := range names {
		m.p("MOVD %s, %s", at[n], regs[i])
	}
	m.p("MOVD %s, %s", at["n"], countReg)
	return regs
}

// result stores the lowest lane of a register.
func (m *neon) result(r int, to string) { m.p("FMOVS F%d, %s", r, to) }

// clearAll sets 16 lanes to zero.
func (m *neon) clearAll(v quad) {
	for _, r := range v {
		m.clear(r)
	}
}

func (m *neon) sums() {
	at := m.begin("axpy", "adds a·x to dst.", "p:dst p:x i:n f:a", false)
	r := m.ptrs(at, "dst", "x")
	a, x, d := m.all(at["a"]), m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[1], x)
		m.load(r[0], d)
		m.q("fmla", d, x, a)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("scale", "multiplies x by a.", "p:x i:n f:a", false)
	r = m.ptrs(at, "x")
	a, x = m.all(at["a"]), m.quad()
	m.loop(r, func() {
		m.load(r[0], x)
		m.q("fmul", x, x, a)
		m.store(x, r[0])
	})
	m.ret()

	for _, three := range []bool{false, true} {
		if three {
			at = m.begin("dot3", "returns Σ (a·b)·c.", "p:a p:b p:c i:n", true)
			r = m.ptrs(at, "a", "b", "c")
		} else {
			at = m.begin("dot", "returns Σ a·b.", "p:a p:b i:n", true)
			r = m.ptrs(at, "a", "b")
		}
		acc, x, y := m.quad(), m.quad(), m.quad()
		m.clearAll(acc)
		m.loop(r, func() {
			m.load(r[0], x)
			m.load(r[1], y)
			if three {
				m.q("fmul", x, x, y)
				m.load(r[2], y)
			}
			m.q("fmla", acc, x, y)
		})
		m.fold(m.sum, acc, x[0], x[1])
		m.result(acc[0], at["ret"])
		m.ret()
	}

	at = m.begin("max", "returns the largest element.", "p:x i:n", true)
	r = m.ptrs(at, "x")
	m.keep(minusInf)
	acc, x, t := m.quad(), m.quad(), m.reg()
	m.largest(acc, x, t, "R1")
	m.result(acc[0], at["ret"])
	m.ret()
}

const minusInf = 0xff800000

// largest leaves the largest of the elements at ptr in acc's lowest lane.
func (m *neon) largest(acc, x quad, t int, ptr string) {
	low := m.is(minusInf)
	m.q("orr", acc, low, low)
	m.loop([]string{ptr}, func() {
		m.load(ptr, x)
		m.maxTo(acc, x, t)
	})
	m.fold(m.larger, acc, x[0], t)
}

// The constants of exp, in the order of their use.
const (
	expLog2e  = float32(1.44269504088896341)
	expLn2Hi  = float32(0.693359375)
	expLn2Lo  = float32(-2.12194440e-4)
	expBias   = uint32(127)
	signOfOne = uint32(0x80000000)
)

var expPoly = [6]float32{1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1}

// keepExp holds what exp needs in registers.
func (m *neon) keepExp() {
	m.keepFloats(expLow, expHigh, expLog2e, expLn2Hi, expLn2Lo, 1)
	m.keep(expBias)
}

// exp computes p = exp(x), overwriting x, n and q. What is not a number stays so: fmax and fmin give it back.
func (m *neon) exp(x, n, p, q quad) {
	m.q("fmax", x, x, m.isFloat(expLow))
	m.q("fmin", x, x, m.isFloat(expHigh))
	m.q("fmul", n, x, m.isFloat(expLog2e))
	m.q("frintn", n, n)
	m.q("fmls", x, n, m.isFloat(expLn2Hi))
	m.q("fmls", x, n, m.isFloat(expLn2Lo))
	// The sum of a multiply-add takes the place of the coefficient, so that p and q change places.
	a, b := q, p
	m.set(a, expPoly[0])
	for _, c := range expPoly[1:] {
		m.set(b, c)
		m.q("fmla", b, a, x)
		a, b = b, a
	}
	m.q("fmul", b, x, x)
	m.q("fmla", x, a, b)
	m.q("fadd", p, x, m.isFloat(1))
	// 2ⁿ in two factors, each a normal number.
	m.q("fcvtns", n, n)
	m.qshift("sshr", q, n, 1)
	m.q("sub", n, n, q)
	for _, e := range []quad{q, n} {
		m.q("add", e, e, m.is(expBias))
		m.qshift("shl", e, e, 23)
		m.q("fmul", p, p, e)
	}
}

func (m *neon) exponentials() {
	at := m.begin("expAffine", "computes dst = exp(x·scale + shift)·post.", "p:dst p:x i:n f:scale f:shift f:post", false)
	r := m.ptrs(at, "dst", "x")
	scale, shift, post := m.all(at["scale"]), m.all(at["shift"]), m.all(at["post"])
	m.keepExp()
	x, n, p, q := m.quad(), m.quad(), m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[1], n)
		m.q("orr", x, shift, shift)
		m.q("fmla", x, n, scale)
		m.exp(x, n, p, q)
		m.q("fmul", p, p, post)
		m.store(p, r[0])
	})
	m.ret()

	for _, store := range []bool{true, false} {
		name, ps, ptrs := "sumExp", "p:x i:n f:scale f:shift", []string{"x"}
		doc := "returns Σ exp(x·scale + shift)."
		if store {
			name, ps, ptrs = "expSum", "p:dst p:x i:n f:scale f:shift", []string{"dst", "x"}
			doc = "computes dst = exp(x·scale + shift) and returns its sum."
		}
		at = m.begin(name, doc, ps, true)
		r = m.ptrs(at, ptrs...)
		scale, shift = m.all(at["scale"]), m.all(at["shift"])
		m.keepExp()
		acc := m.quad()
		x, n, p, q = m.quad(), m.quad(), m.quad(), m.quad()
		m.clearAll(acc)
		m.loop(r, func() {
			m.expTerm(r, acc, x, n, p, q, scale, shift, store)
		})
		m.fold(m.sum, acc, x[0], x[1])
		m.result(acc[0], at["ret"])
		m.ret()
	}

	at = m.begin("softmaxBackward", "computes dp = (dp - d)·p·scale.", "p:dp p:p i:n f:d f:scale", false)
	r = m.ptrs(at, "dp", "p")
	d, scale := m.all(at["d"]), m.all(at["scale"])
	x, p = m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[0], x)
		m.load(r[1], p)
		m.q("fsub", x, x, d)
		m.q("fmul", x, x, p)
		m.q("fmul", x, x, scale)
		m.store(x, r[0])
	})
	m.ret()
}

// expTerm adds exp(x·scale + shift) of the elements at the last pointer to acc and stores it at the first.
func (m *neon) expTerm(r []string, acc, x, n, p, q, scale, shift quad, store bool) {
	m.load(r[len(r)-1], n)
	m.q("orr", x, shift, shift)
	m.q("fmla", x, n, scale)
	m.exp(x, n, p, q)
	if store {
		m.store(p, r[0])
	}
	m.addTo(acc, p, q[0])
}

// softmax writes max, exp and sum, and scale in one, as for the other machines.
func (m *neon) softmax() {
	at := m.begin("softmax", "computes dst = softmax(x·scale) and leaves the largest x·scale, and the sum before it is divided by, in stats.",
		"p:dst p:x i:n f:scale p:stats", false)
	m.p("MOVD %s, R8", at["stats"])
	scale, shift := m.all(at["scale"]), m.all(at["scale"])
	m.keepExp()
	m.keep(minusInf)
	acc := m.quad()
	x, n, p, q := m.quad(), m.quad(), m.quad(), m.quad()
	r := m.ptrs(at, "dst", "x")
	m.largest(acc, x, q[0], r[1])
	m.p("FMULS F%d, F%d, F%d", scale[0], acc[0], acc[0])
	m.result(acc[0], "(R8)")
	m.p("FNEGS F%d, F%d", acc[0], acc[0])
	m.dup(shift[0], acc[0])

	m.ptrs(at, "dst", "x")
	m.clearAll(acc)
	m.loop(r, func() { m.expTerm(r, acc, x, n, p, q, scale, shift, true) })
	m.fold(m.sum, acc, x[0], x[1])
	m.result(acc[0], "4(R8)")
	m.p("FDIVS F%d, F%d, F%d", acc[0], m.isFloat(1)[0], x[0])
	m.dup(shift[0], x[0])

	m.ptrs(at, "dst")
	m.loop(r[:1], func() {
		m.load(r[0], x)
		m.q("fmul", x, x, shift)
		m.store(x, r[0])
	})
	m.ret()
}

func (m *neon) layers() {
	at := m.begin("mulScaled", "computes y = (x·r)·w.", "p:y p:x p:w i:n f:r", false)
	r := m.ptrs(at, "y", "x", "w")
	k, x, y := m.all(at["r"]), m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[1], x)
		m.load(r[2], y)
		m.q("fmul", x, x, k)
		m.q("fmul", x, x, y)
		m.store(x, r[0])
	})
	m.ret()

	at = m.begin("mulAddScaled", "adds a·(b·r) to dst.", "p:dst p:a p:b i:n f:r", false)
	r = m.ptrs(at, "dst", "a", "b")
	k, x, y = m.all(at["r"]), m.quad(), m.quad()
	d := m.quad()
	m.loop(r, func() {
		m.load(r[2], y)
		m.load(r[1], x)
		m.load(r[0], d)
		m.q("fmul", y, y, k)
		m.q("fmla", d, x, y)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("normBackward", "adds (dy·w)·r - x·k to dx.", "p:dx p:dy p:x p:w i:n f:r f:k", false)
	r = m.ptrs(at, "dx", "dy", "x", "w")
	s, k := m.all(at["r"]), m.all(at["k"])
	x, y, d = m.quad(), m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[1], y)
		m.load(r[3], x)
		m.q("fmul", y, y, x)
		m.q("fmul", y, y, s)
		m.load(r[2], x)
		m.q("fmls", y, x, k)
		m.load(r[0], d)
		m.q("fadd", d, d, y)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("swiGLU", "computes h = silu(g)·u.", "p:h p:gate p:u i:n", false)
	r = m.ptrs(at, "h", "gate", "u")
	m.keepExp()
	m.keep(signOfOne)
	x, n, p, q := m.quad(), m.quad(), m.quad(), m.quad()
	m.loop(r, func() {
		m.sigmoid(r[1], x, n, p, q)
		m.q("fmul", x, x, p)
		m.load(r[2], n)
		m.q("fmul", x, x, n)
		m.store(x, r[0])
	})
	m.ret()

	at = m.begin("swiGLUBackward", "computes the gradients of g and u from that of h.", "p:dg p:du p:dh p:gate p:u i:n", false)
	r = m.ptrs(at, "dg", "du", "dh", "gate", "u")
	m.keepExp()
	m.keep(signOfOne)
	x, n, p, q = m.quad(), m.quad(), m.quad(), m.quad()
	y = m.quad()
	m.loop(r, func() {
		m.sigmoid(r[3], x, n, p, q)
		// Everything is read before anything is written: the slices may be the same.
		m.load(r[2], n)
		m.load(r[4], y)
		m.q("fmul", y, n, y)            // dh·u
		m.q("fmul", q, x, p)            // g·s
		m.q("fmul", n, n, q)            // du
		m.store(n, r[1])                // dh is not needed any more, u is in y
		m.q("fsub", n, m.isFloat(1), p) // 1-s
		m.q("orr", q, m.isFloat(1), m.isFloat(1))
		m.q("fmla", q, x, n) // g·(1-s) + 1
		m.q("fmul", p, p, q)
		m.q("fmul", y, y, p)
		m.store(y, r[0])
	})
	m.ret()
}

// sigmoid loads x from ptr and computes p = 1/(1 + exp(-x)).
func (m *neon) sigmoid(ptr string, x, n, p, q quad) {
	m.load(ptr, x)
	m.q("eor", x, x, m.is(signOfOne))
	m.exp(x, n, p, q)
	m.q("fadd", p, p, m.isFloat(1))
	m.q("fdiv", p, m.isFloat(1), p)
	m.load(ptr, x)
}

func (m *neon) rope() {
	at := m.begin("rope", "rotates heads of 2·half elements by one position's angles; the angles' sign is sign.",
		"p:x i:half i:heads p:cos p:sin f:sign", false)
	m.p("MOVD %s, R1", at["x"])
	m.p("MOVD %s, R11", at["half"])
	m.p("MOVD %s, R12", at["heads"])
	sign := m.all(at["sign"])
	x, y, c, s := m.quad(), m.quad(), m.quad(), m.quad()
	a := m.quad()
	head, done := m.label("head"), m.label("end")
	m.at(head)
	m.p("CBZ R12, %s", done)
	m.p("SUB $1, R12, R12")
	m.p("ADD R11<<2, R1, R2")
	m.p("MOVD %s, R3", at["cos"])
	m.p("MOVD %s, R4", at["sin"])
	m.p("ADD R11<<3, R1, R13")
	m.p("MOVD R11, %s", countReg)
	m.loop([]string{"R1", "R2", "R3", "R4"}, func() {
		m.load("R1", x)
		m.load("R2", y)
		m.load("R3", c)
		m.load("R4", s)
		m.q("fmul", s, s, sign)
		m.q("fmul", a, x, c)
		m.q("fmls", a, y, s)
		m.q("fmul", y, y, c)
		m.q("fmla", y, x, s)
		m.store(a, "R1")
		m.store(y, "R2")
	})
	m.p("MOVD R13, R1")
	m.p("B %s", head)
	m.at(done)
	m.ret()
}

func (m *neon) adam() {
	at := m.begin("adamW", "updates parameters and moments.", "p:p p:m p:v p:grad i:n c:k", false)
	r := m.ptrs(at, "p", "m", "v", "grad")
	m.p("MOVD %s, R8", at["k"])
	var c [9]quad
	for i, operand := range []string{"(R8)", "4(R8)", "8(R8)", "12(R8)", "16(R8)", "20(R8)", "24(R8)", "28(R8)", "32(R8)"} {
		c[i] = m.all(operand)
	}
	x, y, d := m.quad(), m.quad(), m.quad()
	m.loop(r, func() {
		m.load(r[3], x)
		m.q("fmul", x, x, c[0])
		m.load(r[1], y)
		m.q("fmul", y, y, c[1])
		m.q("fmla", y, x, c[2])
		m.store(y, r[1])
		m.q("fmul", x, x, x)
		m.load(r[2], d)
		m.q("fmul", d, d, c[3])
		m.q("fmla", d, x, c[4])
		m.store(d, r[2])
		m.q("fsqrt", d, d)
		m.q("orr", x, c[6], c[6])
		m.q("fmla", x, d, c[5])
		m.q("fdiv", y, y, x)
		m.load(r[0], d)
		m.q("fmul", d, d, c[8])
		m.q("fmls", d, y, c[7])
		m.store(d, r[0])
	})
	m.ret()
}

// The words of the rounding to bfloat16.
const (
	halfLess  = uint32(0x7fff)
	lowestBit = uint32(1)
	quietBit  = uint32(0x00400000)
	exponent  = uint32(0x7f800000)
	upperHalf = uint32(0xffff0000)
)

// round rounds the floats of a register to bfloat16, ties to even: the upper half of each lane of y is the result. x and t are
// overwritten.
func (m *neon) round(y, x, t int) {
	m.shift("ushr", y, x, 16)
	m.v("and", y, y, m.is(lowestBit)[0])
	m.v("add", y, y, m.is(halfLess)[0])
	m.v("add", y, y, x)
	// What is not a number keeps its sign and becomes quiet.
	m.v("fcmeq", t, x, x)
	m.v("orr", x, x, m.is(quietBit)[0])
	m.v("bif", y, x, t)
}

// roundFlush is round for products: of subnormal numbers it leaves the sign, and the lower half of each lane is zero.
func (m *neon) roundFlush(y, x, t, u int) {
	m.v("cmtst", u, x, m.is(exponent)[0])
	m.round(y, x, t)
	m.v("orr", u, u, m.is(signOfOne)[0])
	m.v("and", y, y, u)
	m.v("and", y, y, m.is(upperHalf)[0])
}

func (m *neon) keepRounding() {
	m.keep(lowestBit, halfLess, quietBit, exponent, signOfOne, upperHalf)
}

func (m *neon) conversions() {
	at := m.begin("toBF16", "rounds n floats, a multiple of 16, to bfloat16.", "h:dst p:src i:n", false)
	r := m.ptrs(at, "dst", "src")
	m.keepRounding()
	x, y, t := m.quad(), m.quad(), m.reg()
	m.sixteens(func() {
		m.load(r[1], x)
		for h := range 4 {
			m.round(y[h], x[h], t)
		}
		m.v("uzp2h", y[0], y[0], y[1])
		m.v("uzp2h", y[1], y[2], y[3])
		m.p("FSTPQ (F%d, F%d), (%s)", y[0], y[1], r[0])
		m.p("ADD $32, %s, %s", r[0], r[0])
		m.p("ADD $64, %s, %s", r[1], r[1])
	})
	m.ret()

	at = m.begin("fromBF16", "widens n bfloat16, a multiple of 16.", "p:dst h:src i:n", false)
	r = m.ptrs(at, "dst", "src")
	x, y = m.quad(), m.quad()
	m.sixteens(func() {
		m.p("FLDPQ (%s), (F%d, F%d)", r[1], x[0], x[1])
		for h := range 4 {
			m.shll(y[h], x[h/2], h%2 == 1)
		}
		m.store(y, r[0])
		m.p("ADD $64, %s, %s", r[0], r[0])
		m.p("ADD $32, %s, %s", r[1], r[1])
	})
	m.ret()
}

// sixteens runs body for each whole 16 of countReg.
func (m *neon) sixteens(body func()) {
	loop, done := m.label("loop"), m.label("done")
	m.at(loop)
	m.p("SUBS $16, %s, %s", countReg, countReg)
	m.p("BLT %s", done)
	body()
	m.p("B %s", loop)
	m.at(done)
}

// rounding writes the rounding to bfloat16 that products do, kept in float32.
func (m *neon) rounding() {
	at := m.begin("roundHalf", "rounds n floats to bfloat16, subnormal numbers to zero, and keeps them in float32.", "p:dst p:src i:n", false)
	r := m.ptrs(at, "dst", "src")
	m.keepRounding()
	x, y, t, u := m.quad(), m.quad(), m.reg(), m.reg()
	m.loop(r, func() {
		m.load(r[1], x)
		for h := range 4 {
			m.roundFlush(y[h], x[h], t, u)
		}
		m.store(y, r[0])
	})
	m.ret()
}
