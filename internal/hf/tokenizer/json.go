package tokenizer

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A reader walks through a JSON document without building it: a vocabulary of a hundred thousand tokens must not cost many
// times its size, least of all in a file that nobody vouches for. The first error stays; what is read after it is zero.
type reader struct {
	b     []byte // valid UTF-8
	i     int
	depth int
	err   error
	buf   []byte // of the last string that had escapes

	components int
}

// deepest is how far components may be nested. Real files need about five.
const deepest = 64

// mostComponents is how many there may be. Real files have about ten.
const mostComponents = 1000

// fail records an error with its position.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		line := bytes.Count(r.b[:r.i], []byte("\n")) + 1
		column := utf8.RuneCount(r.b[bytes.LastIndexByte(r.b[:r.i], '\n')+1:r.i]) + 1
		r.err = fmt.Errorf("%d:%d: %w", line, column, fmt.Errorf(format, args...))
	}
}

func (r *reader) spaces() {
	for r.i < len(r.b) && (r.b[r.i] == ' ' || r.b[r.i] == '\n' || r.b[r.i] == '\t' || r.b[r.i] == '\r') {
		r.i++
	}
}

// peek returns the next byte that is no space, and 0 at the end and after an error.
func (r *reader) peek() byte {
	r.spaces()
	if r.err != nil || r.i == len(r.b) {
		return 0
	}
	return r.b[r.i]
}

// accept takes c if it is next.
func (r *reader) accept(c byte) bool {
	if r.peek() != c {
		return false
	}
	r.i++
	return true
}

func (r *reader) expect(c byte) {
	if !r.accept(c) {
		r.unexpected(string(rune(c)))
	}
}

func (r *reader) unexpected(want string) {
	switch r.spaces(); {
	case r.err != nil:
	case r.i == len(r.b):
		r.fail("the file ends where %s should be", want)
	default:
		c, _ := utf8.DecodeRune(r.b[r.i:])
		r.fail("%q where %s should be", c, want)
	}
}

// object calls member for each member, which reads its value. The key is valid until the next string is read.
func (r *reader) object(member func(key []byte)) {
	r.list('{', '}', "an object", func(int) {
		key := r.text()
		r.expect(':')
		if r.err == nil {
			member(key)
		}
	})
}

// array calls element for each element, which reads it.
func (r *reader) array(element func(i int)) { r.list('[', ']', "an array", element) }

func (r *reader) list(open, end byte, what string, element func(i int)) {
	if !r.accept(open) {
		r.unexpected(what)
		return
	}
	if r.depth++; r.depth > deepest {
		r.fail("nested deeper than %d", deepest)
	}
	if !r.accept(end) {
		for i := 0; r.err == nil; i++ {
			element(i)
			if r.accept(end) {
				break
			}
			r.expect(',')
		}
	}
	r.depth--
}

// text reads a string. What it returns is part of the document or of a buffer that the next string overwrites.
func (r *reader) text() []byte {
	if !r.accept('"') {
		r.unexpected("a string")
		return nil
	}
	start := r.i
	for ; r.i < len(r.b); r.i++ {
		switch c := r.b[r.i]; {
		case c == '"':
			r.i++
			return r.b[start : r.i-1 : r.i-1]
		case c == '\\':
			r.buf = append(r.buf[:0], r.b[start:r.i]...)
			return r.escaped()
		case c < ' ':
			r.fail("control character in a string")
			return nil
		}
	}
	r.unexpected("the end of a string")
	return nil
}

// escaped reads on from the first escape of a string.
func (r *reader) escaped() []byte {
	for r.i < len(r.b) {
		c := r.b[r.i]
		r.i++
		switch {
		case c == '"':
			return r.buf
		case c < ' ':
			r.i--
			r.fail("control character in a string")
			return nil
		case c != '\\':
			r.buf = append(r.buf, c)
			continue
		}
		if r.i == len(r.b) {
			break
		}
		c = r.b[r.i]
		r.i++
		if i := bytes.IndexByte([]byte(`"\/bfnrt`), c); i >= 0 {
			r.buf = append(r.buf, "\"\\/\b\f\n\r\t"[i])
		} else if c == 'u' {
			u := r.hex()
			if utf16.IsSurrogate(u) {
				second := rune(-1)
				if bytes.HasPrefix(r.b[r.i:], []byte(`\u`)) {
					r.i += 2
					second = r.hex()
				}
				if u = utf16.DecodeRune(u, second); u == utf8.RuneError {
					r.fail("half a surrogate pair in a string")
				}
			}
			r.buf = utf8.AppendRune(r.buf, u)
		} else {
			r.i--
			r.fail("unknown escape in a string")
		}
		if r.err != nil {
			return nil
		}
	}
	r.unexpected("the end of a string")
	return nil
}

// hex reads the four digits of an escape.
func (r *reader) hex() rune {
	if r.i+4 <= len(r.b) {
		if u, err := strconv.ParseUint(string(r.b[r.i:r.i+4]), 16, 16); err == nil {
			r.i += 4
			return rune(u)
		}
	}
	r.fail("an escape without four hexadecimal digits")
	return 0
}

