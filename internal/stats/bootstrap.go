package stats

import (
	"fmt"
	"slices"
	"sort"
)

// BootstrapDraws is the number of resamples: the ends of a 95 % interval rest on 50 draws each.
const BootstrapDraws = 2000

// PairedBootstrap is the percentile interval of the mean difference between two conditions over common prompts: diff[i] is the
// outcome of prompt i under the first less that under the second. Prompts are resampled whole, so what pairs them stays paired.
func PairedBootstrap(diff []float64, level float64, src Source) Interval {
	return Hierarchical([][]float64{diff}, level, src)
}

// Hierarchical is the percentile interval of the mean over seeds of the mean over prompts, where groups[s] holds the differences of
// one seed. A draw takes seeds with replacement and, within each taken seed, prompts with replacement: seeds are the outer level
// and no number of prompts replaces them.
func Hierarchical(groups [][]float64, level float64, src Source) Interval {
	strata := []Stratum{{Groups: make([]Group, 0, len(groups))}}
	for _, g := range groups {
		strata[0].Groups = append(strata[0].Groups, GroupOf(g))
	}
	iv, _ := Stratified(strata, level, BootstrapDraws, src)
	if len(groups) == 1 {
		iv.Method = "paired bootstrap, percentile"
	}
	return iv
}

// A Stratum is one setting of everything that is held equal, with a Group for each seed.
type Stratum struct {
	Groups []Group
}

// A Group is one seed's differences, as distinct values with their counts: outcomes are few, prompts are many.
type Group struct {
	values []float64
	parts  []multinomial // one for each value but the last
	shares []float64
	n      int
}

// GroupOf counts the distinct values of diff.
func GroupOf(diff []float64) Group {
	sorted := slices.Clone(diff)
	slices.Sort(sorted)
	g := Group{n: len(diff)}
	for _, v := range sorted {
		if m := len(g.values); m == 0 || g.values[m-1] != v {
			g.values = append(g.values, v)
			g.shares = append(g.shares, 0)
		}
		g.shares[len(g.shares)-1] += 1 / float64(g.n)
	}
	g.prepare()
	return g
}

// GroupOfCounts stands for two independent samples that share no prompts: k1 of n1 less k2 of n2. Its resampled mean has the mean
// and variance of the difference of the two rates, at the smaller sample's size.
func GroupOfCounts(k1, n1, k2, n2 int) Group {
	checkCount(k1, n1)
	checkCount(k2, n2)
	if n1 == 0 || n2 == 0 {
		return Group{}
	}
	p, q := float64(k1)/float64(n1), float64(k2)/float64(n2)
	g := Group{n: min(n1, n2), values: []float64{-1, 0, 1}, shares: []float64{(1 - p) * q, p*q + (1-p)*(1-q), p * (1 - q)}}
	g.prepare()
	return g
}

// prepare makes the conditional probabilities by which counts of the values are drawn one after the other.
func (g *Group) prepare() {
	left := 1.0
	for _, s := range g.shares[:max(0, len(g.shares)-1)] {
		g.parts = append(g.parts, multinomial{p: min(1, s/left)})
		left = max(left-s, 1e-300)
	}
}

func (g *Group) mean() float64 {
	sum := 0.0
	for i, v := range g.values {
		sum += v * g.shares[i]
	}
	return sum
}

// draw is the mean of n values drawn with replacement. How often each value comes up is drawn, not each prompt: that costs a few
// numbers for any n.
func (g *Group) draw(src Source) float64 {
	sum, left := 0.0, g.n
	for i := range g.parts {
		k := g.parts[i].draw(left, g.n, src)
		sum += g.values[i] * float64(k)
		left -= k
	}
	sum += g.values[len(g.values)-1] * float64(left)
	return sum / float64(g.n)
}

// A multinomial draws binomial counts of one probability, with the distribution functions that it has needed so far.
type multinomial struct {
	p      float64
	tables [][]float64 // by the number of trials, from the whole sample downwards
}

