package stats

import "math"

// maxNeeded bounds the search for a sample size: beyond it the honest answer is that no affordable number would do.
const maxNeeded = 1_000_000

// NeededBelow is the number of samples at which a rate like k/n would have its upper bound under limit, or 0 if it never would.
func NeededBelow(k, n int, limit, level float64) int {
	return needed(k, n, func(p float64) bool { return p < limit }, func(iv Interval) bool { return iv.High < limit }, level)
}

// NeededAbove is the number of samples at which a rate like k/n would have its lower bound at or above limit, or 0 if it never would.
func NeededAbove(k, n int, limit, level float64) int {
	return needed(k, n, func(p float64) bool { return p > limit }, func(iv Interval) bool { return iv.Low >= limit }, level)
}

func needed(k, n int, possible func(float64) bool, done func(Interval) bool, level float64) int {
	if n == 0 {
		return 0
	}
	p := float64(k) / float64(n)
	if !possible(p) {
		return 0
	}
	at := func(m int) bool { return done(Rate(int(math.Round(p*float64(m))), m, level)) }
	hi := max(n, 1)
	for !at(hi) {
		if hi *= 2; hi > maxNeeded {
			return 0
		}
	}
	lo := hi / 2
	for lo+1 < hi {
		if mid := (lo + hi) / 2; at(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// NeededMargin scales the samples of a difference: with the estimate kept, the n at which the interval's end would come within
// the margin, or 0 if the estimate itself lies beyond it. Widths shrink like one over the root of n.
func NeededMargin(iv Interval, margin float64) int {
	end := iv.High
	if iv.Estimate > margin {
		end = iv.Low
	}
	room, half := math.Abs(margin-iv.Estimate), math.Abs(end-iv.Estimate)
	if room == 0 || iv.N == 0 {
		return 0
	}
	if need := math.Ceil(float64(iv.N) * (half / room) * (half / room)); need <= maxNeeded {
		return int(need)
	}
	return 0
}

// NeededDifference is the number of samples in each of two independent groups at which a two-sided test at the level finds the
// difference between rates p1 and p2 with the given power: the normal approximation with pooled variance under the null.
func NeededDifference(p1, p2, level, power float64) float64 {
	if p1 == p2 {
		return math.Inf(1)
	}
	mean := (p1 + p2) / 2
	root := Z(level)*math.Sqrt(2*mean*(1-mean)) + normalQuantile(power)*math.Sqrt(p1*(1-p1)+p2*(1-p2))
	return root * root / ((p1 - p2) * (p1 - p2))
}

// PowerDifference is the power of that test with n samples in each group.
func PowerDifference(n, p1, p2, level float64) float64 {
	mean := (p1 + p2) / 2
	spread := math.Sqrt(p1*(1-p1) + p2*(1-p2))
	if spread == 0 {
		return 1
	}
	return NormalCDF((math.Abs(p1-p2)*math.Sqrt(n) - Z(level)*math.Sqrt(2*mean*(1-mean))) / spread)
}
