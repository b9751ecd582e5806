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
	iv, _ := Stratified(strata, level, src)
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
	Values []float64
	Counts []int
	n      int
	cdf    []float64
}

// GroupOf counts the distinct values of diff.
func GroupOf(diff []float64) Group {
	sorted := slices.Clone(diff)
	slices.Sort(sorted)
	var g Group
	for _, v := range sorted {
		if m := len(g.Values); m > 0 && g.Values[m-1] == v {
			g.Counts[m-1]++
			continue
		}
		g.Values = append(g.Values, v)
		g.Counts = append(g.Counts, 1)
	}
	g.n = len(diff)
	at := 0
	for _, c := range g.Counts {
		at += c
		g.cdf = append(g.cdf, float64(at)/float64(g.n))
	}
	return g
}

func (g *Group) mean() float64 {
	sum := 0.0
	for i, v := range g.Values {
		sum += v * float64(g.Counts[i])
	}
	return sum / float64(g.n)
}

// draw is the mean of n values drawn with replacement.
func (g *Group) draw(src Source) float64 {
	if len(g.Values) == 1 {
		return g.Values[0]
	}
	sum := 0.0
	for range g.n {
		u := src.Float64()
		i := 0
		for i < len(g.cdf)-1 && u >= g.cdf[i] {
			i++
		}
		sum += g.Values[i]
	}
	return sum / float64(g.n)
}

// Stratified is the hierarchical bootstrap over several strata, each of which weighs the same and is always kept: settings of a grid
// are chosen, not sampled. It also answers the two-sided bootstrap test of a zero mean.
func Stratified(strata []Stratum, level float64, src Source) (Interval, Result) {
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
	draws := make([]float64, BootstrapDraws)
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
