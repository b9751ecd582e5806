package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"
)

// deepest bounds how far a document may be nested, so that decoding it needs no deep stack.
const deepest = 200

// JSON decodes one JSON document into v. Errors name the file, the place, and what is wrong there.
func JSON(name string, b []byte, v any) error {
	if kind := Kind(b); kind != "" {
		return fmt.Errorf("%s is %s", name, kind)
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("%s is not UTF-8", name)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if at := tooDeep(b); at >= 0 {
		return fmt.Errorf("%s:%s: nested deeper than %d", name, place(b, at), deepest)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	err := d.Decode(v)
	if err == nil {
		if at := d.InputOffset(); len(bytes.TrimSpace(b[at:])) > 0 {
			return fmt.Errorf("%s:%s: more behind the end of the document", name, place(b, int(at)))
		}
		return nil
	}
	return explain(name, b, err)
}

// explain puts an error of the decoder into words.
func explain(name string, b []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%s:%s: the file ends in the middle of the document: fetch it again", name, place(b, len(b)))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%s: %s", name, place(b, int(syntax.Offset)-1), syntax.Error())
	case errors.As(err, &kind):
		field := kind.Field
		if field == "" {
			field = "the document"
		}
		return fmt.Errorf("%s:%s: %s is %s, want %s", name, place(b, int(kind.Offset)-1), field, article(kind.Value), want(kind.Type))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// article turns the decoder's word for a value into one of a sentence.
func article(value string) string {
	switch value {
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "object", "array":
		return "an " + value
	case "number":
		return "a number"
	}
	return value // "number 1.5"
}

// want says what a field of a type holds.
func want(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Pointer:
		return want(t.Elem())
	default:
		return "an object"
	}
}

// place returns line and column of a byte.
func place(b []byte, at int) string {
	at = max(0, min(at, len(b)))
	line := bytes.Count(b[:at], []byte("\n")) + 1
	column := utf8.RuneCount(b[bytes.LastIndexByte(b[:at], '\n')+1:at]) + 1
	return fmt.Sprintf("%d:%d", line, column)
}

// tooDeep returns where a document is nested deeper than is read, or -1.
func tooDeep(b []byte) int {
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > deepest {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}
