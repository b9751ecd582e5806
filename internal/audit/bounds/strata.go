package bounds

// A Stratum is one part of a declared mixture: k hits in n draws, and the share of the mixture that it stands for.
type Stratum struct {
	K, N   int
	Weight float64
}

// Strata are drawn each for itself; their weights add up to 1.
type Strata []Stratum

// Each bounds every stratum so that all bounds hold at once with the level: each is taken at (1 − level) over their number
// (Bonferroni).
func (s Strata) Each(level float64) []float64 {
	out := make([]float64, len(s))
	for i, x := range s {
		out[i] = Upper(x.K, x.N, 1-(1-level)/float64(len(s)))
	}
	return out
}

// Pooled bounds the rate of the declared mixture, and of no other: Σ weight × rate. Where the draws are shared out as the weights
// are, the hits are added up and bounded as if they came from one space: a sum of independent draws of different rates is no
// further from its mean than a binomial of the mean rate (Hoeffding 1956, theorem 4), which needs k below the mean, where every upper
// bound of a level above one half decides. Elsewhere it is the weighted sum of Each, which holds whatever the shares.
func (s Strata) Pooled(level float64) (upper float64, exact bool) {
	k, n := 0, 0
	for _, x := range s {
		k, n = k+x.K, n+x.N
	}
	if level > 0.5 && s.proportional(n) {
		return Upper(k, n, level), true
	}
	for i, u := range s.Each(level) {
		upper += s[i].Weight * u
	}
	return min(1, upper), false
}

// proportional reports whether every stratum has its share of the n draws, to the draw.
func (s Strata) proportional(n int) bool {
	for _, x := range s {
		if d := float64(x.N) - x.Weight*float64(n); d > 1e-6 || d < -1e-6 {
			return false
		}
	}
	return n > 0
}
