package main

// vectors writes the routines on rows, each for both machines. Their definitions are the plain ones in package kernel, whose
// order of operations and of operands they follow: a maximum, for one, returns its second operand if either is not a number.
func vectors(m *machine) {
	sums(m)
	exponentials(m)
	layers(m)
	rope(m)
	adam(m)
	conversions(m)
	rounding(m)
	if m.wide {
		each(m, 4)
	} else {
		each(m, 2)
	}
	m.endData()
}

// ptrs loads pointer parameters into registers.
func (m *machine) ptrs(at map[string]string, names ...string) []string {
	regs := []string{"DI", "SI", "DX", "R8", "R9"}[:len(names)]
	for i, n := range names {
		m.p("MOVQ %s, %s", at[n], regs[i])
	}
	m.p("MOVQ %s, CX", at["n"])
	return regs
}

func sums(m *machine) {
	at := m.begin("axpy", "adds a·x to dst.", "p:dst p:x i:n f:a", false)
	r := m.ptrs(at, "dst", "x")
	a, x, d := m.all(at["a"]), m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[1], x)
		m.load(r[0], d)
		m.op("VFMADD231PS", x, a, d)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("scale", "multiplies x by a.", "p:x i:n f:a", false)
	r = m.ptrs(at, "x")
	a, x = m.all(at["a"]), m.vec()
	m.loop(r, func() {
		m.load(r[0], x)
		m.op("VMULPS", a, x, x)
		m.store(x, r[0])
	})
	m.ret()

	at = m.begin("dot", "returns Σ a·b.", "p:a p:b i:n", true)
	r = m.ptrs(at, "a", "b")
	acc, x, y := m.vec(), m.vec(), m.vec()
	m.zero(acc)
	m.loop(r, func() {
		m.load(r[0], x)
		m.load(r[1], y)
		m.op("VFMADD231PS", y, x, acc)
	})
	m.fold("VADDPS", acc, x, at["ret"])
	m.ret()

	at = m.begin("dot3", "returns Σ (a·b)·c.", "p:a p:b p:c i:n", true)
	r = m.ptrs(at, "a", "b", "c")
	acc, x, y = m.vec(), m.vec(), m.vec()
	m.zero(acc)
	m.loop(r, func() {
		m.load(r[0], x)
		m.load(r[1], y)
		m.op("VMULPS", y, x, x)
		m.load(r[2], y)
		m.op("VFMADD231PS", y, x, acc)
	})
	m.fold("VADDPS", acc, x, at["ret"])
	m.ret()

	at = m.begin("max", "returns the largest element.", "p:x i:n", true)
	r = m.ptrs(at, "x")
	acc, x = m.vec(), m.vec()
	m.opInf(acc)
	m.loop(r, func() {
		m.load(r[0], x)
		m.into("VMAXPS", x, acc)
	})
	m.fold("VMAXPS", acc, x, at["ret"])
	m.ret()
}

// opInf fills v with minus infinity.
func (m *machine) opInf(v vec) { m.op("VBROADCASTSS "+m.constant(0xff800000)+",", v) }

// The bounds of exp's argument and the first coefficient of its polynomial.
const (
	expLow   = float32(-104)
	expHigh  = float32(89)
	expFirst = float32(1.9875691500e-4)
)

// exp computes p = exp(x), overwriting x, n and q.
func (m *machine) exp(x, n, p, q vec) {
	// The bounds come first among the operands, so that what is not a number stays so.
	m.op("VMAXPS", x, m.is(expLow, n), x)
	m.op("VMINPS", x, m.is(expHigh, n), x)
	m.opf("VMULPS", 1.44269504088896341, x, n)
	if m.wide {
		m.imm("VRNDSCALEPS", 8, n, n)
	} else {
		m.imm("VROUNDPS", 8, n, n)
	}
	m.opf("VFNMADD231PS", 0.693359375, n, x)
	m.opf("VFNMADD231PS", -2.12194440e-4, n, x)
	m.set(expFirst, p)
	for _, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		m.opf("VFMADD213PS", c, x, p)
	}
	m.op("VMULPS", x, x, q)
	m.op("VFMADD213PS", x, q, p)
	m.opf("VADDPS", 1, p, p)
	if m.wide {
		m.op("VSCALEFPS", n, p, p)
		return
	}
	// 2ⁿ in two factors, each a normal number.
	m.op("VCVTPS2DQ", n, n)
	m.imm("VPSRAD", 1, n, q)
	m.op("VPSUBD", q, n, n)
	for _, e := range []vec{q, n} {
		m.opc("VPADDD", 127, e, e)
		m.imm("VPSLLD", 23, e, e)
		m.op("VMULPS", e, p, p)
	}
}

