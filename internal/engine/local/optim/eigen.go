package optim

import (
	"math"
	"slices"
)

// eigenRows writes the eigenvectors of a symmetric matrix a (n,n) into the rows of dst, in descending order of their
// eigenvalues. It reduces to tridiagonal form by Householder's method and goes on with implicit QL (Golub & Van Loan,
// chapter 8), in float64: it runs once, when a training begins.
func eigenRows(dst, a []float32, n int) {
	work := make([]float64, n*n)
	var scale float64
	for i, x := range a[:n*n] {
		work[i] = float64(x)
		scale = math.Max(scale, math.Abs(work[i]))
	}
	if scale > 0 {
		for i := range work {
			work[i] /= scale
		}
	}
	tau, diag, off := make([]float64, n), make([]float64, n), make([]float64, n)
	tridiagonal(work, tau, diag, off, n)
	z := make([]float64, n*n) // eigenvectors of the tridiagonal matrix, in rows
	for i := range n {
		z[i*n+i] = 1
	}
	implicitQL(diag, off, z, n)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case diag[i] > diag[j]:
			return -1
		case diag[i] < diag[j]:
			return 1
		}
		return 0
	})
	for to, from := range order {
		row := z[from*n:][:n]
		for k := n - 3; k >= 0; k-- {
			reflect(row[k+1:], work[k*n+k+1:k*n+n], tau[k])
		}
		for j, v := range row {
			dst[to*n+j] = float32(v)
		}
	}
}

// reflect applies I − τ·v·vᵀ.
func reflect(x, v []float64, tau float64) {
	if tau == 0 {
		return
	}
	f := tau * dot64(x, v)
	for i := range x {
		x[i] -= float64(f * v[i])
	}
}

// The conversions float64(x·y) here and below keep the compiler from joining a product and a sum to one multiply-add, which it
// does on Arm: the same bits everywhere.

// hypot returns √(p² + q²) as math.Hypot has it on amd64.
func hypot(p, q float64) float64 {
	p, q = math.Abs(p), math.Abs(q)
	if p < q {
		p, q = q, p
	}
	if p == 0 {
		return 0
	}
	q /= p
	return p * math.Sqrt(1+float64(q*q))
}

func dot64(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += float64(a[i] * b[i])
		s1 += float64(a[i+1] * b[i+1])
		s2 += float64(a[i+2] * b[i+2])
		s3 += float64(a[i+3] * b[i+3])
	}
	for ; i < len(a); i++ {
		s0 += float64(a[i] * b[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// tridiagonal reduces a symmetric matrix and leaves the Householder vector of column k in row k, right of the diagonal.
func tridiagonal(a, tau, diag, off []float64, n int) {
	p := make([]float64, n)
	for k := range n - 2 {
		v := a[k*n+k+1 : k*n+n]
		var tail float64
		for _, x := range v[1:] {
			tail += float64(x * x)
		}
		diag[k], off[k], tau[k] = a[k*n+k], v[0], 0
		if tail == 0 {
			continue
		}
		beta := -math.Copysign(math.Sqrt(float64(v[0]*v[0])+tail), v[0])
		head := v[0] - beta
		for i := range v {
			v[i] /= head
		}
		v[0] = 1
		t := (beta - off[k]) / beta
		tau[k], off[k] = t, beta
		// A −= v·wᵀ + w·vᵀ with w = τ·A·v − ½τ²(vᵀA·v)·v.
		w := p[:len(v)]
		for i := range w {
			w[i] = t * dot64(a[(k+1+i)*n+k+1:(k+1+i)*n+n], v)
		}
		half := t / 2 * dot64(w, v)
		for i := range w {
			w[i] -= float64(half * v[i])
		}
		for i := range w {
			row := a[(k+1+i)*n+k+1 : (k+1+i)*n+n]
			vi, wi := v[i], w[i]
			for j := range row {
				row[j] -= float64(vi*w[j]) + float64(wi*v[j])
			}
		}
	}
	if n >= 2 {
		diag[n-2], off[n-2] = a[(n-2)*n+n-2], a[(n-2)*n+n-1]
	}
	if n >= 1 {
		diag[n-1] = a[n*n-1]
	}
}

// implicitQL finds the eigenvalues of a tridiagonal matrix in place of its diagonal and turns the rows of z along. off[i]
// joins i and i+1.
func implicitQL(diag, off, z []float64, n int) {
	for l := range n {
		for range 60 * n { // far more than is ever needed
			m := l
			for ; m < n-1; m++ {
				if dd := math.Abs(diag[m]) + math.Abs(diag[m+1]); math.Abs(off[m]) <= 1e-16*dd || math.Abs(off[m]) < 1e-300 {
					break
				}
			}
			if m == l {
				break
			}
			g := (diag[l+1] - diag[l]) / (2 * off[l])
			r := hypot(g, 1)
			g = diag[m] - diag[l] + off[l]/(g+math.Copysign(r, g))
			s, c, p := 1.0, 1.0, 0.0
			i := m - 1
			for ; i >= l; i-- {
				f, b := s*off[i], float64(c*off[i])
				r = hypot(f, g)
				off[i+1] = r
				if r == 0 {
					diag[i+1] -= p
					off[m] = 0
					break
				}
				s, c = f/r, g/r
				g = diag[i+1] - p
				r = float64((diag[i]-g)*s) + float64(2*c*b)
				p = float64(s * r)
				diag[i+1] = g + p
				g = float64(c*r) - b
				lo, hi := z[i*n:][:n], z[(i+1)*n:][:n]
				for k, x := range lo {
					y := hi[k]
					hi[k] = float64(s*x) + float64(c*y)
					lo[k] = float64(c*x) - float64(s*y)
				}
			}
			if r == 0 && i >= l {
				continue
			}
			diag[l] -= p
			off[l] = g
			off[m] = 0
		}
	}
}
