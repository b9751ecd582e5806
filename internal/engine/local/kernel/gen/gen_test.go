package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFilesAreInDate fails where a generated file differs from what the generator writes now: run make generate.
func TestFilesAreInDate(t *testing.T) {
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is out of date: run go generate in internal/engine/local/kernel", name)
		}
	}
}

// TestInstructionBytes holds the instructions that Go's assembler does not know against the bytes that GNU as gives.
func TestInstructionBytes(t *testing.T) {
	cases := []bytesCase{
		{
			"vdpbf16ps %zmm24,%zmm26,%zmm0", func(f *file) { f.dpbf16(24, 26, 0) },
			"\tLONG $0x402e9262; WORD $0xc052 // VDPBF16PS Z24, Z26, Z0\n",
		},
		{
			"vdpbf16ps %zmm25,%zmm31,%zmm23", func(f *file) { f.dpbf16(25, 31, 23) },
			"\tLONG $0x40068262; WORD $0xf952 // VDPBF16PS Z25, Z31, Z23\n",
		},
		{
			"vcvtne2ps2bf16 %zmm0,%zmm1,%zmm2", func(f *file) { f.cvtne2() },
			"\tLONG $0x4877f262; WORD $0xd072 // VCVTNE2PS2BF16 Z0, Z1, Z2\n",
		},
	}
	for _, c := range slices.Concat(cases, tileCases) {
		f := &file{}
		c.emit(f)
		if got := f.text.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

type bytesCase struct {
	name string
	emit func(*file)
	want string
}

// tileCases are the instructions on tiles in AT&T's order, with the bytes that llvm-mc 14 gives for them.
var tileCases = []bytesCase{
	{"ldtilecfg 88(%rax)", func(f *file) { f.tileConfig("AX", 88) }, hexBytes("c4 e2 78 49 40 58", "LDTILECFG 88(AX)")},
	{"tilerelease", func(f *file) { f.tileRelease() }, hexBytes("c4 e2 78 49 c0", "TILERELEASE")},
	{"tilezero %tmm3", func(f *file) { f.tileZero(3) }, hexBytes("c4 e2 7b 49 d8", "TILEZERO TMM3")},
	{
		"tileloadd (%rsi,%r8), %tmm4", func(f *file) { f.tileMove(false, 4, "SI", 0, "R8") },
		hexBytes("c4 a2 7b 4b 24 06", "TILELOADD 0(SI)(R8*1), TMM4"),
	},
	{
		"tileloadd 64(%r9,%r8), %tmm5", func(f *file) { f.tileMove(false, 5, "R9", 64, "R8") },
		hexBytes("c4 82 7b 4b 6c 01 40", "TILELOADD 64(R9)(R8*1), TMM5"),
	},
	{
		"tileloadd 64(%rdx,%r10), %tmm7", func(f *file) { f.tileMove(false, 7, "DX", 64, "R10") },
		hexBytes("c4 a2 7b 4b 7c 12 40", "TILELOADD 64(DX)(R10*1), TMM7"),
	},
	{
		"tilestored %tmm2, (%r11,%r12)", func(f *file) { f.tileMove(true, 2, "R11", 0, "R12") },
		hexBytes("c4 82 7a 4b 14 23", "TILESTORED TMM2, 0(R11)(R12*1)"),
	},
	{
		"tilestored %tmm1, 64(%rdi,%r12)", func(f *file) { f.tileMove(true, 1, "DI", 64, "R12") },
		hexBytes("c4 a2 7a 4b 4c 27 40", "TILESTORED TMM1, 64(DI)(R12*1)"),
	},
	{"tdpbf16ps %tmm7, %tmm4, %tmm1", func(f *file) { f.tileDot(1, 4, 7) }, hexBytes("c4 e2 42 5c cc", "TDPBF16PS TMM7, TMM4, TMM1")},
	{"tdpbf16ps %tmm6, %tmm5, %tmm2", func(f *file) { f.tileDot(2, 5, 6) }, hexBytes("c4 e2 4a 5c d5", "TDPBF16PS TMM6, TMM5, TMM2")},
}

// hexBytes is a line of assembly that holds the bytes.
func hexBytes(hex, comment string) string {
	return "\tBYTE $0x" + strings.ReplaceAll(hex, " ", "; BYTE $0x") + " // " + comment + "\n"
}
