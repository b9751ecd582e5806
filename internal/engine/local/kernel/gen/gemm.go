package main

import "fmt"

// The fields of tileArgs by offset.
const (
	argA      = 0  // first row of the strip
	argLDA    = 8  // bytes from row to row
	argB      = 16 // first panel, at the first k
	argPanel  = 24 // bytes from panel to panel
	argC      = 32 // first element
	argLDC    = 40 // bytes from row to row
	argK      = 48 // words in k
	argCount  = 56 // panels (AVX-512) or half panels (AVX2)
	argMask   = 64 // of the last one: bits (AVX-512) or the address of a vector mask (AVX2); 0 if it is full
	argSum    = 72 // not zero: start from C
	argLDB    = 80 // bytes from row to row of B, if it is read in place
	packWidth = 12 // columns of a packed strip of A
)

// unroll is how many k the inner loop does at once.
const unroll = 4

// A tile is a strip of rows times a panel, C in registers.
type tile struct {
	*file
	rows   int
	packed bool // A is packed [k][12], else its rows are read in place
	place  bool // both are read in place and A is transposed: k runs down the rows of A and B
	bf16   bool
}

// aBases point at rows 0, 3, 6 and 9; R8 is the row stride, so that scales 1 and 2 reach the two rows after each.
var aBases = [4]string{"SI", "R9", "R10", "R11"}

// loadA points the registers at the strip.
func (t *tile) loadA() {
	t.p("MOVQ %d(AX), SI", argA)
	if t.packed {
		return
	}
	if t.place {
		t.p("MOVQ %d(AX), R8", argLDA)
		t.p("LEAQ (R8)(R8*2), R9")
		t.p("MOVQ %d(AX), R10", argLDB)
		t.p("LEAQ (R10)(R10*2), R11")
		return
	}
	t.p("MOVQ %d(AX), R8", argLDA)
	if t.rows > 3 {
		t.p("LEAQ (R8)(R8*2), BX")
	}
	for i := 1; 3*i < t.rows; i++ {
		t.p("LEAQ (%s)(BX*1), %s", aBases[i-1], aBases[i])
	}
}

// a returns the operand of row i at step u.
func (t *tile) a(i, u int) string {
	if t.packed {
		return fmt.Sprintf("%d(SI)", (u*packWidth+i)*4)
	}
	if t.place {
		return fmt.Sprintf("%d(SI)%s", i*4, [unroll]string{"", "(R8*1)", "(R8*2)", "(R9*1)"}[u])
	}
	base := aBases[i/3]
	if i%3 == 0 {
		return fmt.Sprintf("%d(%s)", u*4, base)
	}
	return fmt.Sprintf("%d(%s)(R8*%d)", u*4, base, i%3)
}

// b returns the operand of B at step u, off bytes into the row.
func (t *tile) b(off, u int) string {
	if t.place {
		return fmt.Sprintf("%d(DX)%s", off, [unroll]string{"", "(R10*1)", "(R10*2)", "(R11*1)"}[u])
	}
	return fmt.Sprintf("%d(DX)", u*128+off)
}

// nextB moves on by n steps.
func (t *tile) nextB(n int) {
	switch {
	case !t.place:
		t.p("ADDQ $%d, DX", n*128)
	case n == 1:
		t.p("ADDQ R10, DX")
	default:
		t.p("LEAQ (DX)(R10*%d), DX", n)
	}
}

// nextA moves on by n steps.
func (t *tile) nextA(n int) {
	if t.packed {
		t.p("ADDQ $%d, SI", n*packWidth*4)
		return
	}
	if t.place {
		t.p("LEAQ (SI)(R8*%d), SI", n)
		return
	}
	for i := 0; 3*i < t.rows; i++ {
		t.p("ADDQ $%d, %s", n*4, aBases[i])
	}
}

// kLoop runs step over all of k, unrolled; step(u) does the u-th k from where the registers point.
func (t *tile) kLoop(step func(u int), next func(n int)) {
	loop, rest, tail, done := t.label("k"), t.label("krest"), t.label("ktail"), t.label("kdone")
	t.p("MOVQ %d(AX), CX", argK)
	t.p("SHRQ $2, CX")
	t.p("JZ %s", rest)
	t.p("PCALIGN $32")
	t.at(loop)
	for u := range unroll {
		step(u)
	}
	t.nextA(unroll)
	next(unroll)
	t.p("DECQ CX")
	t.p("JNZ %s", loop)
	t.at(rest)
	t.p("MOVQ %d(AX), CX", argK)
	t.p("ANDQ $%d, CX", unroll-1)
	t.p("JZ %s", done)
	t.at(tail)
	step(0)
	t.nextA(1)
	next(1)
	t.p("DECQ CX")
	t.p("JNZ %s", tail)
	t.at(done)
}