func exponentials(m *machine) {
	at := m.begin("expAffine", "computes dst = exp(x·scale + shift)·post.", "p:dst p:x i:n f:scale f:shift f:post", false)
	r := m.ptrs(at, "dst", "x")
	scale, shift, post := m.all(at["scale"]), m.all(at["shift"]), m.all(at["post"])
	m.keep(expLow, expHigh, expFirst)
	x, n, p, q := m.vec(), m.vec(), m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[1], x)
		m.op("VFMADD213PS", shift, scale, x)
		m.exp(x, n, p, q)
		m.op("VMULPS", post, p, p)
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
		m.keep(expLow, expHigh, expFirst)
		acc := m.vec()
		x, n, p, q = m.vec(), m.vec(), m.vec(), m.vec()
		m.zero(acc)
		m.loop(r, func() {
			m.load(r[len(r)-1], x)
			m.op("VFMADD213PS", shift, scale, x)
			m.exp(x, n, p, q)
			if store {
				m.store(p, r[0])
			}
			m.into("VADDPS", p, acc)
		})
		m.fold("VADDPS", acc, x, at["ret"])
		m.ret()
	}

	softmax(m)

	at = m.begin("softmaxBackward", "computes dp = (dp - d)·p·scale.", "p:dp p:p i:n f:d f:scale", false)
	r = m.ptrs(at, "dp", "p")
	d, scale := m.all(at["d"]), m.all(at["scale"])
	x, p = m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[0], x)
		m.load(r[1], p)
		m.op("VSUBPS", d, x, x)
		m.op("VMULPS", p, x, x)
		m.op("VMULPS", scale, x, x)
		m.store(x, r[0])
	})
	m.ret()
}

// softmax writes max, exp and sum, and scale in one: short rows spend more on three calls than on their numbers.
func softmax(m *machine) {
	at := m.begin("softmax", "computes dst = softmax(x·scale) and leaves the largest x·scale, and the sum before it is divided by, in stats.",
		"p:dst p:x i:n f:scale p:stats", false)
	m.p("MOVQ %s, R8", at["stats"])
	scale, shift := m.all(at["scale"]), m.all(at["scale"])
	m.keep(expLow, expHigh, expFirst)
	acc := m.vec()
	x, n, p, q := m.vec(), m.vec(), m.vec(), m.vec()

	m.p("MOVQ %s, SI", at["x"])
	m.p("MOVQ %s, CX", at["n"])
	m.opInf(acc)
	m.loop([]string{"SI"}, func() {
		m.load("SI", x)
		m.into("VMAXPS", x, acc)
	})
	m.fold("VMAXPS", acc, x, "(R8)")
	m.p("VMULSS X%d, X%d, X%d", scale.lo, acc.lo, acc.lo)
	m.p("VMOVSS X%d, (R8)", acc.lo)
	m.p("VXORPS %s, X%d, X%d", m.constant(0x80000000), acc.lo, acc.lo)
	m.p("VBROADCASTSS X%d, %s%d", acc.lo, m.letter(), shift.lo)

	m.p("MOVQ %s, DI", at["dst"])
	m.p("MOVQ %s, SI", at["x"])
	m.p("MOVQ %s, CX", at["n"])
	m.zero(acc)
	m.loop([]string{"SI", "DI"}, func() {
		m.load("SI", x)
		m.op("VFMADD213PS", shift, scale, x)
		m.exp(x, n, p, q)
		m.store(p, "DI")
		m.into("VADDPS", p, acc)
	})
	m.fold("VADDPS", acc, x, "4(R8)")
	m.p("VMOVSS %s, X%d", m.constant(0x3f800000), x.lo)
	m.p("VDIVSS X%d, X%d, X%d", acc.lo, x.lo, x.lo)
	m.p("VBROADCASTSS X%d, %s%d", x.lo, m.letter(), shift.lo)

	m.p("MOVQ %s, DI", at["dst"])
	m.p("MOVQ %s, CX", at["n"])
	m.loop([]string{"DI"}, func() {
		m.load("DI", x)
		m.op("VMULPS", shift, x, x)
		m.store(x, "DI")
	})
	m.ret()
}

