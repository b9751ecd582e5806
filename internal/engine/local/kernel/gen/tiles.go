package main

import (
	"fmt"
	"strings"
)

// The fields of amxArgs by offset.
const (
	amxA     = 0  // first row of the strip
	amxLDA   = 8  // bytes from row to row
	amxB     = 16 // first panel, at the first k
	amxPanel = 24 // bytes from panel to panel
	amxC     = 32 // first element
	amxLDC   = 40 // bytes from row to row
	amxK     = 48 // blocks of 32 k
	amxCount = 56 // panels
	amxLow   = 64 // bytes from A's first row to its row 16
	amxStep  = 72 // bytes from two blocks of A to the next two
	amxSum   = 80 // not zero: start from C
	amxShape = 88 // the tiles' shapes, as LDTILECFG wants them
)

// regNumbers are the numbers of the general registers in an instruction.
var regNumbers = map[string]int{
	"AX": 0, "CX": 1, "DX": 2, "BX": 3, "BP": 5, "SI": 6, "DI": 7, "R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13,
}

// The mandatory prefixes of an instruction in a VEX prefix.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// bytes writes an instruction that Go's assembler does not know.
func (f *file) bytes(comment string, bs ...int) {
	parts := make([]string, len(bs))
	for i, b := range bs {
		parts[i] = fmt.Sprintf("BYTE $0x%02x", b)
	}
	f.p("%s // %s", strings.Join(parts, "; "), comment)
}

// vex returns the three bytes of a VEX prefix of map 0F38, 128 bits, W0 (Intel SDM, volume 2, 2.3): x and b are the fourth bits
// of the numbers of the index and the base register, v is the number of the register in vvvv.
func vex(prefix, x, b, v int) []int {
	return []int{0xc4, 1<<7 | (^x&1)<<6 | (^b&1)<<5 | 2, (^v&15)<<3 | prefix}
}

// tileConfig writes LDTILECFG off(base).
func (f *file) tileConfig(base string, off int) {
	b := regNumbers[base]
	f.bytes(fmt.Sprintf("LDTILECFG %d(%s)", off, base), append(vex(prefixNone, 0, b>>3, 0), 0x49, 1<<6|b&7, off)...)
}

// tileRelease writes TILERELEASE.
func (f *file) tileRelease() {
	f.bytes("TILERELEASE", append(vex(prefixNone, 0, 0, 0), 0x49, 0xc0)...)
}

// tileZero writes TILEZERO tmm.
func (f *file) tileZero(tmm int) {
	f.bytes(fmt.Sprintf("TILEZERO TMM%d", tmm), append(vex(prefixF2, 0, 0, 0), 0x49, 3<<6|tmm<<3)...)
}

// tileMove writes TILELOADD or TILESTORED: rows that start at off(base), as far apart as the register stride says.
func (f *file) tileMove(store bool, tmm int, base string, off int, stride string) {
	b, i := regNumbers[base], regNumbers[stride]
	if b&7 == 5 || i == 4 {
		panic("no such address")
	}
	prefix, comment := prefixF2, fmt.Sprintf("TILELOADD %d(%s)(%s*1), TMM%d", off, base, stride, tmm)
	if store {
		prefix, comment = prefixF3, fmt.Sprintf("TILESTORED TMM%d, %d(%s)(%s*1)", tmm, off, base, stride)
	}
	bs := append(vex(prefix, i>>3, b>>3, 0), 0x4b)
	if off == 0 {
		bs = append(bs, tmm<<3|4, (i&7)<<3|b&7)
	} else {
		bs = append(bs, 1<<6|tmm<<3|4, (i&7)<<3|b&7, off)
	}
	f.bytes(comment, bs...)
}

// tileDot writes TDPBF16PS: C += A·B.
func (f *file) tileDot(c, a, b int) {
	f.bytes(fmt.Sprintf("TDPBF16PS TMM%d, TMM%d, TMM%d", b, a, c), append(vex(prefixF3, 0, 0, b), 0x5c, 3<<6|c<<3|a)...)
}