func (r *reader) string() string { return string(r.text()) }

// null takes a null if it is next.
func (r *reader) null() bool { return r.word("null") }

func (r *reader) bool() bool {
	if r.word("true") {
		return true
	}
	if !r.word("false") {
		r.unexpected("true or false")
	}
	return false
}

func (r *reader) word(w string) bool {
	if r.peek() != w[0] || !bytes.HasPrefix(r.b[r.i:], []byte(w)) {
		return false
	}
	r.i += len(w)
	return true
}

// number takes a number and returns its text.
func (r *reader) number() string {
	r.spaces()
	start := r.i
	for r.err == nil && r.i < len(r.b) && bytes.IndexByte([]byte("+-.0123456789Ee"), r.b[r.i]) >= 0 {
		r.i++
	}
	if start == r.i {
		r.unexpected("a number")
	}
	return string(r.b[start:r.i])
}

// id reads the number of a token.
func (r *reader) id() int32 {
	r.spaces()
	start, n := r.i, int64(0)
	for r.i < len(r.b) && '0' <= r.b[r.i] && r.b[r.i] <= '9' && n <= math.MaxInt32 {
		n = 10*n + int64(r.b[r.i]-'0')
		r.i++
	}
	end := r.i // peek moves past the white space that may follow
	next := r.peek()
	if end > start && n <= math.MaxInt32 && (r.b[start] != '0' || end == start+1) && (next == ',' || next == '}' || next == ']') {
		return int32(n)
	}
	r.i = start
	if text := r.number(); r.err == nil {
		r.i = start
		r.fail("%s is not the number of a token", text)
	}
	return 0
}

// skip takes any value and returns where it begins.
func (r *reader) skip() int {
	c := r.peek()
	start := r.i
	switch {
	case c == '{':
		r.object(func([]byte) { r.skip() })
	case c == '[':
		r.array(func(int) { r.skip() })
	case c == '"':
		r.text()
	case c == 't' || c == 'f':
		r.bool()
	case c == '-' || '0' <= c && c <= '9':
		if text := r.number(); r.err == nil {
			if _, err := strconv.ParseFloat(text, 64); err != nil {
				r.fail("%q is not a number", text)
			}
		}
	case !r.null():
		r.unexpected("a value")
	}
	return start
}

// at reads the value that begins at start: one that was skipped.
func (r *reader) at(start int, read func()) {
	if r.err == nil {
		r.i = start
		read()
	}
}

// kinds lists the types that a component can have, and the members of each; those with a "!" must be there.
type kinds map[string]string

// component reads an object that is one of known, and calls member for each of its members but the type. It returns the type.
func (r *reader) component(known kinds, member func(kind, key string)) (kind string) {
	if r.components++; r.components > mostComponents {
		r.fail("more than %d components", mostComponents)
	}
	start := r.skip()
	end := r.i
	r.at(start, func() {
		r.object(func(key []byte) {
			if string(key) == "type" {
				kind = r.string()
			} else {
				r.skip()
			}
		})
	})
	list, ok := known[kind]
	if !ok {
		r.at(start, func() {
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(name string) bool { return name == "" })
			r.fail("unknown type %q: known are %s", kind, strings.Join(names, ", "))
		})
		return ""
	}
	r.at(start, func() { r.members(list, kind, func(key string) { member(kind, key) }) })
	if r.err == nil && r.i != end {
		panic("tokenizer: a component was not read to its end")
	}
	return kind
}

// members reads an object that has the members of list and, if it is a component, a type. It allocates nothing, for there may
// be as many added tokens as the file has room for.
func (r *reader) members(list, kind string, member func(key string)) {
	seen := uint64(0)
	r.object(func(key []byte) {
		i, name := 0, "type"
		if string(key) != name || kind == "" {
			name = ""
			for f := range strings.FieldsSeq(list) {
				i++
				if f = strings.TrimSuffix(f, "!"); f == string(key) {
					name = f
					break
				}
			}
		}
		switch {
		case name == "":
			r.fail("%s", strings.TrimSpace(kind+" has an unknown member "+strconv.Quote(string(key))))
		case seen&(1<<i) != 0: // readers of JSON differ on which one counts
			r.fail("%q is there twice", name)
		case i == 0:
			r.skip()
		default:
			member(name)
		}
		seen |= 1 << i
	})
	i := 0
	for f := range strings.FieldsSeq(list) {
		if i++; seen&(1<<i) == 0 && strings.HasSuffix(f, "!") {
			r.fail("%s", strings.TrimSpace(kind+" lacks "+strconv.Quote(strings.TrimSuffix(f, "!"))))
		}
	}
}

// pattern reads {"String": "x"} or {"Regex": "x"}.
func (r *reader) pattern() (pattern string, literal bool) {
	n := 0
	r.members("String Regex", "", func(key string) {
		pattern, literal = r.string(), key == "String"
		n++
	})
	if n != 1 || literal && pattern == "" {
		r.fail("a pattern is one String, which is not empty, or one Regex")
	}
	return pattern, literal
}