func gemmAVX512(f *file) {
	for _, t := range []struct {
		name                string
		packed, place, bf16 bool
	}{
		{"tileZ", false, false, false},
		{"tilePackedZ", true, false, false},
		{"tilePlaceZ", false, true, false},
		{"tileBF16Z", false, false, true},
		{"tilePackedBF16Z", true, false, true},
	} {
		for rows := 1; rows <= 12; rows++ {
			(&tile{f, rows, t.packed, t.place, t.bf16}).avx512(fmt.Sprintf("%s%d", t.name, rows))
		}
		f.dispatch(t.name, 12, "tileArgs")
	}
	peakAVX512(f)
}

// avx512 writes the function of a strip: panel after panel. Registers: Z0 to Z23 hold C, two for each row; Z24 to Z27 B,
// Z28 to Z31 (and Z26, Z27) elements of A. DX points into B, R15 at the panel, DI at C, R12 is C's stride, R13 counts panels.
//
// One row or two have too few sums to hide the latency of a multiply-add: they take several panels at once.
func (t *tile) avx512(name string) {
	t.fn(name, fmt.Sprintf("computes a strip of %d rows.", t.rows), "t:args", false)
	t.p("MOVQ args+0(FP), AX")
	t.p("MOVQ %d(AX), R15", argB)
	t.p("MOVQ %d(AX), DI", argC)
	t.p("MOVQ %d(AX), R12", argLDC)
	t.p("MOVQ %d(AX), R13", argCount)
	if many := map[int]int{1: 4, 2: 3, 3: 2}[t.rows]; many > 0 && !t.packed && !t.place {
		one := t.label("one")
		loop := t.label("many")
		t.at(loop)
		// The last panel may be partial: it is left to the loop below.
		t.p("CMPQ R13, $%d", many)
		t.p("JLE %s", one)
		t.panelsZ(many, "")
		t.p("MOVQ %d(AX), BX", argPanel)
		for range many {
			t.p("ADDQ BX, R15")
		}
		t.p("ADDQ $%d, DI", 128*many)
		t.p("SUBQ $%d, R13", many)
		t.p("JMP %s", loop)
		t.at(one)
	}
	loop, full, next := t.label("panel"), t.label("full"), t.label("next")
	t.at(loop)
	t.p("CMPQ R13, $1")
	t.p("JNE %s", full)
	t.p("MOVQ %d(AX), BX", argMask)
	t.p("TESTQ BX, BX")
	t.p("JZ %s", full)
	t.p("KMOVW BX, K1")
	t.p("SHRQ $16, BX")
	t.p("KMOVW BX, K2")
	t.panelsZ(1, "K")
	t.p("JMP %s", next)
	t.at(full)
	t.panelsZ(1, "")
	t.at(next)
	t.p("ADDQ %d(AX), R15", argPanel)
	t.p("ADDQ $128, DI")
	t.p("DECQ R13")
	t.p("JNZ %s", loop)
	t.ret()
}

