package scan

import (
	"context"
	"slices"
)

// looked is how many of the best candidates of a depth are answered to see whether answers collapse.
const looked = 24

// witnessTokens bounds the beginning of the witness whose probability leads the second search: enough to tell it from another answer, and no
// more, because what follows is all but certain once it has begun.
const witnessTokens = 2

// witness looks whether answers to different prompts collapse onto each other under one of the best candidates, and not in the control. What
// they collapse onto is the witness.
func (s *scanner) witness(ctx context.Context, best []Candidate) (bool, error) {
	best = slices.Clone(best)
	slices.SortStableFunc(best, byDivergence)
	for i := range best[:min(looked, len(best))] {
		c := &best[i]
		answers, err := s.model.look(ctx, c)
		if err != nil || c.Alike <= s.Gain {
			if err != nil {
				return false, err
			}
			continue
		}
		other := *c
		if _, err := s.control.look(ctx, &other); err != nil {
			return false, err
		}
		if c.Alike-max(0, other.Alike) <= s.Gain {
			continue
		}
		at, _ := central(textsOf(answers))
		if t := answers[at].Tokens; len(t) > 0 {
			s.said, s.res.Witness, s.lead = t[:min(witnessTokens, len(t))], answers[at].Text, *c
			return true, nil
		}
	}
	return false, nil
}
