package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// A stage of the pre-tokenizer cuts or rewrites each piece that the stage before it made. One of its fields is set.
type stage struct {
	scan    scanner
	cut     func(s string) []string
	rewrite func(s string, start bool) string // start: the piece begins the text
	pattern *pattern                          // what cut works by, where that is a stranger's regular expression
}

// stage appends the tokens of a piece that has passed the first k stages.
func (e *encoder) stage(dst []int32, s string, k int, start bool) []int32 {
	if s == "" {
		return dst
	}
	if k == len(e.t.stages) {
		return e.word(dst, s)
	}
	st := &e.t.stages[k]
	switch last := k+1 == len(e.t.stages); {
	case st.rewrite != nil:
		return e.stage(dst, st.rewrite(s, start), k+1, start)
	case st.cut != nil:
		for i, part := range st.cut(s) {
			dst = e.stage(dst, part, k+1, start && i == 0)
		}
	case last:
		for c, scan := e.classes, st.scan; len(s) > 0; {
			n := scan(c, s)
			dst = e.word(dst, s[:n])
			s = s[n:]
		}
	default:
		for len(s) > 0 {
			n := st.scan(e.classes, s)
			dst = e.stage(dst, s[:n], k+1, start)
			s, start = s[n:], false
		}
	}
	return dst
}

// A PatternError says that a pre-tokenizer's regular expression took too long on a text. Only patterns without a scanner of
// their own can, those of the known model families have one.
type PatternError struct {
	Pattern string
	Bytes   int // length of the text
	Err     error
}

// Error names the pattern.
func (e *PatternError) Error() string {
	return fmt.Sprintf("splitting %d bytes by the pattern %q: %v", e.Bytes, e.Pattern, e.Err)
}

// Unwrap returns the regular expression engine's error.
func (e *PatternError) Unwrap() error { return e.Err }

// A pattern is a regular expression of a file that nobody vouches for.
type pattern struct {
	re     *regexp2.Regexp
	text   string
	budget *budget // shared by the patterns of a file
}

// A budget is the time that the patterns of one file have taken, and the bytes that they were given. They may take
// patternTimeout, and patternShare for every byte: far above what a sane pattern needs, for a slow machine must not fail where
// a fast one does not, and in all of a file's texts together, for a thousand short texts can each take long.
type budget struct{ spent, bytes atomic.Int64 }

const patternShare = 4 * time.Microsecond

var patternTimeout = 3 * time.Second // a variable for tests

var errBudget = errors.New("the patterns of this tokenizer take too long: they are not those of a known model, and may be made to never end")

// leftAfter reports whether there is time once what is being spent now is counted too.
func (b *budget) leftAfter(more time.Duration) bool {
	return b.spent.Load()+int64(more) < int64(patternTimeout)+b.bytes.Load()*int64(patternShare)
}

// newSplit returns the stage of a Split pre-tokenizer.
func newSplit(expr string, literal bool, behaviour string, invert bool) (stage, error) {
	if scan := scanners[expr]; scan != nil && !literal && !invert && behaviour == "Isolated" {
		return stage{scan: scan}, nil
	}
	// The pieces of a scanner cover the text, so matches that are removed and inverted are the matches that are isolated.
	if scan := scanners[expr]; scan != nil && !literal && invert && behaviour == "Removed" {
		return stage{scan: scan}, nil
	}
	join, ok := behaviours[behaviour]
	if !ok {
		return stage{}, fmt.Errorf("unknown behavior %q", behaviour)
	}
	if literal {
		if expr == "" {
			return stage{}, fmt.Errorf("empty pattern")
		}
		return stage{cut: func(s string) []string { return join(s, literalSpans(s, expr), invert) }}, nil
	}
	re, err := compile(expr)
	if err != nil {
		return stage{}, err
	}
	p := &pattern{re, expr, new(budget)}
	return stage{pattern: p, cut: func(s string) []string { return join(s, p.spans(s), invert) }}, nil
}

// compile reads a regular expression of a file that nobody vouches for.
func compile(pattern string) (re *regexp2.Regexp, err error) {
	const longest = 64 << 10
	if len(pattern) > longest {
		return nil, fmt.Errorf("pattern of %d bytes, at most %d are read", len(pattern), longest)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("pattern %q: %v", pattern, r)
		}
	}()
	re, err = regexp2.Compile(pattern, regexp2.Unicode)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re.MatchTimeout = patternTimeout
	return re, nil
}

// A span of a text, and whether the pattern matched it.
type span struct {
	start, end int
	match      bool
}

// cover adds to the spans of matches those between them, so that all of the text is there.
func cover(spans []span, start, end int) []span {
	from := 0
	if n := len(spans); n > 0 {
		from = spans[n-1].end
	}
	if from < start {
		spans = append(spans, span{from, start, false})
	}
	if start < end {
		spans = append(spans, span{start, end, true})
	}
	return spans
}

