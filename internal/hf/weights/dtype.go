package weights

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// The types whose values can be read and written as float32.
const (
	F32  = "F32"
	F16  = "F16"
	BF16 = "BF16"
)

// dtypes are the format's whole-byte types in the order in which the reference writer lays out data, last first: wide
// before narrow, so that with a header padded to 8 bytes every tensor is aligned to its element.
var dtypes = []struct {
	name string
	size int // bytes of an element
}{
	{"BOOL", 1},
	{"U8", 1},
	{"I8", 1},
	{"F8_E5M2", 1},
	{"F8_E4M3", 1},
	{"F8_E8M0", 1},
	{"I16", 2},
	{"U16", 2},
	{F16, 2},
	{BF16, 2},
	{"I32", 4},
	{"U32", 4},
	{F32, 4},
	{"C64", 8},
	{"F64", 8},
	{"I64", 8},
	{"U64", 8},
}

// dtypeOf returns the rank of a type in the layout and the size of its elements.
func dtypeOf(name []byte) (rank, size int, ok bool) {
	for i := range dtypes {
		if string(name) == dtypes[i].name {
			return i, dtypes[i].size, true
		}
	}
	return 0, 0, false
}

// Float32 converts the tensor into dst, which has Len elements. Every F16 and BF16 value is exact in float32.
func (t Tensor) Float32(dst []float32) error {
	if n := t.Len(); len(dst) != n {
		return fmt.Errorf("tensor %s: %d values wanted of a tensor of %d", t.Name, len(dst), n)
	}
	_, size, ok := dtypeOf([]byte(t.DType))
	if ok && len(t.Data) != size*len(dst) {
		return fmt.Errorf("tensor %s: %d bytes of data for %d values of %s", t.Name, len(t.Data), len(dst), t.DType)
	}
	switch b := t.Data; t.DType {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = FromHalf(binary.LittleEndian.Uint16(b[2*i:]))
		}
	default:
		return fmt.Errorf("tensor %s: type %s does not hold weights (F32, F16 and BF16 do)", t.Name, t.DType)
	}
	return nil
}

// View makes a tensor of type F32 whose data are the values' own memory where the machine's byte order is the format's, and a copy elsewhere:
// for what is written before the values change.
func View(name string, shape []int, values []float32) (Tensor, error) {
	if littleEndian && len(values) > 0 {
		t := Tensor{Name: name, DType: F32, Shape: shape, Data: unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))} //nolint:gosec // bytes of floats
		if n := t.Len(); n != len(values) {
			return Tensor{}, fmt.Errorf("tensor %s: %d values for a shape of %d", name, len(values), n)
		}
		return t, nil
	}
	return FromFloat32(name, F32, shape, values)
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// FromFloat32 makes a tensor of values in the type dtype, rounding to nearest, ties to even, as PyTorch does. Values
// beyond F16's range become infinite.
func FromFloat32(name, dtype string, shape []int, values []float32) (Tensor, error) {
	t := Tensor{Name: name, DType: dtype, Shape: shape}
	if n := t.Len(); n != len(values) {
		return Tensor{}, fmt.Errorf("tensor %s: %d values for a shape of %d", name, len(values), n)
	}
	switch dtype {
	case F32:
		t.Data = make([]byte, 4*len(values))
		for i, v := range values {
			binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(v))
		}
	case BF16:
		t.Data = make([]byte, 2*len(values))
		for i, v := range values {
			binary.LittleEndian.PutUint16(t.Data[2*i:], toBrain(v))
		}
	case F16:
		t.Data = make([]byte, 2*len(values))
		for i, v := range values {
			binary.LittleEndian.PutUint16(t.Data[2*i:], toHalf(v))
		}
	default:
		return Tensor{}, fmt.Errorf("tensor %s: weights cannot be written as %s (F32, F16 and BF16 can)", name, dtype)
	}
	return t, nil
}

// toBrain rounds a float32 to bfloat16: the upper half of its bits. A NaN is made quiet, since dropping its low bits
// could leave an infinity.
func toBrain(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// FromHalf widens an IEEE binary16, exactly: 1 sign, 5 exponent (bias 15), 10 fraction bits.
func FromHalf(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac × 2⁻²⁴, exact in float32
		v := math.Float32bits(float32(frac) * 0x1p-24)
		return math.Float32frombits(sign | v)
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// toHalf rounds a float32 to IEEE binary16.
func toHalf(v float32) uint16 {
	b := math.Float32bits(v)
	sign, abs := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN, made quiet
		return sign | 0x7e00 | uint16(abs>>13)&0x3ff
	case abs >= 0x47800000: // 65536 and up
		return sign | 0x7c00
	case abs < 0x38800000: // below 2⁻¹⁴: a multiple of 2⁻²⁴, found by letting the float adder round
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-math.Float32bits(0.5))
	}
	// Rebias the exponent and round away 13 bits; a carry runs into the exponent, up to infinity, as it should.
	return sign | uint16((abs-(127-15)<<23+0xfff+abs>>13&1)>>13)
}
