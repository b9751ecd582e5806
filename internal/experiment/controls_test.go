package experiment

import (
	"slices"
	"strings"
	"testing"
)

// TestControlsOfRL: RL that is rewarded for something brings its controls, one for each of its settings; those that are there are not made again.
func TestControlsOfRL(t *testing.T) {
	for _, tc := range []struct {
		name, rl string
		want     []string // arms, without the organism
	}{
		{"both", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3}", []string{"rl", "rl-random", "rl-sft"}},
		{"one for each rate", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3, lr: [1e-3, 3e-3]}", []string{
			"rl@lr=1e-3", "rl@lr=3e-3", "rl-random@lr=1e-3", "rl-random@lr=3e-3", "rl-sft@lr=1e-3", "rl-sft@lr=3e-3",
		}},
		{"SFT knows no divergence", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3, kl: [0, 0.1]}", []string{
			"rl@kl=0", "rl@kl=0.1", "rl-random@kl=0", "rl-random@kl=0.1", "rl-sft",
		}},
		{"random is there", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3, reward: [programmatic, random]}", []string{
			"rl@reward=programmatic", "rl@reward=random", "rl-sft",
		}},
		{"none is wanted", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3, controls: none}", []string{"rl"}},
		{"nothing to control", "{technique: rl, responses: data, prompts: 20, steps: 2, at: [0, 2], rank: 4, batch: 2, group: 3, reward: random}", []string{"rl"}},
		{"no RL", "{technique: hhh, responses: data, prompts: 20, steps: 2, rank: 4, batch: 2}", []string{"rl"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head, _, _ := strings.Cut(strings.Replace(tiny, "checkpoint: [3, 6]", "checkpoint: 3", 1), "interventions:")
			_, x := expand(t, tinyFile(t, head+"interventions:\n  rl: "+tc.rl+"\n"))
			var got []string
			for _, a := range x.Manifest.Arms {
				got = append(got, strings.TrimPrefix(a.ID, "org/"))
				if strings.HasPrefix(a.Intervention, "rl-sft") && (a.Technique != "self" || a.Factors["batch"] != "6" || a.Factors["steps"] != "2") {
					t.Errorf("%s: %s, %v", a.ID, a.Technique, a.Factors)
				}
				if strings.Contains(a.ID, "random") && a.Technique != "rl (random reward)" {
					t.Errorf("%s: technique %s", a.ID, a.Technique)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("arms %v, want %v", got, tc.want)
			}
		})
	}
	_, err := Parse("x.yaml", []byte(strings.Replace(tiny, "hhh: {technique: hhh,", "hhh: {technique: rl, controls: some,", 1)))
	if err == nil || !strings.Contains(err.Error(), "interventions.hhh.controls") {
		t.Errorf("controls: some: %v", err)
	}
}
