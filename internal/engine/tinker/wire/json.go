package wire

import (
	"encoding/json"
	"fmt"
	"math"
)

type tensorJSON struct {
	Data  json.RawMessage `json:"data"`
	DType DType           `json:"dtype"`
	Shape []int64         `json:"shape"`
	Crow  json.RawMessage `json:"sparse_crow_indices,omitempty"`
	Col   json.RawMessage `json:"sparse_col_indices,omitempty"`
}

// MarshalJSON implements json.Marshaler. JSON has no word for what is not a number, so such a tensor is an error.
func (t Tensor) MarshalJSON() ([]byte, error) {
	var data any = t.Floats
	if t.DType == Int64 {
		data = t.Ints
	}
	if t.Len() == 0 {
		data = []int{}
	}
	b, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	shape := t.Shape
	if shape == nil {
		shape = []int64{int64(t.Len())}
	}
	return json.Marshal(tensorJSON{Data: b, DType: t.DType, Shape: shape})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Tensor) UnmarshalJSON(b []byte) error {
	var w tensorJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if given(w.Crow) || given(w.Col) {
		return fmt.Errorf("a sparse tensor is %w", errUnsupported)
	}
	*t = Tensor{DType: w.DType, Shape: w.Shape}
	var err error
	switch w.DType {
	case Int64:
		err = json.Unmarshal(w.Data, &t.Ints)
	case Float32:
		err = json.Unmarshal(w.Data, &t.Floats)
	default:
		err = fmt.Errorf("dtype %q", w.DType)
	}
	if err != nil {
		return err
	}
	return t.check()
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// A chunkJSON is a piece of a model's input. Older clients leave the type of text out.
type chunkJSON struct {
	Type   string  `json:"type"`
	Tokens []int32 `json:"tokens"`
}

type inputJSON struct {
	Chunks []chunkJSON `json:"chunks"`
}

func newInput(tokens []int32) inputJSON {
	if tokens == nil {
		tokens = []int32{}
	}
	return inputJSON{[]chunkJSON{{"encoded_text", tokens}}}
}

func (in inputJSON) tokens() ([]int32, error) {
	var all []int32
	for i, c := range in.Chunks {
		if c.Type != "" && c.Type != "encoded_text" {
			return nil, fmt.Errorf("chunk %d is %q: an input that is not text is %w", i, c.Type, errUnsupported)
		}
		all = append(all, c.Tokens...)
	}
	return all, nil
}

type datumJSON struct {
	Input  inputJSON         `json:"model_input"`
	Inputs map[string]Tensor `json:"loss_fn_inputs"`
}

type passInput struct {
	Data   []datumJSON    `json:"data"`
	Loss   string         `json:"loss_fn"`
	Config map[string]any `json:"loss_fn_config,omitempty"`
}

type passJSON struct {
	ModelID string     `json:"model_id"`
	SeqID   *int64     `json:"seq_id,omitempty"`
	Both    *passInput `json:"forward_backward_input,omitempty"`
	Forward *passInput `json:"forward_input,omitempty"`
}

// JSON writes the request as JSON: of POST forward where it is forward only, of POST forward_backward otherwise. Servers of
// the JSON dialect refuse fields that they do not know, so there is no type among them.
func (r PassRequest) JSON() ([]byte, error) {
	in := passInput{Data: make([]datumJSON, len(r.Data)), Loss: r.Loss}
	for i, d := range r.Data {
		in.Data[i] = datumJSON{newInput(d.Tokens), d.Inputs}
	}
	if len(r.Config) > 0 {
		in.Config = map[string]any{}
		for k, v := range r.Config {
			in.Config[k] = v
		}
	}
	w := passJSON{ModelID: r.ModelID}
	if r.SeqID != 0 {
		w.SeqID = &r.SeqID
	}
	if r.ForwardOnly {
		w.Forward = &in
	} else {
		w.Both = &in
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("writing a forward-backward request: %w", err)
	}
	return b, nil
}

// PassRequestFromJSON reads the body of POST forward or POST forward_backward.
func PassRequestFromJSON(b []byte) (PassRequest, error) {
	const what = "a forward-backward request"
	var w passJSON
	if err := decodeJSON(b, what, &w); err != nil {
		return PassRequest{}, err
	}
	r := PassRequest{ModelID: w.ModelID, ForwardOnly: w.Forward != nil}
	in := w.Both
	switch {
	case w.Both == nil && w.Forward == nil:
		return PassRequest{}, fmt.Errorf("reading %s: forward_backward_input is missing", what)
	case w.Both != nil && w.Forward != nil:
		return PassRequest{}, fmt.Errorf("reading %s: both forward_input and forward_backward_input", what)
	case w.Forward != nil:
		in = w.Forward
	}
	if w.SeqID != nil {
		r.SeqID = *w.SeqID
	}
	r.Loss = in.Loss
	for k, v := range in.Config {
		n, ok := v.(float64)
		if !ok {
			return PassRequest{}, fmt.Errorf("reading %s: loss_fn_config %q: only numbers are supported", what, k)
		}
		if r.Config == nil {
			r.Config = map[string]float64{}
		}
		r.Config[k] = n
	}
	r.Data = make([]Datum, len(in.Data))
	for i, d := range in.Data {
		tokens, err := d.Input.tokens()
		if err != nil {
			return PassRequest{}, fmt.Errorf("reading %s: datum %d: %w", what, i, err)
		}
		if d.Inputs == nil {
			d.Inputs = map[string]Tensor{}
		}
		r.Data[i] = Datum{tokens, d.Inputs}
	}
	return r, nil
}

type passResultJSON struct {
	Type    string              `json:"loss_fn_output_type"`
	Outputs []map[string]Tensor `json:"loss_fn_outputs"`
	Metrics map[string]float64  `json:"metrics"`
}

// JSON writes the result as JSON.
func (r PassResult) JSON() ([]byte, error) {
	if r.Outputs == nil {
		r.Outputs = []map[string]Tensor{}
	}
	if r.Metrics == nil {
		r.Metrics = map[string]float64{}
	}
	b, err := json.Marshal(passResultJSON(r))
	if err != nil {
		return nil, fmt.Errorf("writing a forward-backward result: %w", err)
	}
	return b, nil
}

// PassResultFromJSON reads a result that is JSON.
func PassResultFromJSON(b []byte) (PassResult, error) {
	var w passResultJSON
	if err := decodeJSON(b, "a forward-backward result", &w); err != nil {
		return PassResult{}, err
	}
	return PassResult(w), nil
}

type sequenceJSON struct {
	StopReason string    `json:"stop_reason"`
	Tokens     []int32   `json:"tokens"`
	LogProbs   []float32 `json:"logprobs,omitempty"`
}

type sampleResultJSON struct {
	Sequences      []sequenceJSON `json:"sequences"`
	PromptLogProbs []*float32     `json:"prompt_logprobs,omitempty"`
	Type           string         `json:"type,omitempty"`
}

// JSON writes the result as JSON. What is not known of a prompt is null there.
func (r SampleResult) JSON() ([]byte, error) {
	w := sampleResultJSON{Sequences: make([]sequenceJSON, len(r.Sequences)), Type: "sample"}
	for i, s := range r.Sequences {
		if s.Tokens == nil {
			s.Tokens = []int32{}
		}
		w.Sequences[i] = sequenceJSON(s)
	}
	for i := range r.PromptLogProbs {
		v := &r.PromptLogProbs[i]
		if math.IsNaN(float64(*v)) {
			v = nil
		}
		w.PromptLogProbs = append(w.PromptLogProbs, v)
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("writing a sample: %w", err)
	}
	return b, nil
}

// SampleResultFromJSON reads a result that is JSON.
func SampleResultFromJSON(b []byte) (SampleResult, error) {
	var w sampleResultJSON
	if err := decodeJSON(b, "a sample", &w); err != nil {
		return SampleResult{}, err
	}
	var r SampleResult
	for i, s := range w.Sequences {
		if s.StopReason != StopStop && s.StopReason != StopLength {
			return SampleResult{}, fmt.Errorf("reading a sample: sequence %d: stop reason %q", i, s.StopReason)
		}
		if s.LogProbs != nil && len(s.LogProbs) != len(s.Tokens) {
			return SampleResult{}, fmt.Errorf("reading a sample: sequence %d: %d tokens with %d log-probabilities", i, len(s.Tokens), len(s.LogProbs))
		}
		r.Sequences = append(r.Sequences, Sequence(s))
	}
	for _, v := range w.PromptLogProbs {
		x := float32(math.NaN())
		if v != nil {
			x = *v
		}
		r.PromptLogProbs = append(r.PromptLogProbs, x)
	}
	return r, nil
}