func layers(m *machine) {
	at := m.begin("mulScaled", "computes y = (x·r)·w.", "p:y p:x p:w i:n f:r", false)
	r := m.ptrs(at, "y", "x", "w")
	k, x, y := m.all(at["r"]), m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[1], x)
		m.load(r[2], y)
		m.op("VMULPS", k, x, x)
		m.op("VMULPS", y, x, x)
		m.store(x, r[0])
	})
	m.ret()

	at = m.begin("mulAddScaled", "adds a·(b·r) to dst.", "p:dst p:a p:b i:n f:r", false)
	r = m.ptrs(at, "dst", "a", "b")
	k, x, y = m.all(at["r"]), m.vec(), m.vec()
	d := m.vec()
	m.loop(r, func() {
		m.load(r[2], y)
		m.load(r[1], x)
		m.load(r[0], d)
		m.op("VMULPS", k, y, y)
		m.op("VFMADD231PS", y, x, d)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("normBackward", "adds (dy·w)·r - x·k to dx.", "p:dx p:dy p:x p:w i:n f:r f:k", false)
	r = m.ptrs(at, "dx", "dy", "x", "w")
	s, k := m.all(at["r"]), m.all(at["k"])
	x, y, d = m.vec(), m.vec(), m.vec()
	m.loop(r, func() {
		m.load(r[1], y)
		m.load(r[3], x)
		m.op("VMULPS", x, y, y)
		m.op("VMULPS", s, y, y)
		m.load(r[2], x)
		m.op("VFNMADD231PS", k, x, y)
		m.load(r[0], d)
		m.op("VADDPS", y, d, d)
		m.store(d, r[0])
	})
	m.ret()

	at = m.begin("swiGLU", "computes h = silu(g)·u.", "p:h p:gate p:u i:n", false)
	r = m.ptrs(at, "h", "gate", "u")
	m.keep(expLow, expHigh, expFirst, 1)
	x, n, p, q := m.vec(), m.vec(), m.vec(), m.vec()
	m.loop(r, func() {
		m.sigmoid(r[1], x, n, p, q)
		m.op("VMULPS", p, x, x)
		m.load(r[2], n)
		m.op("VMULPS", n, x, x)
		m.store(x, r[0])
	})
	m.ret()

	at = m.begin("swiGLUBackward", "computes the gradients of g and u from that of h.", "p:dg p:du p:dh p:gate p:u i:n", false)
	r = m.ptrs(at, "dg", "du", "dh", "gate", "u")
	m.keep(expLow, expHigh, expFirst, 1)
	x, n, p, q = m.vec(), m.vec(), m.vec(), m.vec()
	y = m.vec()
	m.loop(r, func() {
		m.sigmoid(r[3], x, n, p, q)
		// Everything is read before anything is written: the slices may be the same.
		m.load(r[2], n)
		m.load(r[4], y)
		m.op("VMULPS", n, y, y) // dh·u
		m.op("VMULPS", p, x, q)
		m.op("VMULPS", q, n, n) // du = dh·(g·s)
		m.op("VSUBPS", p, m.is(1, q), q)
		m.opf("VFMADD213PS", 1, x, q) // g·(1-s) + 1
		m.op("VMULPS", q, p, p)
		m.op("VMULPS", p, y, y)
		m.store(n, r[1])
		m.store(y, r[0])
	})
	m.ret()
}

// sigmoid loads x from ptr and computes p = 1/(1 + exp(-x)).
func (m *machine) sigmoid(ptr string, x, n, p, q vec) {
	m.load(ptr, x)
	m.opc("VXORPS", 0x80000000, x, x)
	m.exp(x, n, p, q)
	m.opf("VADDPS", 1, p, p)
	m.op("VDIVPS", p, m.is(1, x), p)
	m.load(ptr, x)
}

func rope(m *machine) {
	at := m.begin("rope", "rotates heads of 2·half elements by one position's angles; the angles' sign is sign.",
		"p:x i:half i:heads p:cos p:sin f:sign", false)
	m.p("MOVQ %s, DI", at["x"])
	m.p("MOVQ %s, R10", at["half"])
	m.p("MOVQ %s, R11", at["heads"])
	sign := m.all(at["sign"])
	x, y, c, s := m.vec(), m.vec(), m.vec(), m.vec()
	a := m.vec()
	head, done := m.label("head"), m.label("end")
	m.at(head)
	m.p("DECQ R11")
	m.p("JLT %s", done)
	m.p("LEAQ (DI)(R10*4), SI")
	m.p("MOVQ %s, R8", at["cos"])
	m.p("MOVQ %s, R9", at["sin"])
	m.p("LEAQ (DI)(R10*8), R12")
	m.p("MOVQ R10, CX")
	m.loop([]string{"DI", "SI", "R8", "R9"}, func() {
		m.load("DI", x)
		m.load("SI", y)
		m.load("R8", c)
		m.load("R9", s)
		m.op("VMULPS", sign, s, s)
		m.op("VMULPS", c, x, a)
		m.op("VFNMADD231PS", s, y, a)
		m.op("VMULPS", c, y, y)
		m.op("VFMADD231PS", s, x, y)
		m.store(a, "DI")
		m.store(y, "SI")
	})
	m.p("MOVQ R12, DI")
	m.p("JMP %s", head)
	m.at(done)
	m.ret()
}

func adam(m *machine) {
	at := m.begin("adamW", "updates parameters and moments.", "p:p p:m p:v p:grad i:n c:k", false)
	r := m.ptrs(at, "p", "m", "v", "grad")
	m.p("MOVQ %s, AX", at["k"])
	c := []string{"(AX)", "4(AX)", "8(AX)", "12(AX)", "16(AX)", "20(AX)", "24(AX)", "28(AX)", "32(AX)"}
	t, x, y, d := m.vec(), m.vec(), m.vec(), m.vec()
	with := func(i int) vec {
		m.op("VBROADCASTSS "+c[i]+",", t)
		return t
	}
	m.loop(r, func() {
		m.load(r[3], x)
		m.op("VMULPS", with(0), x, x)
		m.load(r[1], y)
		m.op("VMULPS", with(1), y, y)
		m.op("VFMADD231PS", with(2), x, y)
		m.store(y, r[1])
		m.op("VMULPS", x, x, x)
		m.load(r[2], d)
		m.op("VMULPS", with(3), d, d)
		m.op("VFMADD231PS", with(4), x, d)
		m.store(d, r[2])
		m.op("VSQRTPS", d, d)
		m.op("VBROADCASTSS "+c[6]+",", x)
		m.op("VFMADD231PS", with(5), d, x)
		m.op("VDIVPS", x, y, y)
		m.load(r[0], d)
		m.op("VMULPS", with(8), d, d)
		m.op("VFNMADD231PS", with(7), y, d)
		m.store(d, r[0])
	})
	m.ret()
}

func conversions(m *machine) {
	at := m.begin("toBF16", "rounds n floats, a multiple of 16, to bfloat16.", "h:dst p:src i:n", false)
	r := m.ptrs(at, "dst", "src")
	x, y, t := m.vec(), m.vec(), m.vec()
	loop, done := m.label("loop"), m.label("done")
	m.at(loop)
	m.p("SUBQ $16, CX")
	m.p("JLT %s", done)
	m.load(r[1], x)
	m.imm("VPSRLD", 16, x, y)
	m.opInt("VPAND", 1, y, t)
	m.opc("VPADDD", 0x7fff, t, t)
	m.op("VPADDD", x, t, t)
	m.imm("VPSRLD", 16, t, t)
	m.opInt("VPOR", 0x40, y, y)
	// What is not a number keeps its sign and becomes quiet.
	if m.wide {
		m.p("VCMPPS $3, Z%d, Z%d, K1", x.lo, x.lo)
		m.p("VMOVDQA32 Z%d, K1, Z%d", y.lo, t.lo)
		m.p("VPMOVDW Z%d, (%s)", t.lo, r[0])
	} else {
		m.imm("VCMPPS", 3, x, x, x)
		m.op("VBLENDVPS", x, y, t, t)
		m.p("VPACKUSDW Y%d, Y%d, Y%d", t.hi, t.lo, t.lo)
		m.p("VPERMQ $0xd8, Y%d, Y%d", t.lo, t.lo)
		m.p("VMOVDQU Y%d, (%s)", t.lo, r[0])
	}
	m.p("ADDQ $32, %s", r[0])
	m.p("ADDQ $64, %s", r[1])
	m.p("JMP %s", loop)
	m.at(done)
	m.ret()

	at = m.begin("fromBF16", "widens n bfloat16, a multiple of 16.", "p:dst h:src i:n", false)
	r = m.ptrs(at, "dst", "src")
	x = m.vec()
	loop, done = m.label("loop"), m.label("done")
	m.at(loop)
	m.p("SUBQ $16, CX")
	m.p("JLT %s", done)
	m.p("VPMOVZXWD (%s), %s%d", r[1], m.letter(), x.lo)
	if !m.wide {
		m.p("VPMOVZXWD 16(%s), Y%d", r[1], x.hi)
	}
	m.imm("VPSLLD", 16, x, x)
	m.store(x, r[0])
	m.p("ADDQ $64, %s", r[0])
	m.p("ADDQ $32, %s", r[1])
	m.p("JMP %s", loop)
	m.at(done)
	m.ret()
}

// opInt is opc for bitwise instructions, which AVX-512 names by the width of a lane.
func (m *machine) opInt(name string, c uint32, vs ...vec) {
	if m.wide {
		name += "D"
	}
	m.opc(name, c, vs...)
}
