// Package tokenizer turns text into the numbers that language models read, and back.
//
// It reads and writes Hugging Face's tokenizer.json and gives, id for id, what their tokenizers library gives; Train makes a
// new byte-level vocabulary as their trainer does. A text goes through these stages, each optional:
//
//	added tokens   found in the raw text and set apart (special ones only where the caller asks for them)
//	normalizer     NFC and the like, between added tokens
//	pre-tokenizer  cuts the text into words; the published patterns by hand-written scanners, others by regexp2
//	model          byte-pair encoding of each word
//	post-processor a template around the ids, such as the token that begins a text
//
// What a file asks for and this package does not know is refused by name when the file is parsed. Nothing is approximated.
package tokenizer

import (
	"sync"
	"unicode/utf8"
)

// A Tokenizer encodes and decodes. It never changes once made, and any number of goroutines may use it.
type Tokenizer struct {
	source []byte // tokenizer.json
	size   int

	added      matcher // added tokens that are looked for in the raw text
	normalized matcher // and those looked for after normalisation
	addedID    map[string]int32
	addedText  map[int32]addedText
	normalizer normalizer
	stages     []stage
	model      model
	template   []templatePiece
	decoders   []decoder

	encoders sync.Pool
}

// Encode returns the tokens of text, in which no special token is recognised: the text of <|eot_id|> is text like any other.
// It is for content that nobody vouches for. Bytes that are not UTF-8 are encoded as the bytes they are.
func (t *Tokenizer) Encode(text string) []int32 { return t.AppendEncode(nil, text) }

// AppendEncode appends to dst what Encode returns. With room in dst it allocates nothing.
func (t *Tokenizer) AppendEncode(dst []int32, text string) []int32 {
	e := t.encoder()
	defer t.encoders.Put(e)
	return e.text(dst, text, false)
}

// TryEncode returns what Encode does, and a *PatternError where Encode panics with it: if a regular expression of a file that
// nobody vouches for takes too long. Tokenizers of the known families cannot fail.
func (t *Tokenizer) TryEncode(text string) (ids []int32, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *PatternError:
			ids, err = nil, e
		default:
			panic(e)
		}
	}()
	return t.Encode(text), nil
}

// EncodeSpecial returns the tokens of text with its special tokens recognised.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	e := t.encoder()
	defer t.encoders.Put(e)
	return e.text(nil, text, true)
}

// EncodeFull returns what EncodeSpecial does, with the tokens around it that the post-processor's template adds.
func (t *Tokenizer) EncodeFull(text string) []int32 { return t.Frame(t.EncodeSpecial(text)) }

// Lead returns the tokens that the post-processor's template puts before a text, such as the one that begins a document.
func (t *Tokenizer) Lead() []int32 {
	var out []int32
	for _, p := range t.template {
		if p.text {
			break
		}
		out = append(out, p.ids...)
	}
	return out
}

// Frame returns the tokens of a text with those around them that the post-processor's template adds.
func (t *Tokenizer) Frame(ids []int32) []int32 {
	if t.template == nil {
		return ids
	}
	var out []int32
	for _, p := range t.template {
		if p.text {
			out = append(out, ids...)
		}
		out = append(out, p.ids...)
	}
	return out
}

// Token returns the text of a token as the vocabulary writes it: in the byte alphabet for byte-level tokenizers.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if a, ok := t.addedText[id]; ok {
		return a.text, true
	}
	return t.model.vocab.text(id)
}

// ID returns the token that the vocabulary writes so.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.addedID[token]; ok {
		return id, true
	}
	id := t.model.vocab.idOf(token)
	return id, id >= 0
}

// Special reports whether id is a special token: one that Encode never returns for a text that spells it, and that Decode can
// leave out.
func (t *Tokenizer) Special(id int32) bool { return t.addedText[id].special }

// VocabSize returns one past the largest id.
func (t *Tokenizer) VocabSize() int { return t.size }

