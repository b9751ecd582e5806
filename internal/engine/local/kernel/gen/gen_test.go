package main

import (
	"os"
	"path/filepath"
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
	cases := []struct {
		name string
		emit func(*file)
		want string
	}{
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
	for _, c := range cases {
		f := &file{}
		c.emit(f)
		if got := f.text.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
