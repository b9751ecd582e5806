package corpus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxLine bounds a line, and a value of a JSON array: a file without line ends must not fill the memory.
const maxLine = 64 << 20

// Read calls f with every record of a file in order, and stops at the first error. A file without records is an error.
func Read(ctx context.Context, path string, f func(Record) error) error {
	format, packing := formatOf(path)
	n := 0
	each := func(r Record) error {
		if n++; n&0xff == 0 && ctx.Err() != nil {
			return fmt.Errorf("reading %s: %w", path, ctx.Err())
		}
		return f(r)
	}
	var err error
	switch format {
	case ".parquet":
		err = readParquet(path, each)
	case ".jsonl", ".json":
		err = readText(path, format, packing, each)
	default:
		return fmt.Errorf("%s: unknown kind of file (known are %s)", path, kinds)
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s: holds no rows", path)
	}
	return err
}

// kinds is what Read understands, for messages.
const kinds = ".jsonl and .json, also with .gz or .zst, and .parquet"

// formatOf splits a file's name into the form of its records and the packing around it.
func formatOf(path string) (format, packing string) {
	name := strings.ToLower(path)
	for _, p := range []string{".gz", ".zst"} {
		if rest, ok := strings.CutSuffix(name, p); ok {
			name, packing = rest, p
			break
		}
	}
	for _, f := range []string{".jsonl", ".json", ".parquet"} {
		if strings.HasSuffix(name, f) && (packing == "" || f != ".parquet") {
			return f, packing
		}
	}
	return "", ""
}

// readText reads JSON lines, or a .json file whose first character says that it is one array.
func readText(path, format, packing string, f func(Record) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading data: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var r io.Reader = file
	switch packing {
	case ".gz":
		z, err := gzip.NewReader(bufio.NewReader(file))
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: is empty", path)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		defer z.Close()
		r = z
	}
	b := bufio.NewReaderSize(r, 256<<10)
	if mark, err := b.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3) // a byte order mark, which some editors leave; it was peeked, so it is there
	}
	if format == ".json" {
		if array, err := startsArray(b); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		} else if array {
			return readArray(path, b, f)
		}
	}
	return readLines(path, b, f)
}

// startsArray reports whether the first character that is no white space is a bracket.
func startsArray(b *bufio.Reader) (bool, error) {
	for i := 1; ; i++ {
		head, err := b.Peek(i)
		if err != nil && len(head) < i {
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

func readLines(path string, b *bufio.Reader, f func(Record) error) error {
	var line []byte
	for n := 1; ; n++ {
		line = line[:0]
		for {
			part, err := b.ReadSlice('\n')
			line = append(line, part...)
			if len(line) > maxLine {
				return fmt.Errorf("%s:%d: line of more than %d bytes", path, n, maxLine)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("%s:%d: %w", path, n, err)
			}
			if err != nil && len(line) == 0 {
				return nil
			}
			break
		}
		text := bytes.TrimSpace(line)
		if len(text) == 0 {
			continue
		}
		values, err := decode(text)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if err := f(Record{File: path, Place: n, Unit: "line", Values: values}); err != nil {
			return err
		}
	}
}

// decode reads one JSON object. The standard decoder would put U+FFFD in place of broken text without a word.
func decode(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("text is not UTF-8")
	}
	if text[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var values map[string]any
	if err := d.Decode(&values); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			return nil, errors.New("not JSON: the line ends within an object")
		case errors.As(err, &syntax):
			return nil, fmt.Errorf("not JSON: %w at column %d", err, syntax.Offset)
		}
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if end := d.InputOffset(); len(bytes.TrimSpace(text[end:])) > 0 {
		return nil, fmt.Errorf("not JSON lines: more text after the object at column %d", end+1)
	}
	return values, nil
}

// readArray reads the objects of one JSON array.
func readArray(path string, r io.Reader, f func(Record) error) error {
	d := json.NewDecoder(r)
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n := 1
	for ; d.More(); n++ {
		var raw json.RawMessage
		err := d.Decode(&raw)
		var values map[string]any
		if err == nil {
			values, err = decode(raw)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where(path, "element", n), err)
		}
		if err := f(Record{File: path, Place: n, Unit: "element", Values: values}); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: the array ends within element %d: %w", path, n, err)
	}
	return nil
}
