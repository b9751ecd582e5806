// Package wire holds the messages of the Tinker API in both of its dialects.
//
// Control messages are JSON everywhere (messages.go). The two that carry arrays, a forward-backward pass and a sample, exist
// twice: as JSON, which SDKs up to 0.24 send and servers of their time answer with, and as protobuf (package tinker_public),
// which later SDKs insist on. A value of this package is the message itself; its methods write and read either dialect. What
// is read may come from anyone: errors name the field, and nothing is allocated that the input does not pay for.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// The media types by which a message says what dialect it is in.
const (
	JSONType  = "application/json"
	ProtoType = "application/x-protobuf"
)

// A DType names the type of a tensor's elements. Servers may answer with others, which are widened to one of these.
type DType string

// The element types of the API.
const (
	Int64   DType = "int64"
	Float32 DType = "float32"
)

// The names of a datum's loss inputs.
const (
	TargetTokens = "target_tokens"
	Weights      = "weights"
	LogProbs     = "logprobs" // of the sampler, in a request; of the targets, in a result
	Advantages   = "advantages"
)

// A Tensor is a dense array. Ints holds the elements of an Int64 tensor, Floats those of a Float32 one.
type Tensor struct {
	DType  DType
	Shape  []int64
	Ints   []int64
	Floats []float32
}

// IntTensor makes a tensor of one dimension.
func IntTensor(v []int64) Tensor {
	return Tensor{DType: Int64, Shape: []int64{int64(len(v))}, Ints: v}
}

// FloatTensor makes a tensor of one dimension.
func FloatTensor(v []float32) Tensor {
	return Tensor{DType: Float32, Shape: []int64{int64(len(v))}, Floats: v}
}

// Len is the number of elements.
func (t Tensor) Len() int {
	if t.DType == Int64 {
		return len(t.Ints)
	}
	return len(t.Floats)
}

// check compares the shape with the number of elements. A tensor without a shape has one dimension.
func (t *Tensor) check() error {
	if t.Shape == nil {
		t.Shape = []int64{int64(t.Len())}
		return nil
	}
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d > math.MaxInt32 || d > 0 && n > math.MaxInt64/d {
			return fmt.Errorf("shape %v", t.Shape)
		}
		n *= d
	}
	if n != int64(t.Len()) {
		return fmt.Errorf("shape %v with %d elements", t.Shape, t.Len())
	}
	return nil
}

// A Datum is one sample: the tokens a model reads, and what its loss needs of each of them.
type Datum struct {
	Tokens []int32
	Inputs map[string]Tensor
}

// A PassRequest asks for a forward pass over data, and for the backward pass unless ForwardOnly is set.
type PassRequest struct {
	ModelID     string
	SeqID       int64 // place among the requests to the model, from 1; 0 where the client does not say
	Data        []Datum
	Loss        string
	Config      map[string]float64 // of the loss
	ForwardOnly bool
}

// A PassResult is what a pass measured. Outputs has an entry for every datum.
type PassResult struct {
	Type    string
	Outputs []map[string]Tensor
	Metrics map[string]float64
}

// The reasons for the end of a sample.
const (
	StopStop   = "stop"
	StopLength = "length"
)

// A Sequence is one sample. LogProbs is nil where the server gives none.
type Sequence struct {
	StopReason string
	Tokens     []int32
	LogProbs   []float32
}

// A SampleResult answers a SampleRequest. PromptLogProbs is nil where none were asked for; an element that is not known (the
// first token's always) is NaN.
type SampleResult struct {
	Sequences      []Sequence
	PromptLogProbs []float32
}

// errUnsupported marks parts of the API that this program does not read.
var errUnsupported = errors.New("not supported")

// decodeJSON reads one JSON value. Fields that it does not know are left alone, since every version of the API adds some.
func decodeJSON(b []byte, what string, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return nil
}

// strict reads one JSON value and refuses fields that it does not know.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
