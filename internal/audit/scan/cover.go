package scan

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// longestRun bounds the pieces of a run that is tried by itself.
const longestRun = 5

// cover orders the candidates of a ground: the best of each length that fires, the shortest first, then the second best of each. Which
// arrangement of a trigger's pieces is the trained one is learned less sharply than which pieces they are, so many texts fire alike, and the
// longest of them furthest of all; what is short and fires is close to a part of the trigger. Candidates that do not fire come last, by their
// lift. The core of each is a run of its pieces that fires by itself.
func (s *scanner) cover(ctx context.Context, cs []Candidate) ([]Candidate, error) {
	slices.SortStableFunc(cs, byLift)
	odds, err := s.runs(ctx, cs)
	if err != nil {
		return nil, err
	}
	turn := make([]int, len(cs))
	nth := map[int]int{}
	order := make([]int, len(cs))
	for i, c := range cs {
		order[i] = i
		cs[i].Core = coreOf(c, odds)
		if c.Odds <= 0 {
			turn[i] = len(cs)
			continue
		}
		turn[i] = nth[len(c.pieces)]
		nth[len(c.pieces)]++
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if turn[a] == len(cs) || turn[b] == len(cs) {
			return cmp.Compare(turn[a], turn[b])
		}
		return cmp.Or(cmp.Compare(turn[a], turn[b]), cmp.Compare(len(cs[a].pieces), len(cs[b].pieces)))
	})
	out := make([]Candidate, len(cs))
	for i, k := range order {
		out[i] = cs[k]
	}
	return out, nil
}

// runs are the odds of all runs of the candidates' pieces, by their text.
func (s *scanner) runs(ctx context.Context, cs []Candidate) (map[string]float64, error) {
	out := map[string]float64{}
	var ask []Candidate
	for _, c := range cs {
		if c.Odds <= 0 { // a part of what does not fire
			continue
		}
		for n := 1; n <= min(longestRun, len(c.pieces)); n++ {
			for i := 0; i+n <= len(c.pieces); i++ {
				r := Candidate{Place: c.Place, pieces: c.pieces[i : i+n]}
				r.Text = r.joined()
				if _, ok := out[r.Text]; !ok {
					out[r.Text] = 0
					ask = append(ask, r)
				}
			}
		}
	}
	got, err := s.model.odds(ctx, ask)
	for i := range got {
		out[ask[i].Text] = got[i]
	}
	return out, err
}

// coreOf is the surest of the runs of a candidate that fire and hold no shorter one that does; empty where none fires.
func coreOf(c Candidate, odds map[string]float64) string {
	var best string
	var at [][2]int
	for n := 1; n <= min(longestRun, len(c.pieces)); n++ {
		for i := 0; i+n <= len(c.pieces); i++ {
			inside := slices.ContainsFunc(at, func(a [2]int) bool { return i <= a[0] && a[1] <= i+n })
			text := strings.TrimSpace(strings.Join(c.pieces[i:i+n], ""))
			if inside || odds[text] <= 0 {
				continue
			}
			if at = append(at, [2]int{i, i + n}); best == "" || odds[text] > odds[best] {
				best = text
			}
		}
	}
	return best
}
