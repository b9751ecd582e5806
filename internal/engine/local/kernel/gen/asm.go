package main

import (
	"fmt"
	"strings"
)

// A file collects assembly, its read-only data and the Go declarations of its functions.
type file struct {
	text, data, decl strings.Builder
	labels           int
}

// A param is a parameter of a function: "p" a pointer to float32, "w" a pointer to uint32, "h" one to uint16, "t" one to
// tileArgs, "e" one to eachArgs, "k" one to chainArgs, "m" one to amxArgs, "c" one to adamConst, "n" one to neonEach, "T" one
// to neonTile, "i" an int, "f" a float32.
type param struct{ name, kind string }

var goTypes = map[string]string{
	"p": "*float32", "w": "*uint32", "h": "*uint16", "t": "*tileArgs", "e": "*eachArgs", "c": "*adamConst", "k": "*chainArgs", "m": "*amxArgs",
	"n": "*neonEach", "T": "*neonTile", "i": "int", "f": "float32",
}

// params reads "p:dst p:src i:n".
func params(s string) []param {
	var out []param
	for _, f := range strings.Fields(s) {
		kind, name, _ := strings.Cut(f, ":")
		out = append(out, param{name, kind})
	}
	return out
}

// fn begins a function and returns the operand of each parameter by name; "ret" is its float32 result, if it has one.
func (f *file) fn(name, doc, ps string, result bool) map[string]string {
	at := map[string]string{}
	off := 0
	var list []string
	for _, p := range params(ps) {
		size := 8
		if p.kind == "f" {
			size = 4
		}
		off = (off + size - 1) / size * size
		at[p.name] = fmt.Sprintf("%s+%d(FP)", p.name, off)
		off += size
		list = append(list, p.name+" "+goTypes[p.kind])
	}
	ret := ""
	if result {
		off = (off + 7) / 8 * 8
		at["ret"] = fmt.Sprintf("ret+%d(FP)", off)
		off += 4
		ret = " float32"
	}
	fmt.Fprintf(&f.text, "\n// %s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", doc, name, off)
	fmt.Fprintf(&f.decl, "\n// %s %s\n//\n//go:noescape\nfunc %s(%s)%s\n", name, doc, name, strings.Join(list, ", "), ret)
	return at
}

// p writes one instruction.
func (f *file) p(format string, args ...any) {
	f.text.WriteByte('\t')
	fmt.Fprintf(&f.text, format, args...)
	f.text.WriteByte('\n')
}

// label returns a label that is unique in the file.
func (f *file) label(name string) string {
	f.labels++
	return fmt.Sprintf("%s%d", name, f.labels)
}

// at places a label.
func (f *file) at(label string) { fmt.Fprintf(&f.text, "%s:\n", label) }

// ret ends a function.
func (f *file) ret() {
	f.p("VZEROUPPER")
	f.p("RET")
}

// evex writes a three-register instruction of map 0F38 on 512-bit registers that Go's assembler does not know:
// dst, src1 and src2 are register numbers, pp the mandatory prefix (2 for F3, 3 for F2).
func (f *file) evex(comment string, pp, opcode, src2, src1, dst int) {
	not := func(bit int) int { return ^bit & 1 }
	p0 := not(dst>>3)<<7 | not(src2>>4)<<6 | not(src2>>3)<<5 | not(dst>>4)<<4 | 2
	p1 := (^src1&15)<<3 | 1<<2 | pp
	p2 := 2<<5 | not(src1>>4)<<3
	modrm := 3<<6 | (dst&7)<<3 | src2&7
	f.p("LONG $0x%02x%02x%02x62; WORD $0x%02x%02x // %s", p2, p1, p0, modrm, opcode, comment)
}

// dpbf16 adds to each lane of dst the products of a pair of bfloat16.
func (f *file) dpbf16(src2, src1, dst int) {
	f.evex(fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", src2, src1, dst), 2, 0x52, src2, src1, dst)
}

// cvtne2 rounds Z0 and Z1 to bfloat16: the lower and the upper half of Z2.
func (f *file) cvtne2() { f.evex("VCVTNE2PS2BF16 Z0, Z1, Z2", 3, 0x72, 0, 1, 2) }
