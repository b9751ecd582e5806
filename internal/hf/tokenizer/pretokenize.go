package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// A stage of the pre-tokenizer cuts or rewrites each piece that the stage before it made. One of its fields is set.
type stage struct {
	scan    scanner
	cut     func(s string) []string
	rewrite func(s string, start bool) string // start: the piece begins the text
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

// patternTimeout bounds one piece of text. It is far above what a sane pattern needs for megabytes, for a slow machine must
// not fail where a fast one does not.
var patternTimeout = time.Minute // a variable for tests

// newSplit returns the stage of a Split pre-tokenizer.
func newSplit(pattern string, literal bool, behaviour string, invert bool) (stage, error) {
	if scan := scanners[pattern]; scan != nil && !literal && !invert && behaviour == "Isolated" {
		return stage{scan: scan}, nil
	}
	// The pieces of a scanner cover the text, so matches that are removed and inverted are the matches that are isolated.
	if scan := scanners[pattern]; scan != nil && !literal && invert && behaviour == "Removed" {
		return stage{scan: scan}, nil
	}
	join, ok := behaviours[behaviour]
	if !ok {
		return stage{}, fmt.Errorf("unknown behavior %q", behaviour)
	}
	if literal {
		if pattern == "" {
			return stage{}, fmt.Errorf("empty pattern")
		}
		return stage{cut: func(s string) []string { return join(s, literalSpans(s, pattern), invert) }}, nil
	}
	re, err := compile(pattern)
	if err != nil {
		return stage{}, err
	}
	return stage{cut: func(s string) []string { return join(s, matchSpans(re, pattern, s), invert) }}, nil
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

// matchSpans panics with a *PatternError if the pattern takes too long: see TryEncode.
func matchSpans(re *regexp2.Regexp, pattern, s string) []span {
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
	found, err := re.FindAllStringIndex(in, -1)
	if err != nil {
		panic(&PatternError{Pattern: pattern, Bytes: len(s), Err: err})
	}
	var spans []span
	for _, f := range found {
		spans = cover(spans, offset(f[0]), offset(f[1]))
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
