package chat

import (
	"encoding/json"
	"fmt"
)

// A Dialect is how one model's conversations are written: a format with its options, and the template that says so.
type Dialect struct {
	Options
	// Template is the checkpoint's own, carried along for what is exported; empty where the format's is meant.
	Template string `json:"template,omitempty"`
}

// Default is the dialect of models that this program makes.
func Default() Dialect { return Dialect{Options: Options{Format: "llama3"}} }

// Encode returns the dialect as a checkpoint carries it: JSON, or nil for the default.
func (d Dialect) Encode() ([]byte, error) {
	if d == Default() || d == (Dialect{}) {
		return nil, nil
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encoding the chat format: %w", err)
	}
	return b, nil
}

// DecodeDialect reads what Encode wrote.
func DecodeDialect(b []byte) (Dialect, error) {
	if b == nil {
		return Default(), nil
	}
	var d Dialect
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("reading the chat format: %w", err)
	}
	return d, nil
}
