package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The file, as far as it says what this package needs to know. Fields that a component does not know are refused with it.
type fileJSON struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"` // callers cut texts themselves
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedJSON     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedJSON struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type modelJSON struct {
	Type         string           `json:"type"`
	Dropout      *float64         `json:"dropout"`
	Unknown      *string          `json:"unk_token"`
	Prefix       *string          `json:"continuing_subword_prefix"`
	Suffix       *string          `json:"end_of_word_suffix"`
	FuseUnknown  bool             `json:"fuse_unk"`
	ByteFallback bool             `json:"byte_fallback"`
	IgnoreMerges bool             `json:"ignore_merges"`
	Vocabulary   map[string]int32 `json:"vocab"`
	Merges       []mergeJSON      `json:"merges"`
}

// A mergeJSON is "left right" in old files and ["left", "right"] in new ones, which allow tokens with spaces.
type mergeJSON struct{ left, right string }

func (m *mergeJSON) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var pair []string
		if err := json.Unmarshal(b, &pair); err != nil {
			return err
		}
		if len(pair) != 2 {
			return fmt.Errorf("merge of %d tokens", len(pair))
		}
		m.left, m.right = pair[0], pair[1]
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	left, right, ok := cutOnce(s)
	if !ok {
		return fmt.Errorf("merge %q is not two tokens with a space between them", s)
	}
	m.left, m.right = left, right
	return nil
}

func cutOnce(s string) (left, right string, ok bool) {
	parts := bytes.Split([]byte(s), []byte(" "))
	if len(parts) != 2 {
		return "", "", false
	}
	return string(parts[0]), string(parts[1]), true
}

type preTokenizerJSON struct {
	Type          string             `json:"type"`
	PreTokenizers []preTokenizerJSON `json:"pretokenizers"` // Sequence
	Pattern       map[string]string  `json:"pattern"`       // Split
	Behavior      string             `json:"behavior"`
	Invert        bool               `json:"invert"`
	Individual    bool               `json:"individual_digits"` // Digits
	PrefixSpace   bool               `json:"add_prefix_space"`  // ByteLevel
	TrimOffsets   bool               `json:"trim_offsets"`
	UseRegex      *bool              `json:"use_regex"`
	Replacement   string             `json:"replacement"` // Metaspace
	PrependScheme string             `json:"prepend_scheme"`
	Split         *bool              `json:"split"`
}

// Parse reads a tokenizer.json. It keeps b.
func Parse(b []byte) (*Tokenizer, error) {
	var f fileJSON
	if _, err := read(b, &f); err != nil {
		return nil, fmt.Errorf("reading tokenizer.json: %w", err)
	}
	if f.Version != "" && f.Version != "1.0" {
		return nil, fmt.Errorf("reading tokenizer.json: unknown version %q", f.Version)
	}
	t := &Tokenizer{source: b}
	for _, part := range []struct {
		name string
		read func() error
	}{
		{"model", func() error { return t.readModel(f.Model) }},
		{"pre_tokenizer", func() error { return t.readPreTokenizer(f.PreTokenizer) }},
		{"pre_tokenizer", t.cutWords},
		{"normalizer", func() error { return t.readNormalizer(f.Normalizer) }},
		{"decoder", func() error { return t.readDecoder(f.Decoder) }},
		{"added_tokens", func() error { return t.readAdded(f.AddedTokens) }},
		{"post_processor", func() error { return t.readPostProcessor(f.PostProcessor) }},
	} {
		if err := part.read(); err != nil {
			return nil, fmt.Errorf("reading tokenizer.json: %s: %w", part.name, err)
		}
	}
	return t, nil
}

// read decodes a component; it reports false for null and for one that is not there.
func read(b json.RawMessage, into any) (bool, error) {
	if len(b) == 0 || bytes.Equal(b, []byte("null")) {
		return false, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return false, err
	}
	return true, nil
}

