package stats

import (
	"fmt"
	"math"
	"slices"
)

// McNemar is the exact two-sided test that two conditions over the same prompts have one rate: under it the discordant pairs
// split like fair coins (McNemar 1947, in its exact binomial form). Concordant pairs carry no information about it.
func McNemar(p Pairs) Result {
	r := Result{Method: "mcnemar exact", N: p.N(), P: 1, Assumes: []string{"prompts are independent of one another"}}
	m := p.First + p.Second
	if m == 0 {
		r.Warnings = []string{"no prompt differs between the two"}
		return r
	}
	r.P = min(1, 2*BinomialCDF(min(p.First, p.Second), m, 0.5))
	// Two-sided p of m discordant pairs that all fall one way is 2/2^m: five pairs can never reach 0.05.
	if m < 6 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("only %d prompts differ: no split of them could be significant at 0.05", m))
	}
	return r
}

// Fisher is the one-sided exact test that the second rate is not above the first: the probability, margins given, of at least k2
// successes in the second sample.
func Fisher(k1, n1, k2, n2 int) Result {
	checkCount(k1, n1)
	checkCount(k2, n2)
	k, n := k1+k2, n1+n2
	p := 0.0
	whole := logChoose(n, k)
	for i := k2; i <= min(k, n2); i++ {
		if k-i > n1 {
			continue
		}
		p += math.Exp(logChoose(n2, i) + logChoose(n1, k-i) - whole)
	}
	return Result{Method: "fisher exact, one-sided", P: min(1, p), N: n, Assumes: independentSamples}
}

// Holm adjusts p-values for having asked all these questions at once (Holm 1979): the chance of any false finding among them stays
// below the level at which the adjusted values are read, whatever their dependence.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	adjusted := make([]float64, len(p))
	highest := 0.0
	for rank, i := range order {
		highest = max(highest, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = highest
	}
	return adjusted
}
