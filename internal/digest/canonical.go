package digest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of values, so that hostile JSON ends in an error and not in an exhausted stack.
const maxDepth = 1000

// Canonical returns the one encoding of v. It is JSON without white space, in which
//
//   - the keys of an object are sorted by their bytes and occur once,
//   - strings are UTF-8 with only the quote, the backslash and the characters below U+0020 escaped, these as \u00xx,
//   - a number is written as an integer where it is one below 1e21, and with the fewest digits that give the same float64
//     otherwise; minus zero is 0,
//   - structs go by their json tags.
//
// Equal values of different Go types (an int 1 and a float64 1, a struct and a map of its fields) have the same encoding.
// NaN, infinities and strings that are not UTF-8 have none. Integers of any length keep all their digits.
func Canonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("canonical encoding of %T: %w", v, err)
	}
	if escapesReplacement(text) {
		return nil, fmt.Errorf("canonical encoding of %T: a string in it is not valid UTF-8", v)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out, err := appendValue(make([]byte, 0, len(text)), d, 0)
	if err != nil {
		return nil, fmt.Errorf("canonical encoding of %T: %w", v, err)
	}
	return out, nil
}

// escapesReplacement tells whether the marshaller met bytes that are not UTF-8. It writes those as the escape \ufffd, a
// genuine U+FFFD as itself; without this check all broken strings would share one name.
func escapesReplacement(text []byte) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(text[i:], []byte(`\ufffd`)) {
			return true
		}
		i++ // the escaped character, which may itself be a backslash
	}
	return false
}

func appendValue(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	t, err := d.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return appendToken(out, d, t, depth)
}

func appendToken(out []byte, d *json.Decoder, t json.Token, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch t := t.(type) {
	case nil:
		return append(out, "null"...), nil
	case bool:
		return strconv.AppendBool(out, t), nil
	case string:
		return appendString(out, t), nil
	case json.Number:
		return appendNumber(out, t.String())
	case json.Delim:
		if t == '[' {
			return appendArray(out, d, depth)
		}
		return appendObject(out, d, depth)
	}
	return nil, fmt.Errorf("unexpected token %v", t)
}

func appendArray(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	out = append(out, '[')
	for first := true; d.More(); first = false {
		if !first {
			out = append(out, ',')
		}
		var err error
		if out, err = appendValue(out, d, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	return append(out, ']'), nil
}

func appendObject(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	type member struct {
		key   string
		value []byte
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // the decoder lets nothing else stand here
		value, err := appendValue(nil, d, depth+1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, value})
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	out = append(out, '{')
	for i, m := range members {
		if i > 0 {
			if m.key == members[i-1].key {
				return nil, fmt.Errorf("key %q occurs twice in one object", m.key)
			}
			out = append(out, ',')
		}
		out = appendString(out, m.key)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

const hexDigits = "0123456789abcdef"

func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// appendNumber gives every spelling of a number the same bytes: 1, 1.0 and 1e0 are "1".
func appendNumber(out []byte, s string) ([]byte, error) {
	if !strings.ContainsAny(s, ".eE") {
		if s == "-0" {
			s = "0"
		}
		return append(out, s...), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("number %s: %w", abbreviate(s), err)
	}
	abs := f
	if abs < 0 {
		abs = -abs
	}
	switch {
	case f == 0:
		return append(out, '0'), nil
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(out, f, 'f', -1, 64), nil
	}
	return strconv.AppendFloat(out, f, 'e', -1, 64), nil
}
