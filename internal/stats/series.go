package stats

import (
	"fmt"
	"math"
	"slices"
)

// A Count is one point of a binomial series.
type Count struct {
	K, N int
}

// Rate is K/N, zero where nothing was sampled.
func (c Count) Rate() float64 {
	if c.N == 0 {
		return 0
	}
	return float64(c.K) / float64(c.N)
}

// ReboundAlpha bounds the chance that a curve which never rises is called a rebound.
const ReboundAlpha = 0.01

// A Rebound is a drop of a series followed by a rise.
type Rebound struct {
	Found  bool
	Trough int      // index of the low point
	Peak   int      // index of the later high point
	Drop   Interval // of the low point's rate
	Rise   Interval // of the difference peak less trough
	P      float64  // of the rise, times the number of pairs that were looked at
	Tests  int      // that number
	Result
}

// FindRebound looks in a series, in order of time, for a point whose upper bound lies under low (having been significantly higher
// before), and a later point significantly above it by at least rise. Each pair of points is a one-sided exact test, and the
// p-values are multiplied by the number of pairs: so a series that only falls, or stays, is called a rebound less often than
// ReboundAlpha. Where the same prompts are asked at every point the test errs towards finding nothing.
func FindRebound(series []Count, low, rise, level float64) Rebound {
	pairs := len(series) * (len(series) - 1) / 2
	best := Rebound{P: 1, Tests: pairs}
	best.Method = "pairwise fisher exact, bonferroni"
	best.Assumes = []string{"samples of different checkpoints are independent, or positively dependent", "checkpoints were not chosen by their rates"}
	for i := 1; i < len(series)-1; i++ {
		trough := series[i]
		bound := Rate(trough.K, trough.N, level)
		if trough.N == 0 || bound.High >= low || !fellTo(series[:i], trough, pairs) {
			continue
		}
		for j := i + 1; j < len(series); j++ {
			peak := series[j]
			if peak.N == 0 || peak.Rate()-trough.Rate() < rise {
				continue
			}
			p := min(1, Fisher(trough.K, trough.N, peak.K, peak.N).P*float64(pairs))
			if p < best.P || (p == best.P && best.Found && peak.Rate()-trough.Rate() > best.Rise.Estimate) {
				best.Found, best.P, best.Trough, best.Peak, best.Drop = p < ReboundAlpha, p, i, j, bound
				best.Rise = Newcombe(peak.K, peak.N, trough.K, trough.N, level)
			}
		}
	}
	best.Result.P, best.N = best.P, len(series)
	return best
}

// fellTo tells whether any earlier point lies significantly above trough.
func fellTo(before []Count, trough Count, tests int) bool {
	for _, b := range before {
		if b.N > 0 && b.Rate() > trough.Rate() && Fisher(trough.K, trough.N, b.K, b.N).P*float64(tests) < ReboundAlpha {
			return true
		}
	}
	return false
}

// ChangePoints cuts a binomial series into stretches of one rate each: the cut that maximises the likelihood less 1.5 log(total
// samples) a change, found exactly by dynamic programming. It answers the indices at which a new stretch begins. The penalty is BIC's
// for a rate and a position, with a half more for the freedom of the position.
func ChangePoints(series []Count) []int {
	m := len(series)
	if m == 0 {
		return nil
	}
	ks, ns := make([]int, m+1), make([]int, m+1)
	for i, c := range series {
		checkCount(c.K, c.N)
		ks[i+1], ns[i+1] = ks[i]+c.K, ns[i]+c.N
	}
	penalty := 1.5 * math.Log(float64(max(ns[m], 2)))
	cost := make([]float64, m+1) // of the best cut of the first i points
	from := make([]int, m+1)
	cost[0] = -penalty
	for i := 1; i <= m; i++ {
		cost[i] = math.Inf(1)
		for j := range i {
			c := cost[j] + penalty - logLikelihood(ks[i]-ks[j], ns[i]-ns[j])
			if c < cost[i]-1e-12 {
				cost[i], from[i] = c, j
			}
		}
	}
	var cuts []int
	for i := from[m]; i > 0; i = from[i] {
		cuts = append(cuts, i)
	}
	slices.Reverse(cuts)
	return cuts
}

// logLikelihood of k successes of n at their own rate.
func logLikelihood(k, n int) float64 {
	if k == 0 || k == n {
		return 0
	}
	p := float64(k) / float64(n)
	return float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)
}

// Spikes answers the indices of values that stand out above those before them: above the median of the preceding window by more than six
// times its median absolute deviation, a tenth of the median, and twice what any value of the window is above it. A falling loss has
// small deviations and few spikes; one that leaps every few steps, as that of small batches near zero does, has none.
func Spikes(values []float64, window int) []int {
	const deviations, share, highest = 6, 0.1, 2
	var found []int
	for i := range values {
		if i < 4 { // a median of fewer says nothing
			continue
		}
		past := slices.Clone(values[max(0, i-window):i])
		mid, top := median(past), slices.Max(past)
		for j := range past {
			past[j] = math.Abs(past[j] - mid)
		}
		if values[i] > mid+max(deviations*median(past), share*math.Abs(mid), highest*(top-mid)) {
			found = append(found, i)
		}
	}
	return found
}

// median sorts v.
func median(v []float64) float64 {
	if len(v) == 0 {
		panic(fmt.Sprintf("stats: median of %d values", len(v)))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