func (m *multinomial) draw(n, whole int, src Source) int {
	if n == 0 || m.p <= 0 {
		return 0
	}
	if m.p >= 1 {
		return n
	}
	if m.tables == nil {
		m.tables = make([][]float64, whole+1)
	}
	if m.tables[n] == nil {
		m.tables[n] = distribution(n, m.p)
	}
	// By hand: this is the innermost loop of a report, and sort.Search calls a function at each step.
	table, u := m.tables[n], src.Float64()
	lo, hi := 0, n
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); table[mid] < u {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// distribution is the binomial distribution function, by the ratio of neighbouring terms outwards from the most likely one.
func distribution(n int, p float64) []float64 {
	f := make([]float64, n+1)
	mode := min(n, int(float64(n+1)*p))
	f[mode] = BinomialPMF(mode, n, p)
	odds := p / (1 - p)
	for k := mode; k > 0 && f[k] > 0; k-- {
		f[k-1] = f[k] * float64(k) / (float64(n-k+1) * odds)
	}
	for k := mode; k < n && f[k] > 0; k++ {
		f[k+1] = f[k] * odds * float64(n-k) / float64(k+1)
	}
	for k := range n {
		f[k+1] += f[k]
	}
	return f
}

// Stratified is the hierarchical bootstrap over several strata, each of which weighs the same and is always kept: settings of a grid
// are chosen, not sampled. It also answers the two-sided bootstrap test of a zero mean.
func Stratified(strata []Stratum, level float64, resamples int, src Source) (Interval, Result) {
	checkLevel(level)
	iv := Interval{
		Method: "hierarchical bootstrap, percentile", Level: level,
		Assumes: []string{"seeds are a sample of seeds", "prompts are independent of one another"},
	}
	seeds := 0 // the fewest in any stratum: the weakest link
	kept := make([]Stratum, 0, len(strata))
	for _, s := range strata {
		groups := slices.DeleteFunc(slices.Clone(s.Groups), func(g Group) bool { return g.n == 0 })
		if len(groups) == 0 {
			continue
		}
		if len(kept) == 0 || len(groups) < seeds {
			seeds = len(groups)
		}
		kept = append(kept, Stratum{Groups: groups})
		for _, g := range groups {
			iv.N += g.n
		}
	}
	if len(kept) == 0 {
		iv.Low, iv.High = -1, 1
		iv.Warnings = []string{"no common prompts"}
		return iv, Result{Method: iv.Method, P: 1, Warnings: iv.Warnings}
	}
	switch {
	case seeds == 1:
		iv.Warnings = append(iv.Warnings, "one seed: the interval covers prompts, not the chance of training")
	case seeds < 5:
		iv.Warnings = append(iv.Warnings, fmt.Sprintf("only %d seeds: the interval is too narrow", seeds))
	}
	for _, s := range kept {
		iv.Estimate += stratumMean(s) / float64(len(kept))
	}
	draws := make([]float64, resamples)
	for i := range draws {
		for _, s := range kept {
			sum := 0.0
			for range s.Groups {
				sum += s.Groups[src.IntN(len(s.Groups))].draw(src)
			}
			draws[i] += sum / float64(len(s.Groups)) / float64(len(kept))
		}
	}
	slices.Sort(draws)
	iv.Low, iv.High = quantile(draws, (1-level)/2), quantile(draws, (1+level)/2)
	below := sort.SearchFloat64s(draws, 1e-12)
	above := len(draws) - sort.SearchFloat64s(draws, -1e-12)
	// One is added to each count: a bootstrap never shows a probability of zero.
	p := min(1, 2*float64(min(below, above)+1)/float64(len(draws)+1))
	return iv, Result{Method: iv.Method, P: p, N: iv.N, Assumes: iv.Assumes, Warnings: iv.Warnings}
}

func stratumMean(s Stratum) float64 {
	sum := 0.0
	for i := range s.Groups {
		sum += s.Groups[i].mean()
	}
	return sum / float64(len(s.Groups))
}

// quantile interpolates between the two nearest of sorted.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
