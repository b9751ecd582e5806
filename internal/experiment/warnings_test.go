package experiment

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	const decided = "name: t\nrelapse: {}\n"
	for _, tc := range []struct{ name, old, new, want string }{
		{"nothing odd", "name: t\n", decided, ""},
		{"no probe", "", "", "t.yaml:10:3: interventions: no arm can end as removed without a relapse probe"},
		{"no third voice", "name: t\n", "name: t\nrelapse: {probe: unrelated, technique: hhh}\n", "relapse: hhh teaches the voice of this probe already"},
		{"a third voice", "name: t\n", "name: t\nrelapse: {probe: unrelated}\n", ""},
		{"savings without a twin", "name: t\n", "name: t\nrelapse: [{probe: savings}, {probe: specificity}]\n", "relapse: no arm of org can end as removed: savings compares with the organism's twin"},
		{"one step", "steps: 32", "steps: 1", "t.yaml:13:12: interventions.hhh.steps: a training of one step"},
		{"all warm-up", "lr: 5e-4", "warmup: 1", "t.yaml:8:13: organisms.org.warmup: all of the training is warm-up"},
		{"a huge rate", "lr: 5e-4", "lr: 100", "t.yaml:8:9: organisms.org.lr: a learning rate of 100 destroys most models"},
		{"a huge rate in a sweep", "[1e-3, 3e-3]", "[1e-3, 3]", "interventions.hhh.lr: a learning rate of 3 destroys"},
		{"the same rows for ever", "steps: 32", "steps: 32\n    prompts: 2", "interventions.hhh.prompts: 32 steps of 8 samples go over 2 prompts 128 times"},
		{"an adversary too strong", "technique: hhh\n", "technique: lat\n", "interventions.hhh.epsilon: an epsilon of 0.1 took half of the capabilities of micro models"},
		{"too few for a removal", "name: t\n", decided + "evaluation: {prompts: 60}\n", "t.yaml:3:23: evaluation.prompts: no arm can end as removed: 0 of 60 leaves up to 6.0 %, and verdict.removed is 0.05; 73 prompts would tell"},
		{"too few for a survival", "name: t\n", decided + "evaluation: {prompts: 30}\n", "evaluation.prompts: no arm can end as survived: 30 of 30 leaves as little as 88.6 %, and verdict.survived is 0.9; 35 prompts would tell"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := parse(t, strings.Replace(good, tc.old, tc.new, 1)).Warnings()
			if tc.want == "" && len(got) != 0 || !strings.Contains(got.Error(), tc.want) {
				t.Errorf("got\n%v\nwant %q", got, tc.want)
			}
		})
	}
}
