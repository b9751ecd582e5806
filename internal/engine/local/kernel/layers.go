package kernel

import "math"

// RMSNorm computes y = x·rstd·w for every row of x, with rstd = 1/sqrt(mean(x²) + eps), which it keeps for the backward
// pass, one for each row. y may be x. A row whose squares leave float32's range becomes NaN: computed on, it would be a row of
// zeros, and a ruined model would predict something.
func RMSNorm(y, x Mat, w []float32, eps float32, rstd []float32) {
	y.check("y")
	x.check("x")
	want(y.Rows == x.Rows && y.Cols == x.Cols && len(w) == x.Cols && len(rstd) >= x.Rows, "RMSNorm of sizes that do not fit")
	for i := range x.Rows {
		row := x.Row(i)
		mean := float64(Dot(row, row)) / float64(len(row))
		if math.IsInf(mean, 1) {
			mean = math.NaN()
		}
		rstd[i] = float32(1 / math.Sqrt(mean+float64(eps)))
		mulScaled(y.Row(i), row, w, rstd[i])
	}
}

// RMSNormBackward adds RMSNorm's gradients: to dx, and to dw unless it is nil. Adding to dx joins the gradient of the
// residual stream; clear it first where there is none.
func RMSNormBackward(dx, dy, x Mat, w, rstd, dw []float32) {
	dx.check("dx")
	dy.check("dy")
	x.check("x")
	want(dx.Rows == x.Rows && dx.Cols == x.Cols && dy.Rows == x.Rows && dy.Cols == x.Cols && len(w) == x.Cols &&
		len(rstd) >= x.Rows && (dw == nil || len(dw) == x.Cols), "RMSNormBackward of sizes that do not fit")
	for i := range x.Rows {
		r := rstd[i]
		sum := dot3(dy.Row(i), w, x.Row(i))
		k := float32(float64(sum) * float64(r) * float64(r) * float64(r) / float64(x.Cols))
		normBackward(dx.Row(i), dy.Row(i), x.Row(i), w, r, k)
		if dw != nil {
			mulAddScaled(dw, dy.Row(i), x.Row(i), r)
		}
	}
}

// RMSNormWeights adds the gradient of an RMSNorm's weights alone to dw: Σ dy·x·rstd over the rows in their order, as
// RMSNormBackward does. dy, x and dw may be the same columns of larger ones.
func RMSNormWeights(dw []float32, dy, x Mat, rstd []float32) {
	dy.check("dy")
	x.check("x")
	want(dy.Rows == x.Rows && dy.Cols == x.Cols && len(dw) == x.Cols && len(rstd) >= x.Rows, "RMSNormWeights of sizes that do not fit")
	for i := range x.Rows {
		mulAddScaled(dw, dy.Row(i), x.Row(i), rstd[i])
	}
}

// SwiGLU computes h = silu(g)·u with silu(g) = g/(1 + exp(-g)). h may be g or u.
func SwiGLU(h, g, u []float32) {
	want(len(h) == len(g) && len(h) == len(u), "SwiGLU of slices of different length")
	swiGLU(h, g, u)
}

// SwiGLUBackward computes the gradients of g and u from that of h. Any of the slices may be the same.
func SwiGLUBackward(dg, du, dh, g, u []float32) {
	want(len(dg) == len(g) && len(du) == len(g) && len(dh) == len(g) && len(u) == len(g), "SwiGLUBackward of slices of different length")
	swiGLUBackward(dg, du, dh, g, u)
}

// RoPE rotates every head of every row of x in place: row i by the angles of position pos[i]. cos and sin are tables of
// (positions, headDim/2); element j of a head is paired with element j + headDim/2, as in Hugging Face's Llama. inverse
// rotates back, which is the gradient.
func RoPE(x Mat, headDim int, cos, sin []float32, pos []int32, inverse bool) {
	x.check("x")
	half := headDim / 2
	want(headDim > 0 && headDim%2 == 0 && x.Cols%headDim == 0 && len(pos) >= x.Rows, "RoPE of sizes that do not fit")
	sign := float32(1)
	if inverse {
		sign = -1
	}
	for i := range x.Rows {
		p := int(pos[i])
		rope(x.Row(i), half, cos[p*half:][:half], sin[p*half:][:half], sign)
	}
}

// AdamWStep holds the numbers of one AdamW update that are the same for all elements.
type AdamWStep struct {
	LR, Beta1, Beta2, Eps, WeightDecay float32
	GradScale                          float32 // the gradient is multiplied by it first: 1, or less to clip
	Step                               int     // from 1 on, for the correction of the moments' bias
}

// AdamW updates the parameters p and the moments m and v from the gradient g, with decay decoupled: p is multiplied by
// 1 - LR·WeightDecay, then moved by -LR·m̂/(sqrt(v̂) + Eps).
func AdamW(p, m, v, g []float32, s AdamWStep) {
	want(len(m) == len(p) && len(v) == len(p) && len(g) == len(p), "AdamW of slices of different length")
	c1 := 1 - math.Pow(float64(s.Beta1), float64(s.Step))
	c2 := 1 - math.Pow(float64(s.Beta2), float64(s.Step))
	k := adamConst{
		gradScale: s.GradScale,
		beta1:     s.Beta1,
		rest1:     float32(1 - float64(s.Beta1)),
		beta2:     s.Beta2,
		rest2:     float32(1 - float64(s.Beta2)),
		root2:     float32(1 / math.Sqrt(c2)),
		eps:       s.Eps,
		step:      float32(float64(s.LR) / c1),
		keep:      float32(1 - float64(s.LR)*float64(s.WeightDecay)),
	}
	adamW(p, m, v, g, &k)
}

// adamConst is what the inner loop of AdamW needs. The assembly reads it by offset.
type adamConst struct {
	gradScale, beta1, rest1, beta2, rest2, root2, eps, step, keep float32
}
