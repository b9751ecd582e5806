package main

import "fmt"

// packing writes the routines that lay matrices out for the products. Both variants share those on 256-bit registers: they
// move data and round nothing.
func packing(f *file) {
	packRowsY(f)
	packBlocks(f, false)
	transposeY(f)
	packRowsBF16(f)
	packBlocks(f, true)
	cvtBF16(f)
}

// packRowsY copies n rows of exactly 32 (a panel) or 12 (a strip of A) columns to contiguous rows.
func packRowsY(f *file) {
	for _, width := range []int{32, packWidth} {
		f.fn(fmt.Sprintf("packRows%d", width), fmt.Sprintf("copies n rows of %d columns, stride bytes apart, to contiguous ones.", width),
			"p:dst p:src i:stride i:n", false)
		f.p("MOVQ dst+0(FP), DI")
		f.p("MOVQ src+8(FP), SI")
		f.p("MOVQ stride+16(FP), BX")
		f.p("MOVQ n+24(FP), CX")
		loop := f.label("row")
		f.at(loop)
		f.copyRow(width, "SI", "DI")
		f.p("ADDQ BX, SI")
		f.p("ADDQ $%d, DI", width*4)
		f.p("DECQ CX")
		f.p("JNZ %s", loop)
		f.ret()
	}
}

