package main

import (
	"fmt"
	"strings"
)

// A neon writes functions for 64-bit Arm. Go's assembler knows the loads and few of the vector instructions; the others are
// written as words, with what they are in a comment.
//
// Registers: R0 to R15 for addresses and counts, V0 to V31 in groups of four for 16 lanes.
type neon struct {
	*file
	tail   bool
	next   int // the next free vector register
	consts map[uint32]int
	kept   map[uint32]int // constants that the function holds in registers
	masked bool           // the file needs the table of masks
	based  bool           // the function has the address of the constants in baseReg
}

// The registers that loops use besides those of the pointers.
const (
	countReg = "R6" // elements left
	tempReg  = "R7" // addresses
	baseReg  = "R9" // the constants
	maskReg  = "R10"
)

// vops are the instructions on registers of four floats or words by name: their bits, and how many sources they have.
var vops = map[string]struct {
	bits    uint32
	sources int
	shape   string
}{
	"fadd":   {0x4e20d400, 2, "4s"},
	"fsub":   {0x4ea0d400, 2, "4s"},
	"fmul":   {0x6e20dc00, 2, "4s"},
	"fdiv":   {0x6e20fc00, 2, "4s"},
	"fmla":   {0x4e20cc00, 2, "4s"},
	"fmls":   {0x4ea0cc00, 2, "4s"},
	"fmax":   {0x4e20f400, 2, "4s"},
	"fmin":   {0x4ea0f400, 2, "4s"},
	"fcmgt":  {0x6ea0e400, 2, "4s"},
	"fcmeq":  {0x4e20e400, 2, "4s"},
	"add":    {0x4ea08400, 2, "4s"},
	"sub":    {0x6ea08400, 2, "4s"},
	"cmtst":  {0x4ea08c00, 2, "4s"},
	"and":    {0x4e201c00, 2, "16b"},
	"orr":    {0x4ea01c00, 2, "16b"},
	"eor":    {0x6e201c00, 2, "16b"},
	"bif":    {0x6ee01c00, 2, "16b"}, // where a bit of the second source is off, take the first's
	"trn1":   {0x4e802800, 2, "4s"},
	"trn2":   {0x4e806800, 2, "4s"},
	"trn1d":  {0x4ec02800, 2, "2d"},
	"trn2d":  {0x4ec06800, 2, "2d"},
	"uzp1h":  {0x4e401800, 2, "8h"},
	"uzp2h":  {0x4e405800, 2, "8h"},
	"fsqrt":  {0x6ea1f800, 1, "4s"},
	"frintn": {0x4e218800, 1, "4s"},
	"fcvtns": {0x4e21a800, 1, "4s"},
	"fabs":   {0x4ea0f800, 1, "4s"},
}

// word writes an instruction as its bits.
func (m *neon) word(bits uint32, comment string, args ...any) {
	m.p("WORD $0x%08x // %s", bits, fmt.Sprintf(comment, args...))
}

// v writes one instruction on registers: d from the sources n, and k if it has two.
func (m *neon) v(name string, d, n int, k ...int) {
	op, ok := vops[name]
	if !ok || op.sources != 1+len(k) {
		panic("no instruction " + name + " of that form")
	}
	bits := op.bits | uint32(n)<<5 | uint32(d)
	shown := strings.TrimRight(name, "hd")
	if op.shape == "4s" || op.shape == "16b" {
		shown = name
	}
	text := fmt.Sprintf("%s v%d.%s, v%d.%s", shown, d, op.shape, n, op.shape)
	for _, r := range k {
		bits |= uint32(r) << 16
		text += fmt.Sprintf(", v%d.%s", r, op.shape)
	}
	m.word(bits, "%s", text)
}

// shift writes a shift of words by an immediate: "shl", "ushr", "sshr", or "sri", which keeps d's upper bits.
func (m *neon) shift(name string, d, n, by int) {
	right := map[string]uint32{"ushr": 0x6f000400, "sshr": 0x4f000400, "sri": 0x6f004400}
	bits, ok := right[name]
	if ok {
		bits |= uint32(64-by) << 16
	} else {
		bits = 0x4f005400 | uint32(32+by)<<16
	}
	m.word(bits|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.4s, #%d", name, d, n, by)
}

// fmlaLane adds to d the product of n with one lane of k.
func (m *neon) fmlaLane(d, n, k, lane int) {
	bits := 0x4f801000 | uint32(lane&1)<<21 | uint32(k)<<16 | uint32(lane>>1)<<11
	m.word(bits|uint32(n)<<5|uint32(d), "fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, k, lane)
}

// dup fills d with the lowest lane of n.
func (m *neon) dup(d, n int) {
	m.word(0x4e040400|uint32(n)<<5|uint32(d), "dup v%d.4s, v%d.s[0]", d, n)
}

// ext moves the lanes of n down by bytes, and fills up with n's own.
func (m *neon) ext(d, n, bytes int) {
	m.word(0x6e000000|uint32(n)<<16|uint32(bytes)<<11|uint32(n)<<5|uint32(d), "ext v%d.16b, v%d.16b, v%d.16b, #%d", d, n, n, bytes)
}

// shll widens four halves of n, the lower or the upper ones, to the upper halves of words.
func (m *neon) shll(d, n int, upper bool) {
	bits, name, half := uint32(0x2e613800), "shll", "4h"
	if upper {
		bits, name, half = 0x6e613800, "shll2", "8h"
	}
	m.word(bits|uint32(n)<<5|uint32(d), "%s v%d.4s, v%d.%s, #16", name, d, n, half)
}

// third loads or stores lane 2 of v at the address in tempReg.
func (m *neon) third(v int, store bool) {
	if store {
		m.word(0x4d008000|7<<5|uint32(v), "st1 {v%d.s}[2], [x7]", v)
		return
	}
	m.word(0x4d408000|7<<5|uint32(v), "ld1 {v%d.s}[2], [x7]", v)
}

// clear sets a register to zero.
func (m *neon) clear(r int) { m.v("eor", r, r, r) }

// ret ends a function.
func (m *neon) ret() { m.p("RET") }
