package tokenizer

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A normalizer rewrites a piece of text before it is cut into words. It is not called with "".
type normalizer func(string) string

var normalizerKinds = kinds{
	"NFC": "", "NFD": "", "NFKC": "", "NFKD": "", "Prepend": "prepend!", "Replace": "pattern! content!", "Sequence": "normalizers!",
}

// normalizer reads a normalizer. It is nil if it changes nothing.
func (r *reader) normalizer() normalizer {
	var text, pattern string
	var all []normalizer
	switch r.component(normalizerKinds, func(_, key string) {
		switch key {
		case "prepend", "content":
			text = r.string()
		case "pattern":
			pattern = r.literal()
		case "normalizers":
			r.array(func(int) {
				if n := r.normalizer(); n != nil {
					all = append(all, n)
				}
			})
		}
	}) {
	case "NFC":
		return unicodeForm(norm.NFC)
	case "NFD":
		return unicodeForm(norm.NFD)
	case "NFKC":
		return unicodeForm(norm.NFKC)
	case "NFKD":
		return unicodeForm(norm.NFKD)
	case "Prepend":
		return func(s string) string { return text + s }
	case "Replace":
		return func(s string) string { return strings.ReplaceAll(s, pattern, text) }
	}
	if len(all) == 0 {
		return nil
	}
	return func(s string) string {
		for _, n := range all {
			if s != "" {
				s = n(s)
			}
		}
		return s
	}
}

// literal reads the pattern of a Replace.
func (r *reader) literal() string {
	pattern, literal := r.pattern()
	if !literal {
		r.fail("a Replace by a regular expression is not supported, only by a String")
	}
	return pattern
}

func unicodeForm(f norm.Form) normalizer {
	return func(s string) string {
		if ascii(s) == len(s) || f.QuickSpanString(s) == len(s) { // the forms differ beyond ASCII only
			return s
		}
		out := f.String(s)
		// Behind 30 marks x/text puts a joiner that the forms themselves do not have. Normalising leaves joiners as they are, so
		// a count tells.
		const joiner = "\u034F"
		if strings.Count(out, joiner) != strings.Count(s, joiner) {
			return normalizeRunes(f, s)
		}
		return out
	}
}

// normalizeRunes is Unicode's definition of the four forms, character by character: slow, and without a limit on marks.
func normalizeRunes(f norm.Form, s string) string {
	type char struct {
		r     rune
		class uint8 // canonical combining class: 0 for what begins anew
	}
	decompose, compose := f, false
	switch f {
	case norm.NFC:
		decompose, compose = norm.NFD, true
	case norm.NFKC:
		decompose, compose = norm.NFKD, true
	default: // the other two do not compose
	}
	var chars []char
	for _, r := range s {
		parts := []rune{r}
		if d := decompose.PropertiesString(string(r)).Decomposition(); d != nil {
			parts = []rune(string(d))
		} else if r >= 0xAC00 && r < 0xD7A4 { // Hangul is decomposed by rule
			parts = []rune(norm.NFD.String(string(r)))
		}
		for _, p := range parts {
			chars = append(chars, char{p, norm.NFD.PropertiesString(string(p)).CCC()})
		}
	}
	for i := 0; i < len(chars); i++ { // marks behind one character stand in the order of their classes
		j := i
		for j < len(chars) && chars[j].class != 0 {
			j++
		}
		slices.SortStableFunc(chars[i:j], func(a, b char) int { return int(a.class) - int(b.class) })
		i = max(i, j)
	}
	if compose {
		out, starter := chars[:0], -1
		for _, c := range chars {
			if starter >= 0 {
				last := out[len(out)-1]
				blocked := len(out)-1 > starter && last.class >= c.class
				if r, ok := composePair(out[starter].r, c.r); ok && !blocked {
					out[starter].r = r
					continue
				}
			}
			if c.class == 0 {
				starter = len(out)
			}
			out = append(out, c)
		}
		chars = out
	}
	var b strings.Builder
	for _, c := range chars {
		b.WriteRune(c.r)
	}
	return b.String()
}

// composePair returns the one character that two make, if they do.
func composePair(a, b rune) (rune, bool) {
	pair := string(a) + string(b)
	got := []rune(norm.NFC.String(pair))
	return got[0], len(got) == 1 && string(got) != pair
}

// ascii returns the length of the ASCII text that s begins with.
func ascii(s string) int {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return i
		}
	}
	return len(s)
}