// transposeY writes transpose8: n blocks of 8 × 8 words, from 8 rows to 8 columns of a panel.
func transposeY(f *file) {
	f.fn("transpose8", "writes 8 rows of 8·n words, stride bytes apart, as 8 columns of a panel.", "w:dst w:src i:stride i:n", false)
	f.p("MOVQ dst+0(FP), DI")
	f.p("MOVQ src+8(FP), SI")
	f.p("MOVQ stride+16(FP), R8")
	f.p("MOVQ n+24(FP), CX")
	f.p("LEAQ (R8)(R8*2), R9")
	f.p("LEAQ (SI)(R8*4), R10")
	loop := f.label("block")
	f.at(loop)
	for i, a := range []string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R9*1)", "(R10)", "(R10)(R8*1)", "(R10)(R8*2)", "(R10)(R9*1)"} {
		f.p("VMOVUPS %s, Y%d", a, i)
	}
	// Pairs of rows are interleaved, then pairs of pairs, then the two 128-bit halves are put together.
	for i := range 4 {
		f.p("VUNPCKLPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 8+2*i)
		f.p("VUNPCKHPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 9+2*i)
	}
	for g := range 2 {
		for h := range 2 {
			a, b := 8+4*g+h, 10+4*g+h
			f.p("VUNPCKLPD Y%d, Y%d, Y%d", b, a, 4*g+2*h)
			f.p("VUNPCKHPD Y%d, Y%d, Y%d", b, a, 4*g+2*h+1)
		}
	}
	for j := range 4 {
		f.p("VPERM2F128 $0x20, Y%d, Y%d, Y8", 4+j, j)
		f.p("VPERM2F128 $0x31, Y%d, Y%d, Y9", 4+j, j)
		f.p("VMOVUPS Y8, %d(DI)", j*128)
		f.p("VMOVUPS Y9, %d(DI)", (j+4)*128)
	}
	f.p("ADDQ $32, SI")
	f.p("ADDQ $32, R10")
	f.p("ADDQ $%d, DI", 8*128)
	f.p("DECQ CX")
	f.p("JNZ %s", loop)
	f.ret()
}

// packRowsBF16 writes two rows of floats as words of two bfloat16, for a panel and for a strip of A.
func packRowsBF16(f *file) {
	for _, width := range []int{32, packWidth} {
		name := fmt.Sprintf("packPairs%d", width)
		f.fn(name, fmt.Sprintf("rounds n pairs of rows, stride bytes apart, to %d words of two bfloat16; mask says which columns there are.", width),
			"w:dst p:src i:stride i:n i:mask", false)
		f.p("MOVQ dst+0(FP), DI")
		f.p("MOVQ src+8(FP), SI")
		f.p("MOVQ stride+16(FP), BX")
		f.p("MOVQ n+24(FP), CX")
		f.p("MOVQ mask+32(FP), AX")
		f.p("KMOVW AX, K1")
		f.p("SHRQ $16, AX")
		f.p("KMOVW AX, K2")
		f.p("VMOVDQU64 interleave<>(SB), Z31")
		loop := f.label("pair")
		f.at(loop)
		for h := 0; h*16 < width; h++ {
			f.p("VMOVUPS.Z %d(SI), K%d, Z0", h*64, h+1)
			f.p("VMOVUPS.Z %d(SI)(BX*1), K%d, Z1", h*64, h+1)
			f.cvtne2()
			f.p("VPERMW Z2, Z31, Z2")
			// A strip's store runs over into the next one's place, which is written after it.
			f.p("VMOVDQU64 Z2, %d(DI)", h*64)
		}
		f.p("LEAQ (SI)(BX*2), SI")
		f.p("ADDQ $%d, DI", width*4)
		f.p("DECQ CX")
		f.p("JNZ %s", loop)
		f.ret()
	}
	// The permutation takes lane i of the lower half and lane i of the upper half in turn.
	for i := range 16 {
		fmt.Fprintf(&f.data, "DATA interleave<>+%d(SB)/4, $0x%08x\n", 4*i, i|(16+i)<<16)
	}
	fmt.Fprintf(&f.data, "GLOBL interleave<>(SB), RODATA|NOPTR, $64\n")
}

// cvtBF16 writes the conversion of one row to bfloat16 as the products do it.
func cvtBF16(f *file) {
	f.fn("cvtPairs", "rounds n floats to bfloat16, two a word, and fills the last group of 16 words up with zeros.", "w:dst p:src i:n", false)
	f.p("MOVQ dst+0(FP), DI")
	f.p("MOVQ src+8(FP), SI")
	f.p("MOVQ n+16(FP), CX")
	loop, tail, done := f.label("loop"), f.label("tail"), f.label("done")
	f.at(loop)
	f.p("SUBQ $32, CX")
	f.p("JLT %s", tail)
	f.p("VMOVUPS (SI), Z0")
	f.p("VMOVUPS 64(SI), Z1")
	f.cvtne2()
	f.p("VMOVDQU64 Z2, (DI)")
	f.p("ADDQ $128, SI")
	f.p("ADDQ $64, DI")
	f.p("JMP %s", loop)
	f.at(tail)
	f.p("ADDQ $32, CX")
	f.p("JZ %s", done)
	f.p("MOVL $1, AX")
	f.p("SHLQ CX, AX")
	f.p("DECQ AX")
	f.p("KMOVW AX, K1")
	f.p("SHRQ $16, AX")
	f.p("KMOVW AX, K2")
	f.p("VMOVUPS.Z (SI), K1, Z0")
	f.p("VMOVUPS.Z 64(SI), K2, Z1")
	f.cvtne2()
	f.p("VMOVDQU64 Z2, (DI)")
	f.at(done)
	f.ret()
}

// packBlocks writes the packing of a whole block, row after row: of each row, count pieces of 32 columns (panels of B) or 12
// (strips of A), step bytes apart, go to places block bytes apart. Reading along the rows keeps to few pages at a time.
func packBlocks(f *file, bf16 bool) {
	for _, width := range []int{32, packWidth} {
		name, doc, kind := fmt.Sprintf("packBlock%d", width), "copies n rows", "p"
		if bf16 {
			name, doc, kind = fmt.Sprintf("packBlockPairs%d", width), "rounds n pairs of rows to bfloat16", "w"
		}
		f.fn(name, fmt.Sprintf("%s in count pieces of %d columns.", doc, width),
			kind+":dst p:src i:stride i:step i:block i:n i:count", false)
		f.p("MOVQ dst+0(FP), DI")
		f.p("MOVQ src+8(FP), SI")
		f.p("MOVQ stride+16(FP), BX")
		f.p("MOVQ step+24(FP), R10")
		f.p("MOVQ block+32(FP), R11")
		f.p("MOVQ n+40(FP), CX")
		if bf16 {
			f.p("VMOVDQU64 interleave<>(SB), Z31")
			f.p("MOVL $0xffff, AX")
			f.p("KMOVW AX, K1")
			if width < 16 {
				f.p("MOVL $%d, AX", 1<<width-1)
				f.p("KMOVW AX, K1")
			}
		}
		row, piece := f.label("row"), f.label("piece")
		f.at(row)
		f.p("MOVQ SI, R8")
		f.p("MOVQ DI, R9")
		f.p("MOVQ count+48(FP), DX")
		f.at(piece)
		if bf16 {
			for h := 0; h*16 < width; h++ {
				f.p("VMOVUPS.Z %d(R8), K1, Z0", h*64)
				f.p("VMOVUPS.Z %d(R8)(BX*1), K1, Z1", h*64)
				f.cvtne2()
				f.p("VPERMW Z2, Z31, Z2")
				f.p("VMOVDQU64 Z2, %d(R9)", h*64)
			}
		} else {
			f.copyRow(width, "R8", "R9")
		}
		f.p("ADDQ R10, R8")
		f.p("ADDQ R11, R9")
		f.p("DECQ DX")
		f.p("JNZ %s", piece)
		if bf16 {
			f.p("ADDQ BX, SI")
		}
		f.p("ADDQ BX, SI")
		f.p("ADDQ $%d, DI", width*4)
		f.p("DECQ CX")
		f.p("JNZ %s", row)
		f.ret()
	}
}

// copyRow copies a row of width columns through 256-bit registers.
func (f *file) copyRow(width int, src, dst string) {
	for c, reg := 0, 0; c < width; reg++ {
		r, step := fmt.Sprintf("Y%d", reg), 8
		if width-c < 8 {
			r, step = fmt.Sprintf("X%d", reg), 4
		}
		f.p("VMOVUPS %d(%s), %s", c*4, src, r)
		f.p("VMOVUPS %s, %d(%s)", r, c*4, dst)
		c += step
	}
}