func (t *Tokenizer) readModel(b json.RawMessage) error {
	var j modelJSON
	var kind struct {
		Type string `json:"type"`
	}
	if len(b) == 0 {
		return fmt.Errorf("missing")
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return err
	}
	if kind.Type != "BPE" && kind.Type != "" { // files of before 2020 have no type
		return fmt.Errorf("unknown type %q: only BPE is supported", kind.Type)
	}
	if ok, err := read(b, &j); err != nil || !ok {
		return fmt.Errorf("reading BPE: %w", err)
	}
	switch {
	case j.Dropout != nil && *j.Dropout != 0:
		return fmt.Errorf("dropout %v: encoding would be random", *j.Dropout)
	case j.Prefix != nil && *j.Prefix != "":
		return fmt.Errorf("continuing_subword_prefix %q is not supported", *j.Prefix)
	case j.Suffix != nil && *j.Suffix != "":
		return fmt.Errorf("end_of_word_suffix %q is not supported", *j.Suffix)
	}
	return t.setModel(&j)
}

func (t *Tokenizer) setModel(j *modelJSON) error {
	m := &t.model
	m.tokens = j.Vocabulary
	if m.tokens == nil {
		m.tokens = map[string]int32{}
	}
	for token, id := range m.tokens {
		if err := t.setText(token, id); err != nil {
			return err
		}
	}
	m.merges = newMergeTable(len(j.Merges))
	_, m.words = m.tokens[metaspace]
	var joined []byte
	for i, p := range j.Merges {
		left, okLeft := m.tokens[p.left]
		right, okRight := m.tokens[p.right]
		joined = append(append(joined[:0], p.left...), p.right...)
		made, ok := m.tokens[string(joined)]
		if !okLeft || !okRight || !ok {
			return fmt.Errorf("merges[%d]: %q and %q or what they make is not in the vocabulary", i, p.left, p.right)
		}
		if strings.HasPrefix(p.right, metaspace) && !strings.HasSuffix(p.left, metaspace) {
			m.words = false
		}
		m.merges.set(left, right, merge{rank: int32(i), token: made})
	}
	m.ignoreMerges, m.byteFallback, m.fuseUnknown, m.unknown = j.IgnoreMerges, j.ByteFallback, j.FuseUnknown, -1
	if j.Unknown != nil && *j.Unknown != "" {
		id, ok := m.tokens[*j.Unknown]
		if !ok {
			return fmt.Errorf("unk_token %q is not in the vocabulary", *j.Unknown)
		}
		m.unknown = id
	}
	for b := range 256 {
		m.bytes[b], m.fallback[b] = -1, -1
		if id, ok := m.tokens[string(byteRunes[b])]; ok {
			m.bytes[b] = id
		}
		if id, ok := m.tokens[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.fallback[b] = id
		}
	}
	return nil
}

// setText records the token of an id.
func (t *Tokenizer) setText(token string, id int32) error {
	// Every id has an entry in the file, so a far larger one is a mistake; it must not ask for memory.
	if limit := len(t.source) + 1<<16; id < 0 || int(id) >= limit {
		return fmt.Errorf("token %q: id %d is not between 0 and %d", token, id, limit-1)
	}
	if int(id) >= len(t.texts) {
		t.texts = slices.Grow(t.texts, int(id)+1-len(t.texts))[:id+1]
	}
	if was := t.texts[id]; was != "" && was != token {
		return fmt.Errorf("id %d is both %q and %q", id, was, token)
	}
	t.texts[id] = token
	t.size = max(t.size, int(id)+1)
	return nil
}

