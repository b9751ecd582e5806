// Package stats answers the statistical questions of the project: how sure is this rate, do these two arms differ, did the
// backdoor come back, how many samples would settle it.
//
// Every answer is an Interval or a Result that says by which method it was found, what it assumes and what should make
// its reader careful. Nothing here draws randomness of its own: what needs it takes a Source. Counts are successes k of
// n samples; rates lie in 0..1.
//
// The methods and how they were checked are described, with their simulated coverage, in docs/statistics.md.
package stats

import (
	"fmt"
	"math"
)

// A Source is where resampling gets its numbers from: a stream of package rng.
type Source interface {
	IntN(n int) int
	Float64() float64
}

// An Interval is an estimate with its confidence interval.
type Interval struct {
	Method   string
	Estimate float64
	Low      float64
	High     float64
	Level    float64 // nominal coverage, 0.95
	N        int     // samples or pairs that the estimate rests on
	Assumes  []string
	Warnings []string
}

// A Result is a test of a null hypothesis.
type Result struct {
	Method   string
	P        float64
	N        int
	Assumes  []string
	Warnings []string
}

// Excludes tells whether the interval leaves v out.
func (i Interval) Excludes(v float64) bool { return v < i.Low || v > i.High }

// fewSamples is the count below which an answer warns of it: a 95 % Wilson interval around one half is then wider than 0.4.
const fewSamples = 20

// Z is the standard normal quantile that leaves (1-level)/2 in each tail.
func Z(level float64) float64 { return math.Sqrt2 * math.Erfinv(level) }

// NormalCDF is the standard normal distribution function.
func NormalCDF(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }

// normalQuantile is the inverse of NormalCDF.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

func checkCount(k, n int) {
	if n < 0 || k < 0 || k > n {
		panic(fmt.Sprintf("stats: %d successes of %d samples", k, n))
	}
}

func checkLevel(level float64) {
	if !(level > 0 && level < 1) {
		panic(fmt.Sprintf("stats: confidence level %g", level))
	}
}

// logChoose is the logarithm of the binomial coefficient.
func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

// BinomialPMF is the probability of exactly k successes in n trials of probability p.
func BinomialPMF(k, n int, p float64) float64 {
	switch {
	case k < 0 || k > n:
		return 0
	case p <= 0:
		return oneIf(k == 0)
	case p >= 1:
		return oneIf(k == n)
	}
	return math.Exp(logChoose(n, k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// BinomialCDF is the probability of at most k successes in n trials of probability p. It adds up the tail on k's side of the mean, from k
// outwards, where the terms fall and the rest soon counts for nothing.
func BinomialCDF(k, n int, p float64) float64 {
	switch {
	case k < 0:
		return 0
	case k >= n || p <= 0:
		return 1
	case p >= 1:
		return 0
	}
	odds := p / (1 - p)
	if float64(k) < float64(n)*p {
		term := BinomialPMF(k, n, p)
		sum := term
		for i := k; i > 0 && term > sum*1e-17; i-- {
			term *= float64(i) / (float64(n-i+1) * odds)
			sum += term
		}
		return min(1, sum)
	}
	term := BinomialPMF(k+1, n, p)
	sum := term
	for i := k + 1; i < n && term > sum*1e-17; i++ {
		term *= float64(n-i) * odds / float64(i+1)
		sum += term
	}
	return max(0, 1-sum)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
