package escape

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf16"
)

// A Terminal is where a program talks to a person. What is written through it is escaped as Text.Terminal does, so that no printer has to
// think of it. A write holds whole characters, which fmt's do.
type Terminal struct{ w io.Writer }

// NewTerminal returns the escaping writer over w.
func NewTerminal(w io.Writer) *Terminal { return &Terminal{w} }

// Write implements io.Writer.
func (t *Terminal) Write(b []byte) (int, error) {
	if _, err := io.WriteString(t.w, Text(b).Terminal()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Raw returns what is below, for what is escaped already or drawn with colours.
func (t *Terminal) Raw() io.Writer { return t.w }

// Raw returns what is below a Terminal, and w itself where it is none.
func Raw(w io.Writer) io.Writer {
	if t, ok := w.(*Terminal); ok {
		return t.Raw()
	}
	return w
}

// Markup is Markdown of our own, or escaped already.
type Markup string

// Markdown writes Markdown: the format and arguments of type Markup as they are, numbers by their verbs, and every other argument escaped
// by Text.Markdown, so that a plain string cannot become markup.
func Markdown(w io.Writer, format string, args ...any) {
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = inMarkdown(a)
	}
	fmt.Fprintf(w, format, safe...)
}

func inMarkdown(a any) any {
	switch a := a.(type) {
	case Markup:
		return string(a)
	case Text:
		return a.Markdown()
	case fmt.Stringer, error:
		return Text(fmt.Sprint(a)).Markdown()
	}
	switch reflect.ValueOf(a).Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32,
		reflect.Uint64, reflect.Float32, reflect.Float64, reflect.Bool:
		return a
	default:
		return Text(fmt.Sprint(a)).Markdown()
	}
}

// Code returns the text as a code span of Markdown, which no backtick inside ends.
func (t Text) Code() Markup {
	s := t.Line()
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return Markup(fence + s + fence)
}

// Record returns the fields of a row of CSV, each escaped by Text.CSV.
func Record(fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = Text(f).CSV()
	}
	return out
}

// JSON returns JSON of the same value whose strings hold nothing that a terminal acts on.
func JSON(b []byte) []byte {
	if Text(b).Terminal() == string(b) {
		return b
	}
	var out bytes.Buffer
	for _, r := range string(b) {
		switch s := string(r); {
		case r == '\n' || r == '\uFFFD' || visible(s, "") == s:
			out.WriteRune(r)
		case r > 0xFFFF:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes()
}