// readAdded takes the added tokens in the order of the file. The library numbers them itself and only warns where the file
// says otherwise; here that is refused, for the model was trained with one of the two.
func (t *Tokenizer) readAdded(list []addedJSON) error {
	t.addedID, t.special = map[string]int32{}, map[int32]bool{}
	var raw, normalized []addedToken
	next := int32(len(t.model.tokens)) // the id of an added token that the vocabulary does not have
	for i, a := range list {
		if a.Content == "" {
			return fmt.Errorf("[%d]: empty content", i)
		}
		want, known := t.ID(a.Content)
		if !known {
			want = next
		}
		if a.ID != want {
			return fmt.Errorf("[%d]: %q has id %d, but its place in the vocabulary is %d", i, a.Content, a.ID, want)
		}
		next = max(next, want+1)
		t.addedID[a.Content] = a.ID
		if a.Special {
			t.special[a.ID] = true
		}
		token := addedToken{content: a.Content, id: a.ID, special: a.Special, singleWord: a.SingleWord, left: a.LStrip, right: a.RStrip}
		if a.Normalized && t.normalizer != nil {
			token.content = t.normalizer(token.content) // also when it is decoded
		}
		if !known {
			if err := t.setText(token.content, a.ID); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		if a.Normalized {
			normalized = append(normalized, token)
		} else {
			raw = append(raw, token)
		}
	}
	t.added, t.normalized = newMatcher(raw), newMatcher(normalized)
	return nil
}

func (t *Tokenizer) readNormalizer(b json.RawMessage) error {
	var j normalizerJSON
	ok, err := read(b, &j)
	if err != nil || !ok {
		return err
	}
	t.normalizer, err = newNormalizer(&j)
	return err
}

func (t *Tokenizer) readDecoder(b json.RawMessage) error {
	var j decoderJSON
	ok, err := read(b, &j)
	if err != nil || !ok {
		return err
	}
	t.decoders, err = newDecoders(&j)
	return err
}

func (t *Tokenizer) readPreTokenizer(b json.RawMessage) error {
	var j preTokenizerJSON
	if ok, err := read(b, &j); err != nil || !ok {
		return err
	}
	return t.addStages(&j)
}

// cutWords cuts a text without pre-tokenizer before each of its words, as far as that changes nothing, for short words are
// merged faster than one long one, and are found in the cache.
func (t *Tokenizer) cutWords() error {
	if len(t.stages) == 0 && !t.model.byteLevel && t.model.words {
		t.stages = []stage{{scan: scanMetaspace}}
	}
	return nil
}

func (t *Tokenizer) addStages(j *preTokenizerJSON) error {
	if t.model.byteLevel {
		return fmt.Errorf("%s after ByteLevel is not supported", j.Type)
	}
	switch j.Type {
	case "Sequence":
		for i := range j.PreTokenizers {
			if err := t.addStages(&j.PreTokenizers[i]); err != nil {
				return fmt.Errorf("Sequence[%d]: %w", i, err)
			}
		}
	case "ByteLevel":
		t.model.byteLevel = true
		if j.PrefixSpace {
			t.stages = append(t.stages, stage{rewrite: prefixSpace})
		}
		if j.UseRegex == nil || *j.UseRegex {
			t.stages = append(t.stages, stage{scan: scanGPT2})
		}
	case "Digits":
		scan := scanDigits
		if j.Individual {
			scan = scanDigit
		}
		t.stages = append(t.stages, stage{scan: scan})
	case "Split":
		pattern, literal, err := readPattern(j.Pattern)
		if err != nil {
			return fmt.Errorf("Split: %w", err)
		}
		st, err := newSplit(pattern, literal, j.Behavior, j.Invert)
		if err != nil {
			return fmt.Errorf("Split: %w", err)
		}
		t.stages = append(t.stages, st)
	case "Metaspace":
		stages, err := newMetaspace(j.Replacement, j.PrependScheme, j.Split == nil || *j.Split)
		if err != nil {
			return fmt.Errorf("Metaspace: %w", err)
		}
		t.stages = append(t.stages, stages...)
	default:
		return fmt.Errorf("unknown type %q", j.Type)
	}
	return nil
}