// tiles writes the functions of a strip of up to 32 rows on AMX tiles, for one or two tiles of rows and of columns: TMM0 to
// TMM3 hold C (rows, then columns), TMM4 and TMM5 A, TMM6 and TMM7 B. Their shapes are the arguments'.
func tiles(f *file) {
	var list []string
	for rows := 1; rows <= 2; rows++ {
		for cols := 1; cols <= 2; cols++ {
			name := fmt.Sprintf("tileAMX%d%d", rows, cols)
			tileStrip(f, name, rows, cols)
			list = append(list, fmt.Sprintf("\tcase %d:\n\t\t%s(args)\n", rows*10+cols, name))
		}
	}
	f.fn("peakAMX", "does n rounds of four products of full tiles.", "m:args i:n", false)
	f.p("MOVQ args+0(FP), AX")
	f.p("MOVQ n+8(FP), CX")
	f.tileConfig("AX", amxShape)
	loop := f.label("peak")
	f.at(loop)
	for c := range 4 {
		f.tileDot(c, 4+c/2, 6+c%2)
	}
	f.p("DECQ CX")
	f.p("JNZ %s", loop)
	f.tileRelease()
	f.ret()
	fmt.Fprintf(&f.decl, "\n// tileAMX computes a strip of one or two tiles of rows and of columns.\nfunc tileAMX(rows, cols int, args *amxArgs) {\n\tswitch rows*10 + cols {\n%s\t}\n}\n", strings.Join(list, ""))
}

// tileStrip writes one function. Registers: SI and R9 A, R8 its stride, DX into B, R10 the stride of its rows, R15 at the panel,
// DI and R11 C, R12 its stride, R13 panels left, CX blocks left.
func tileStrip(f *file, name string, rows, cols int) {
	f.fn(name, fmt.Sprintf("computes a strip of %d × %d tiles.", rows, cols), "m:args", false)
	f.p("MOVQ args+0(FP), AX")
	f.tileConfig("AX", amxShape)
	f.p("MOVQ %d(AX), R8", amxLDA)
	f.p("MOVQ %d(AX), R15", amxB)
	f.p("MOVQ %d(AX), DI", amxC)
	f.p("MOVQ %d(AX), R12", amxLDC)
	f.p("MOVQ %d(AX), R13", amxCount)
	f.p("MOVQ $128, R10")
	panel, zero, loop, start, done := f.label("panel"), f.label("zero"), f.label("k"), f.label("start"), f.label("kdone")
	each := func(do func(r, c int)) {
		for r := range rows {
			for c := range cols {
				do(r, c)
			}
		}
	}
	base := [2]string{"DI", "R11"}
	f.at(panel)
	f.p("MOVQ R12, R11")
	f.p("SHLQ $4, R11")
	f.p("ADDQ DI, R11")
	f.p("CMPQ %d(AX), $0", amxSum)
	f.p("JE %s", zero)
	each(func(r, c int) { f.tileMove(false, 2*r+c, base[r], 64*c, "R12") })
	f.p("JMP %s", start)
	f.at(zero)
	each(func(r, c int) { f.tileZero(2*r + c) })
	f.at(start)
	f.p("MOVQ %d(AX), SI", amxA)
	f.p("MOVQ %d(AX), R9", amxLow)
	f.p("ADDQ SI, R9")
	f.p("MOVQ R15, DX")
	f.p("MOVQ %d(AX), CX", amxK)
	block := func(off int) {
		for c := range cols {
			f.tileMove(false, 6+c, "DX", 64*c, "R10")
		}
		for r := range rows {
			f.tileMove(false, 4+r, [2]string{"SI", "R9"}[r], off, "R8")
			for c := range cols {
				f.tileDot(2*r+c, 4+r, 6+c)
			}
		}
		f.p("ADDQ $%d, DX", 16*128)
		f.p("DECQ CX")
	}
	f.p("PCALIGN $32")
	f.at(loop)
	block(0)
	f.p("JZ %s", done)
	block(64)
	f.p("JZ %s", done)
	f.p("ADDQ %d(AX), SI", amxStep)
	if rows > 1 {
		f.p("ADDQ %d(AX), R9", amxStep)
	}
	f.p("JMP %s", loop)
	f.at(done)
	each(func(r, c int) { f.tileMove(true, 2*r+c, base[r], 64*c, "R12") })
	f.p("ADDQ %d(AX), R15", amxPanel)
	f.p("ADDQ $128, DI")
	f.p("DECQ R13")
	f.p("JNZ %s", panel)
	f.tileRelease()
	f.ret()
}
