package textfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// A Row is one JSON object of a file.
type Row struct {
	File string
	Unit string // "line", or "element" of an array
	N    int    // from 1
	JSON []byte // one valid object, no key of it there twice; valid until the next row
}

// Where names the row's place.
func (r Row) Where() string { return where(r.File, r.Unit, r.N) }

// Rows calls f with every JSON object of the text: one a line, or the elements of one array. Its errors name the place; those of f
// are returned as they are.
func (r *Reader) Rows(f func(Row) error) error {
	array, err := r.startsArray()
	if err != nil {
		return r.wrap(err)
	}
	if array {
		return r.elements(f)
	}
	check := &checker{}
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		row := Row{File: r.name, Unit: "line", N: r.line, JSON: line}
		if err := check.object(line); err != nil {
			return fmt.Errorf("%s: %w", row.Where(), err)
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// startsArray reports whether the first character that is no white space is a bracket.
func (r *Reader) startsArray() (bool, error) {
	for i := 1; ; i++ {
		head, err := r.text.Peek(i)
		if len(head) < i {
			if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
				return false, nil
			}
			return false, err
		}
		if c := head[i-1]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c == '[', nil
		}
	}
}

// A checker reads one line after the other by the same decoder.
type checker struct {
	decoder jsontext.Decoder
	text    bytes.Buffer
}

// object says what is wrong with a line that should be one JSON object.
func (c *checker) object(line []byte) error {
	if line[0] != '{' {
		return errors.New("not a JSON object")
	}
	c.text = *bytes.NewBuffer(line) // which the decoder reads in place
	c.decoder.Reset(&c.text)
	d := &c.decoder
	if _, err := d.ReadValue(); err != nil {
		return describe(err, "the line ends within an object", "column")
	}
	if end := d.InputOffset(); len(bytes.TrimSpace(line[end:])) > 0 {
		return fmt.Errorf("not JSON lines: more text after the object at column %d", end+1)
	}
	return nil
}

// describe words an error of the decoder.
func describe(err error, cut, unit string) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("not JSON: %s", cut)
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("the key %q is there twice", syntax.JSONPointer.LastToken())
	case errors.As(err, &syntax) && syntax.Err != nil:
		return fmt.Errorf("not JSON: %w at %s %d", syntax.Err, unit, syntax.ByteOffset+1)
	}
	return err // of the file
}

// errElement is the error of an element that is too large.
var errElement = fmt.Errorf("more than %d bytes", MaxLine)

// elements reads the objects of one array.
func (r *Reader) elements(f func(Row) error) error {
	src := &fenced{r: r.text}
	d := jsontext.NewDecoder(src)
	if _, err := d.ReadToken(); err != nil {
		return r.wrap(describe(err, "the text ends", "byte"))
	}
	for n := 1; ; n++ {
		src.n = 0
		row := Row{File: r.name, Unit: "element", N: n}
		switch d.PeekKind() {
		case ']':
			if _, err := d.ReadToken(); err != nil {
				return r.wrap(describe(err, "the array ends", "byte"))
			}
			if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
				return r.wrap(errors.New("more text after the array's end"))
			}
			return nil
		case '{':
			v, err := d.ReadValue()
			if err != nil {
				return fmt.Errorf("%s: %w", row.Where(), describe(err, "the array ends within this element", "byte"))
			}
			row.JSON = v
			if err := f(row); err != nil {
				return err
			}
		default:
			if _, err := d.ReadToken(); err != nil {
				return fmt.Errorf("%s: %w", row.Where(), describe(err, "the array ends within this element", "byte"))
			}
			return fmt.Errorf("%s: not a JSON object", row.Where())
		}
	}
}

// fenced ends a stream of which one element takes more than MaxLine.
type fenced struct {
	r io.Reader
	n int
}

func (f *fenced) Read(p []byte) (int, error) {
	if f.n > MaxLine {
		return 0, errElement
	}
	n, err := f.r.Read(p)
	f.n += n
	return n, err
}
