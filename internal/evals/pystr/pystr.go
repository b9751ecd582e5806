// Package pystr has the string operations of Python that differ from Go's.
//
// The published scorers are Python programs, and their verdicts turn on what Python calls a space, a word, or lower case.
// The functions here follow CPython 3.11 and, where the name says so, the regex module that NLTK runs on; they differ from
// both only in characters that were assigned after the Unicode version of Go's tables. A byte that is not valid UTF-8
// counts as U+FFFD.
package pystr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SpaceClass is Python's \s, for use inside a bracketed class of Go's regexp.
const SpaceClass = `\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`

// IsSpace is str.isspace of one character: Unicode's White_Space and the four information separators.
func IsSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// Strip is str.strip().
func Strip(s string) string { return strings.TrimFunc(s, IsSpace) }

// Split is str.split().
func Split(s string) []string { return strings.FieldsFunc(s, IsSpace) }

// IsUpperRune is str.isupper of one character.
func IsUpperRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'A' && r <= 'Z'
	}
	return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r)
}

// IsLowerRune is str.islower of one character.
func IsLowerRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z'
	}
	return unicode.IsLower(r) || unicode.Is(unicode.Other_Lowercase, r)
}

// IsUpper is str.isupper: there is a cased character, and none is lower or title case.
func IsUpper(s string) bool {
	cased := false
	for _, r := range s {
		switch {
		case IsUpperRune(r):
			cased = true
		case IsLowerRune(r) || unicode.IsTitle(r):
			return false
		}
	}
	return cased
}

// IsLower is str.islower: there is a cased character, and none is upper or title case.
func IsLower(s string) bool {
	cased := false
	for _, r := range s {
		switch {
		case IsLowerRune(r):
			cased = true
		case IsUpperRune(r) || unicode.IsTitle(r):
			return false
		}
	}
	return cased
}

// Lower is str.lower: Unicode's full mapping, in which İ becomes two characters and Σ at the end of a word becomes ς.
func Lower(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	cased := false // whether the last character that is not case-ignorable was cased
	for i, r := range s {
		switch r {
		case 'İ':
			b.WriteString("i\u0307")
		case 'Σ':
			if cased && !casedFollows(s[i+len("Σ"):]) {
				b.WriteRune('ς')
			} else {
				b.WriteRune('σ')
			}
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		if !ignorable(r) {
			cased = isCased(r)
		}
	}
	return b.String()
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isCased(r rune) bool { return IsUpperRune(r) || IsLowerRune(r) || unicode.IsTitle(r) }

// casedFollows reports whether the first character of s that is not case-ignorable is cased.
func casedFollows(s string) bool {
	for _, r := range s {
		if !ignorable(r) {
			return isCased(r)
		}
	}
	return false
}

// ignorable is Unicode's Case_Ignorable: what may stand inside a word without ending it for the rule of Σ.
func ignorable(r rune) bool {
	switch r {
	case '\'', '.', ':', '^', '`', '\u00a8', '\u00ad', '\u00af', '\u00b4', '\u00b7', '\u00b8', '\u2018', '\u2019', '\u2024', '\u2027':
		return true
	}
	return r >= utf8.RuneSelf && unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk)
}

// Fold maps the characters that the re module's IGNORECASE holds equal to one of them.
func Fold(r rune) rune {
	if r < utf8.RuneSelf {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	if r == 'ı' || r == 'İ' {
		return 'I'
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// IsWord is \w of the re module: alphanumeric by any numeric property, or an underscore.
func IsWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return unicode.In(r, unicode.L, unicode.Nd, unicode.Nl, unicode.No)
}

// IsRegexWord is \w of the regex module: alphabetic, a mark, a decimal digit, a connector or a joiner.
func IsRegexWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r == '_' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return r == '\u200c' || r == '\u200d' ||
		unicode.In(r, unicode.L, unicode.Nl, unicode.M, unicode.Nd, unicode.Pc,
			unicode.Other_Alphabetic, unicode.Other_Lowercase, unicode.Other_Uppercase)
}
