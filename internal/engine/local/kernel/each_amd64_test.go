package kernel

import (
	"testing"
	"unsafe"
)

// TestMulEachLeavesPointersInside looks at what the assembly leaves in its arguments: a pointer behind a matrix may lie in memory that the
// garbage collector has free, and it stops the program that holds one.
func TestMulEachLeavesPointersInside(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		multiply, rows := mulEachZ, 4
		switch variant {
		case generic:
			return // no assembly
		case avx2:
			multiply, rows = mulEachY, 2
		}
		const k = 5
		for _, cols := range []int{1, 16, 31, 32, 33, 64, 96} {
			s := newSource("inside")
			a, c := s.mat(rows, k, k), NewMat(rows, cols)
			var p Packed
			p.PackB(s.mat(k, cols, cols))
			args := eachArgs{
				a: unsafe.Pointer(&a.Data[0]), lda: a.Stride * 4, c: unsafe.Pointer(&c.Data[0]), ldc: c.Stride * 4,
				k: k, cols: cols, pitch: k * panelCols * 4,
			}
			first := unsafe.Pointer(&p.buf[0])
			for r := range rows {
				args.panels[r], args.next[r] = first, first
			}
			multiply(rows, &args)
			for r := range rows {
				if at := uintptr(args.panels[r]) - uintptr(first); at >= uintptr(4*len(p.buf)) {
					t.Errorf("%d columns: row %d's pointer ends %d bytes into a matrix of %d", cols, r, at, 4*len(p.buf))
				}
			}
		}
	})
}