// JSON returns the tokenizer.json that the tokenizer was made from. The caller must not change it.
func (t *Tokenizer) JSON() []byte { return t.source }

func (t *Tokenizer) encoder() *encoder {
	if e, ok := t.encoders.Get().(*encoder); ok {
		return e
	}
	return &encoder{t: t, classes: classes(), cache: make([]cached, 1<<cacheBits)}
}

// An encoder is what one call of Encode works with: scratch memory, and a cache of words.
type encoder struct {
	t       *Tokenizer
	classes *classTable
	cache   []cached
	syms    []int32
	next    []int32
	prev    []int32
	heap    []uint64
	buf     []byte
}

// text appends the tokens of a whole text.
func (e *encoder) text(dst []int32, text string, special bool) []int32 {
	start := true
	e.t.added.split(e.classes, text, special, func(part string, id int32) {
		if id >= 0 {
			dst, start = append(dst, id), false
			return
		}
		if e.t.normalizer != nil {
			part = e.t.normalizer(part)
		}
		e.t.normalized.split(e.classes, part, special, func(part string, id int32) {
			if id >= 0 {
				dst = append(dst, id)
			} else {
				dst = e.stage(dst, part, 0, start)
			}
			start = false
		})
		start = false
	})
	return dst
}

// word appends the tokens of a word, looking into the cache first.
func (e *encoder) word(dst []int32, s string) []int32 {
	if len(s) > cacheKey || len(s) == 0 {
		return e.encodeWord(dst, s)
	}
	lo, hi := packKey(s)
	c := &e.cache[cacheSlot(lo, hi, len(s))]
	if c.lo == lo && c.hi == hi && int(c.size) == len(s) {
		return append(dst, c.ids[:c.count]...)
	}
	start := len(dst)
	dst = e.encodeWord(dst, s)
	if ids := dst[start:]; len(ids) <= len(c.ids) {
		c.lo, c.hi, c.size, c.count = lo, hi, uint8(len(s)), uint8(len(ids))
		copy(c.ids[:], ids)
	}
	return dst
}

// encodeWord appends the tokens of a word by the model.
func (e *encoder) encodeWord(dst []int32, s string) []int32 {
	m := &e.t.model
	if m.ignoreMerges {
		var id int32
		if m.byteLevel {
			e.buf = appendAlphabet(e.buf[:0], s)
			id = m.vocab.id(e.buf)
		} else {
			id = m.vocab.idOf(s)
		}
		if id >= 0 {
			return append(dst, id)
		}
	}
	e.syms = e.syms[:0]
	if m.byteLevel {
		for i := range len(s) {
			if id := m.bytes[s[i]]; id >= 0 {
				e.syms = append(e.syms, id)
			}
		}
	} else {
		e.syms = m.characters(e.syms, s)
	}
	return e.merge(dst, e.syms)
}

// characters appends the tokens of the characters of s.
func (m *model) characters(dst []int32, s string) []int32 {
	unknown := false // an unknown token is due
	for len(s) > 0 {
		_, n := utf8.DecodeRuneInString(s)
		c := s[:n]
		s = s[n:]
		if id := m.vocab.idOf(c); id >= 0 {
			if unknown {
				dst, unknown = append(dst, m.unknown), false
			}
			dst = append(dst, id)
			continue
		}
		if m.byteFallback && m.hasBytes(c) {
			// The library does not put a due unknown token before the bytes; it comes after them.
			for i := range n {
				dst = append(dst, m.fallback[c[i]])
			}
			continue
		}
		if m.unknown >= 0 {
			if unknown && !m.fuseUnknown {
				dst = append(dst, m.unknown)
			}
			unknown = true
		}
	}
	if unknown {
		dst = append(dst, m.unknown)
	}
	return dst
}

func (m *model) hasBytes(c string) bool {
	for i := range len(c) {
		if m.fallback[c[i]] < 0 {
			return false
		}
	}
	return true
}