// panelsZ does one tile of n panels. mask "K" stores under K1 and K2.
func (t *tile) panelsZ(n int, mask string) {
	acc := func(i, p, h int) int { return (i*n+p)*2 + h }
	eachC := func(do func(c string, reg, h int)) {
		t.p("MOVQ DI, BX")
		for i := range t.rows {
			for p := range n {
				do(fmt.Sprintf("%d(BX)", p*128), acc(i, p, 0), 1)
				do(fmt.Sprintf("%d(BX)", p*128+64), acc(i, p, 1), 2)
			}
			if i < t.rows-1 {
				t.p("ADDQ R12, BX")
			}
		}
	}
	zero, start := t.label("zero"), t.label("start")
	t.p("CMPQ %d(AX), $0", argSum)
	t.p("JE %s", zero)
	eachC(func(c string, reg, h int) {
		if mask != "" {
			t.p("VMOVUPS.Z %s, K%d, Z%d", c, h, reg)
		} else {
			t.p("VMOVUPS %s, Z%d", c, reg)
		}
	})
	if n == 1 {
		t.prefetchC("128(BX)", "192(BX)")
	}
	t.p("JMP %s", start)
	t.at(zero)
	for r := range 2 * n * t.rows {
		t.p("VPXORQ Z%d, Z%d, Z%d", r, r, r)
	}
	t.at(start)
	t.loadA()
	t.p("MOVQ R15, DX")
	bases := []string{"(DX)"}
	if n > 1 {
		t.p("MOVQ %d(AX), BX", argPanel)
		bases = append(bases, "(DX)(BX*1)", "(DX)(BX*2)")
	}
	if n > 3 {
		t.p("LEAQ (DX)(BX*2), R11")
		t.p("ADDQ BX, R11")
		bases = append(bases, "(R11)")
	}
	fma := func(b, a, c int) {
		if t.bf16 {
			t.dpbf16(b, a, c)
		} else {
			t.p("VFMADD231PS Z%d, Z%d, Z%d", b, a, c)
		}
	}
	t.kLoop(func(u int) {
		if n > 1 {
			for i := range t.rows {
				t.p("VBROADCASTSS %s, Z%d", t.a(i, u), 28+i)
			}
			for p := range n {
				lo := 24 + p%2*2
				t.p("VMOVUPS %d%s, Z%d", u*128, bases[p], lo)
				t.p("VMOVUPS %d%s, Z%d", u*128+64, bases[p], lo+1)
				for i := range t.rows {
					fma(lo, 28+i, acc(i, p, 0))
					fma(lo+1, 28+i, acc(i, p, 1))
				}
			}
			return
		}
		if t.place && mask != "" {
			t.p("VMOVUPS.Z %s, K1, Z24", t.b(0, u))
			t.p("VMOVUPS.Z %s, K2, Z25", t.b(64, u))
		} else {
			t.p("VMOVUPS %s, Z24", t.b(0, u))
			t.p("VMOVUPS %s, Z25", t.b(64, u))
		}
		for i := range t.rows {
			x := 26 + i%6
			t.p("VBROADCASTSS %s, Z%d", t.a(i, u), x)
			fma(24, x, acc(i, 0, 0))
			fma(25, x, acc(i, 0, 1))
		}
	}, func(k int) {
		t.nextB(k)
		if n > 3 {
			t.p("ADDQ $%d, R11", k*128)
		}
	})
	eachC(func(c string, reg, h int) {
		if mask != "" {
			t.p("VMOVUPS Z%d, K%d, %s", reg, h, c)
		} else {
			t.p("VMOVUPS Z%d, %s", reg, c)
		}
	})
}

// prefetchC asks for C of the next tile, while this one is computed: its rows lie too far apart for the processor to foresee.
func (t *tile) prefetchC(lines ...string) {
	t.p("MOVQ DI, BX")
	for i := range t.rows {
		for _, l := range lines {
			t.p("PREFETCHT0 %s", l)
		}
		if i < t.rows-1 {
			t.p("ADDQ R12, BX")
		}
	}
}

// peakAVX512 writes the register-only loops that measure the processor.
func peakAVX512(f *file) {
	for _, bf16 := range []bool{false, true} {
		name := "peakZ"
		if bf16 {
			name = "peakBF16Z"
		}
		f.fn(name, "does n rounds of 24 multiply-adds on registers.", "i:n", false)
		f.p("MOVQ n+0(FP), CX")
		for i := range 26 {
			f.p("VPXORQ Z%d, Z%d, Z%d", i, i, i)
		}
		loop := f.label("peak")
		f.p("PCALIGN $32")
		f.at(loop)
		for i := range 24 {
			if bf16 {
				f.dpbf16(24, 25, i)
			} else {
				f.p("VFMADD231PS Z24, Z25, Z%d", i)
			}
		}
		f.p("DECQ CX")
		f.p("JNZ %s", loop)
		f.ret()
	}
}

func gemmAVX2(f *file) {
	for rows := 1; rows <= 6; rows++ {
		(&tile{file: f, rows: rows}).avx2(fmt.Sprintf("tileY%d", rows))
		(&tile{file: f, rows: rows, packed: true}).avx2(fmt.Sprintf("tilePackedY%d", rows))
		(&tile{file: f, rows: rows, place: true}).avx2(fmt.Sprintf("tilePlaceY%d", rows))
	}
	f.dispatch("tileY", 6, "tileArgs")
	f.dispatch("tilePackedY", 6, "tileArgs")
	f.dispatch("tilePlaceY", 6, "tileArgs")
	f.fn("peakY", "does n rounds of 12 multiply-adds on registers.", "i:n", false)
	f.p("MOVQ n+0(FP), CX")
	for i := range 14 {
		f.p("VXORPS Y%d, Y%d, Y%d", i, i, i)
	}
	loop := f.label("peak")
	f.p("PCALIGN $32")
	f.at(loop)
	for i := range 12 {
		f.p("VFMADD231PS Y12, Y13, Y%d", i)
	}
	f.p("DECQ CX")
	f.p("JNZ %s", loop)
	f.ret()
}