func literalSpans(s, pattern string) []span {
	var spans []span
	for from := 0; ; {
		i := strings.Index(s[from:], pattern)
		if i < 0 {
			return cover(spans, len(s), len(s))
		}
		spans = cover(spans, from+i, from+i+len(pattern))
		from += i + len(pattern)
	}
}

// spans panics with a *PatternError if the pattern takes too long: see TryEncode.
func (p *pattern) spans(s string) []span {
	p.budget.bytes.Add(int64(len(s)))
	begun := time.Now()                                             //nolint:forbidigo // bounds what a stranger's pattern may take; beyond it there is no result
	defer func() { p.budget.spent.Add(int64(time.Since(begun))) }() //nolint:forbidigo // likewise
	fail := func(err error) { panic(&PatternError{Pattern: p.text, Bytes: len(s), Err: err}) }
	if !p.budget.leftAfter(0) {
		fail(errBudget)
	}
	in, at := s, []int(nil)
	if c := classes(); !plain(c, s) {
		in, at = substitute(c, s)
	}
	offset := func(i int) int {
		if at == nil {
			return i
		}
		return at[i]
	}
	runes := []rune(in)
	bytes := make([]int, 1, len(runes)+1) // where in the text each rune begins
	for i := range in {
		if i > 0 {
			bytes = append(bytes, i)
		}
	}
	bytes = append(bytes, len(in))
	var spans []span
	end, late := -1, false
	err := p.re.FindRunesMatches(runes, 0, func(m regexp2.MatchView) bool {
		at, n, _ := m.GroupRange(0)
		if n > 0 || at != end { // an empty match behind another is none
			spans, end = cover(spans, offset(bytes[at]), offset(bytes[at+n])), at+n
		}
		late = !p.budget.leftAfter(time.Since(begun)) //nolint:forbidigo // likewise
		return !late
	})
	if late {
		err = errBudget
	}
	if err != nil {
		fail(err)
	}
	return cover(spans, len(s), len(s))
}

// plain reports that the engine's and the library's view of s are the same: it is UTF-8 and has no character that is too young
// for Go's tables.
func plain(c *classTable, s string) bool {
	for i, r := range s {
		if r >= utf8.RuneSelf && (c.of(r)&newer != 0 || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD")) {
			return false
		}
	}
	return true
}

// substitute returns s as the engine can read it, and where in s each of its bytes stands.
func substitute(c *classTable, s string) (string, []int) {
	var b strings.Builder
	var at []int
	for i, r := range s {
		if c.of(r)&newer != 0 {
			r = standIn(r)
		}
		for range utf8.RuneLen(r) {
			at = append(at, i)
		}
		b.WriteRune(r)
	}
	return b.String(), append(at, len(s))
}

// behaviours say what becomes of the matches of a Split.
var behaviours = map[string]func(s string, spans []span, invert bool) []string{
	"Removed": func(s string, spans []span, invert bool) []string {
		var out []string
		for _, p := range spans {
			if p.match == invert {
				out = append(out, s[p.start:p.end])
			}
		}
		return out
	},
	"Isolated": func(s string, spans []span, _ bool) []string {
		return joinSpans(s, spans, func(_, _ bool) bool { return false })
	},
	"Contiguous": func(s string, spans []span, _ bool) []string {
		return joinSpans(s, spans, func(before, match bool) bool { return before == match })
	},
	"MergedWithPrevious": func(s string, spans []span, invert bool) []string {
		return joinSpans(s, spans, func(before, match bool) bool { return match != invert && before == invert })
	},
	"MergedWithNext": func(s string, spans []span, invert bool) []string {
		return joinSpans(s, spans, func(before, match bool) bool { return before != invert && match == invert })
	},
}

// joinSpans cuts s into its spans, but leaves those together with the span before them of which join says so, given whether
// the two are matches.
func joinSpans(s string, spans []span, join func(before, match bool) bool) []string {
	var out []string
	start := 0
	for i, p := range spans {
		if i > 0 && !join(spans[i-1].match, p.match) {
			out = append(out, s[start:p.start])
			start = p.start
		}
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

// prefixSpace is ByteLevel's add_prefix_space.
func prefixSpace(s string, _ bool) string {
	if s[0] == ' ' {
		return s
	}
	return " " + s
}

// newMetaspace returns the stages of a Metaspace pre-tokenizer, which writes spaces as a visible character.
func newMetaspace(replacement, scheme string, split bool) ([]stage, error) {
	switch scheme {
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("unknown prepend_scheme %q", scheme)
	}
	if utf8.RuneCountInString(replacement) != 1 {
		return nil, fmt.Errorf("replacement %q is not one character", replacement)
	}
	stages := []stage{{rewrite: func(s string, start bool) string {
		s = strings.ReplaceAll(s, " ", replacement)
		if (scheme == "always" || scheme == "first" && start) && !strings.HasPrefix(s, replacement) {
			s = replacement + s
		}
		return s
	}}}
	if split {
		cut, err := newSplit(replacement, true, "MergedWithNext", false)
		if err != nil {
			return nil, err
		}
		stages = append(stages, cut)
	}
	return stages, nil
}
