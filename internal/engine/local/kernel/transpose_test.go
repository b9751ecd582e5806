package kernel

import "testing"

func TestTranspose(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		s := newSource("transpose")
		for _, z := range [][2]int{{1, 1}, {1, 40}, {40, 1}, {7, 9}, {8, 8}, {31, 33}, {32, 128}, {33, 129}, {70, 300}, {0, 4}, {4, 0}} {
			src, dst := s.mat(z[0], z[1], z[1]+3), s.mat(z[1], z[0], z[0]+2)
			Transpose(dst, src)
			for i := range z[0] {
				for j := range z[1] {
					if got, want := dst.Row(j)[i], src.Row(i)[j]; got != want {
						t.Fatalf("%d × %d: element (%d,%d) is %v, want %v", z[0], z[1], j, i, got, want)
					}
				}
			}
		}
		for _, n := range []int{0, 1, 2, 63, 64, 65, 150} {
			m := s.mat(n, n, n+1)
			was := m.clone()
			Mirror(m)
			for i := range n {
				for j := range n {
					if got, want := m.Row(i)[j], was.Row(max(i, j))[min(i, j)]; got != want {
						t.Fatalf("mirror of %d: element (%d,%d) is %v, want %v", n, i, j, got, want)
					}
				}
			}
		}
	})
}