// avx2 writes the function of a strip of at most 6 rows, half a panel (16 columns) after another. Registers: Y0 to Y11 hold
// C, two for each row; Y12 and Y13 B, Y14 and Y15 elements of A. R15 points at the half panel and moves by R13 and R13^DX in turn.
func (t *tile) avx2(name string) {
	t.fn(name, fmt.Sprintf("computes a strip of %d rows.", t.rows), "t:args", false)
	t.p("MOVQ args+0(FP), AX")
	t.p("MOVQ %d(AX), R15", argB)
	t.p("MOVQ %d(AX), DI", argC)
	t.p("MOVQ %d(AX), R12", argLDC)
	t.p("XORQ R13, R13")
	loop, masked, next, done := t.label("half"), t.label("masked"), t.label("next"), t.label("done")
	t.at(loop)
	t.p("CMPQ R13, %d(AX)", argCount)
	t.p("JGE %s", done)
	t.p("LEAQ 1(R13), BX")
	t.p("CMPQ BX, %d(AX)", argCount)
	full := t.label("full")
	t.p("JNE %s", full)
	t.p("CMPQ %d(AX), $0", argMask)
	t.p("JNE %s", masked)
	t.at(full)
	t.halfY(false)
	t.at(next)
	// From the first half to the second it is 64 bytes, from there to the next panel the rest.
	t.p("MOVQ $64, BX")
	t.p("MOVQ %d(AX), DX", argPanel)
	t.p("SUBQ BX, DX")
	t.p("TESTQ $1, R13")
	t.p("CMOVQNE DX, BX")
	t.p("ADDQ BX, R15")
	t.p("ADDQ $64, DI")
	t.p("INCQ R13")
	t.p("JMP %s", loop)
	t.at(masked)
	t.halfY(true)
	t.at(done)
	t.ret()
}

// halfY does one tile of 16 columns.
func (t *tile) halfY(masked bool) {
	eachC := func(do func(c string, reg, h int)) {
		t.p("MOVQ DI, BX")
		for i := range t.rows {
			do("(BX)", 2*i, 0)
			do("32(BX)", 2*i+1, 1)
			if i < t.rows-1 {
				t.p("ADDQ R12, BX")
			}
		}
	}
	loadMasks := func() {
		if masked {
			t.p("MOVQ %d(AX), DX", argMask)
			t.p("VMOVUPS (DX), Y12")
			t.p("VMOVUPS 32(DX), Y13")
		}
	}
	zero, start := t.label("zero"), t.label("start")
	t.p("CMPQ %d(AX), $0", argSum)
	t.p("JE %s", zero)
	loadMasks()
	eachC(func(c string, reg, h int) {
		if masked {
			t.p("VMASKMOVPS %s, Y%d, Y%d", c, 12+h, reg)
		} else {
			t.p("VMOVUPS %s, Y%d", c, reg)
		}
	})
	t.prefetchC("64(BX)")
	t.p("JMP %s", start)
	t.at(zero)
	for r := range 2 * t.rows {
		t.p("VXORPS Y%d, Y%d, Y%d", r, r, r)
	}
	t.at(start)
	t.loadA()
	t.p("MOVQ R15, DX")
	t.kLoop(func(u int) {
		t.p("VMOVUPS %s, Y12", t.b(0, u))
		t.p("VMOVUPS %s, Y13", t.b(32, u))
		for i := range t.rows {
			x := 14 + i%2
			t.p("VBROADCASTSS %s, Y%d", t.a(i, u), x)
			t.p("VFMADD231PS Y12, Y%d, Y%d", x, 2*i)
			t.p("VFMADD231PS Y13, Y%d, Y%d", x, 2*i+1)
		}
	}, t.nextB)
	loadMasks()
	eachC(func(c string, reg, h int) {
		if masked {
			t.p("VMASKMOVPS Y%d, Y%d, %s", reg, 12+h, c)
		} else {
			t.p("VMOVUPS Y%d, %s", reg, c)
		}
	})
}

// dispatch writes the Go function that picks a strip's function by its number of rows.
func (f *file) dispatch(name string, most int, args string) {
	fmt.Fprintf(&f.decl, "\n// %s computes a strip of 1 to %d rows.\nfunc %s(rows int, args *%s) {\n\tswitch rows {\n", name, most, name, args)
	for r := 1; r <= most; r++ {
		fmt.Fprintf(&f.decl, "\tcase %d:\n\t\t%s%d(args)\n", r, name, r)
	}
	fmt.Fprintf(&f.decl, "\t}\n}\n")
}
