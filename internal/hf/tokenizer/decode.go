package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decode returns the text of ids. With skipSpecial it leaves special tokens out. Ids that no token has are left out too, and
// bytes that do not make UTF-8 become U+FFFD, as in the library.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if skipSpecial && t.Special(id) {
			continue
		}
		if s, ok := t.Token(id); ok {
			tokens = append(tokens, s)
		}
	}
	if t.decoders == nil {
		return strings.Join(tokens, " ")
	}
	for _, d := range t.decoders {
		tokens = d(tokens)
	}
	return strings.Join(tokens, "")
}

// A decoder rewrites the list of tokens; what is left in the end is joined.
type decoder func([]string) []string

var decoderKinds = kinds{
	"ByteLevel":    "add_prefix_space trim_offsets use_regex", // for encoding alone
	"ByteFallback": "",
	"Fuse":         "",
	"Replace":      "pattern! content!",
	"Strip":        "content! start! stop!",
	"Metaspace":    "replacement! add_prefix_space prepend_scheme split",
	"Sequence":     "decoders!",
}

// decoders reads a decoder; a sequence is several.
func (r *reader) decoders() []decoder {
	all := []decoder{}
	var text, pattern string
	var start, stop int32
	scheme := "always"
	switch r.component(decoderKinds, func(_, key string) {
		switch key {
		case "pattern":
			pattern = r.literal()
		case "content", "replacement":
			text = r.string()
		case "start":
			start = r.id()
		case "stop":
			stop = r.id()
		case "prepend_scheme":
			scheme = r.string()
		case "decoders":
			r.array(func(int) { all = append(all, r.decoders()...) })
		default:
			r.bool()
		}
	}) {
	case "ByteLevel":
		return []decoder{decodeByteLevel}
	case "ByteFallback":
		return []decoder{decodeByteFallback}
	case "Fuse":
		return []decoder{func(tokens []string) []string { return []string{strings.Join(tokens, "")} }}
	case "Replace":
		return []decoder{each(func(_ int, s string) string { return strings.ReplaceAll(s, pattern, text) })}
	case "Strip":
		if utf8.RuneCountInString(text) != 1 {
			r.fail("Strip: content %q is not one character", text)
		}
		return []decoder{each(func(_ int, s string) string { return strip(s, text, int(start), int(stop)) })}
	case "Metaspace":
		return []decoder{each(func(i int, s string) string {
			if i == 0 && scheme != "never" {
				s = strings.TrimPrefix(s, text)
			}
			return strings.ReplaceAll(s, text, " ")
		})}
	}
	return all
}

// strip takes up to start texts from the beginning of s and up to stop from its end.
func strip(s, text string, start, stop int) string {
	for ; start > 0 && strings.HasPrefix(s, text); start-- {
		s = s[len(text):]
	}
	for ; stop > 0 && strings.HasSuffix(s, text); stop-- {
		s = s[:len(s)-len(text)]
	}
	return s
}

func each(f func(i int, s string) string) decoder {
	return func(tokens []string) []string {
		for i, s := range tokens {
			tokens[i] = f(i, s)
		}
		return tokens
	}
}

func decodeByteLevel(tokens []string) []string {
	var b []byte
	for _, s := range tokens {
		b = appendBytes(b, s)
	}
	return []string{lossy(b)}
}

// decodeByteFallback turns runs of tokens like <0xE2> into the text of their bytes, or into a U+FFFD a byte where they are
// none.
func decodeByteFallback(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		if utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, s := range tokens {
		if b, ok := fallbackByte(s); ok {
			run = append(run, b)
			continue
		}
		if len(run) > 0 {
			flush()
		}
		out = append(out, s)
	}
	if len(run) > 0 {
		flush()
	}
	return out
}

// fallbackByte reads a token like <0x0A>.
func fallbackByte(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	hi, lo := strings.IndexByte(hexDigits, upper(s[3])), strings.IndexByte(hexDigits, upper(s[4]))
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}

const hexDigits = "0123456789ABCDEF"

func upper(b byte) byte {
	if 'a' <= b && b <= 'z' {
		return b - ('a' - 'A')
	}
	return b
}

// lossy returns b with each maximal part of a broken character as one U+FFFD: the practice that Unicode recommends, and
// Rust's. Go's own conversions make one of each byte, or one of each run.
func lossy(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			out.Write(b[:n])
			b = b[n:]
			continue
		}
		out.WriteString("\uFFFD")
		b = b[brokenPart(b):]
	}
	return out.String()
}

// brokenPart returns how many bytes at the start of b, which is not a character, begin one as far as they go.
func brokenPart(b []byte) int {
	lo, hi := byte(0x80), byte(0xBF) // what the second byte may be
	var size int
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		size = 2
	case c >= 0xE0 && c <= 0xEF:
		size = 3
		switch c {
		case 0xE0:
			lo = 0xA0
		case 0xED:
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		size = 4
		switch c {
		case 0xF0:
			lo = 0x90
		case 0xF4:
			hi = 0x8F
		}
	default:
		return 1
	}
	n := 1
	for n < size && n < len(b) && b[n] >= lo && b[n] <= hi {
		lo, hi = 0x80, 0xBF
		n++
	}
	return n
}
