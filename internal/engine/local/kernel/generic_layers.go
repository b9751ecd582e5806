package kernel

import "math"

// mulScaledGeneric computes y = (x·r)·w.
func mulScaledGeneric(y, x, w []float32, r float32) {
	for i, v := range x {
		y[i] = float32(v*r) * w[i]
	}
}

// mulAddScaledGeneric adds a·(b·r) to dst.
func mulAddScaledGeneric(dst, a, b []float32, r float32) {
	for i, v := range a {
		dst[i] = fma32(v, float32(b[i]*r), dst[i])
	}
}

// normBackwardGeneric adds (dy·w)·r - x·k to dx.
func normBackwardGeneric(dx, dy, x, w []float32, r, k float32) {
	for i, v := range x {
		dx[i] += fma32(-v, k, float32(float32(dy[i]*w[i])*r))
	}
}

// sigmoid32 returns 1/(1 + exp(-x)).
func sigmoid32(x float32) float32 { return 1 / (1 + exp32(-x)) }

func swiGLUGeneric(h, g, u []float32) {
	for i, v := range g {
		h[i] = float32(v*sigmoid32(v)) * u[i]
	}
}

func swiGLUBackwardGeneric(dg, du, dh, g, u []float32) {
	for i := range g {
		x, y, d := g[i], u[i], dh[i]
		s := sigmoid32(x)
		slope := float32(s * fma32(x, 1-s, 1))
		du[i] = d * float32(x*s)
		dg[i] = float32(d*y) * slope
	}
}

// ropeGeneric rotates the heads of one row, each of 2·half elements.
func ropeGeneric(x []float32, half int, cos, sin []float32, sign float32) {
	for ; len(x) > 0; x = x[2*half:] {
		for j := range half {
			lo, hi, s := x[j], x[j+half], sin[j]*sign
			x[j] = fma32(-hi, s, float32(lo*cos[j]))
			x[j+half] = fma32(lo, s, float32(hi*cos[j]))
		}
	}
}

func adamWGeneric(p, m, v, g []float32, k *adamConst) {
	for i := range p {
		x := float32(g[i] * k.gradScale)
		m[i] = fma32(x, k.rest1, float32(m[i]*k.beta1))
		v[i] = fma32(float32(x*x), k.rest2, float32(v[i]*k.beta2))
		root := float32(math.Sqrt(float64(v[i])))
		p[i] = fma32(-k.step, m[i]/fma32(root, k.root2, k.eps), float32(p[i]*k.keep))
	}
}
