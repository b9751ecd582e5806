package corpus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Record is one row of a file as it stands there. Values are what encoding/json makes of JSON, with json.Number for
// numbers; parquet files give int64, float64, []byte and the like besides.
type Record struct {
	File   string
	Place  int // line of a JSON lines file, element of a JSON array, row of a parquet file; from 1
	Unit   string
	Values map[string]any
}

// Where names the record's place: file:line, or "file: row n" where there are no lines.
func (r Record) Where() string { return where(r.File, r.Unit, r.Place) }

func where(file, unit string, place int) string {
	if unit == "line" {
		return fmt.Sprintf("%s:%d", file, place)
	}
	return fmt.Sprintf("%s: %s %d", file, unit, place)
}

func (r Record) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: "+format, append([]any{r.Where()}, args...)...)
}

// columns lists the columns there are.
func (r Record) columns() string {
	if len(r.Values) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(r.Values)), ", ")
}

func (r Record) missing(column string) error {
	return r.errorf("no column %q (there are %s)", column, r.columns())
}

// either returns the column of the name, or of the first of the names "a|b" that there is.
func (r Record) either(name string) (string, bool) {
	if _, ok := r.Values[name]; ok {
		return name, true
	}
	for n := range strings.SplitSeq(name, "|") {
		if _, ok := r.Values[n]; ok {
			return n, true
		}
	}
	return "", false
}

// text returns a column that must hold text.
func (r Record) text(column string) (string, error) {
	v, ok := r.Values[column]
	if !ok {
		return "", r.missing(column)
	}
	switch v := v.(type) {
	case string:
		return newlines(v), nil
	case []byte: // a parquet column without the annotation that it is text
		if utf8.Valid(v) {
			return newlines(string(v)), nil
		}
	}
	return "", r.errorf("column %q is %s, not text", column, kind(v))
}

// newlines writes every line end as "\n": no carriage return of some system reaches a prompt.
func newlines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}

// kind names a value's type for people.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case bool:
		return "a truth value"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case []byte:
		return "binary"
	}
	return "a number"
}
