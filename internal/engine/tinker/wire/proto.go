package wire

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of protobuf fields, by message, and of the enumeration DType (tinker/proto of SDK 0.38.0).
const (
	passModel, passSeq, passData, passLoss        = 1, 2, 3, 4
	passConfig, passForward, passConfig2          = 5, 6, 7
	datumInput, datumLossInputs                   = 1, 2
	chunkText, chunkImage, chunkDmel              = 1, 2, 3
	textTokens                                    = 1
	tensorDense, tensorSparse, tensorType         = 1, 2, 3
	tensorShape                                   = 4
	configNumber, configText                      = 1, 2
	mapKey, mapValue                              = 1, 2
	typeFloat32, typeInt64, typeInt32, typeBFloat = 1, 2, 3, 4
)

// A protoField is one field of a message: Bytes of a length-delimited one, Num of any other.
type protoField struct {
	num   int
	typ   protowire.Type
	bytes []byte
	value uint64
}

// eachField calls visit for every field of a message. Groups, which proto3 does not have, are refused.
func eachField(b []byte, visit func(f protoField) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		f := protoField{num: int(num), typ: typ}
		b = b[n:]
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.value = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("field %d has wire type %d", num, typ)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// want checks the wire type of a field that is about to be read.
func (f protoField) want(t protowire.Type) error {
	if f.typ != t {
		return fmt.Errorf("field %d has wire type %d, not %d", f.num, f.typ, t)
	}
	return nil
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendString(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func appendVarint(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendDouble(b []byte, num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), math.Float64bits(v))
}

// appendMap writes the entries of a map in the order of their keys, so that a message has one encoding.
func appendMap[V any](b []byte, num protowire.Number, m map[string]V, value func(b []byte, v V) []byte) []byte {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		entry := value(appendString(nil, mapKey, k), m[k])
		b = appendBytes(b, num, entry)
	}
	return b
}

// readEntry reads an entry of a map whose values are messages or bytes.
func readEntry(b []byte) (key string, value protoField, err error) {
	err = eachField(b, func(f protoField) error {
		switch f.num {
		case mapKey:
			key = string(f.bytes)
			return f.want(protowire.BytesType)
		case mapValue:
			value = f
		}
		return nil
	})
	return key, value, err
}

// readNumber reads an entry of a map<string, double>.
func readNumber(b []byte, into map[string]float64) error {
	key, v, err := readEntry(b)
	if err != nil {
		return err
	}
	if v.num != 0 { // a default value is left out
		if err := v.want(protowire.Fixed64Type); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	into[key] = math.Float64frombits(v.value)
	return nil
}

func packInt32(v []int32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return b
}

func packFloat32(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func packInt64(v []int64) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return b
}

func unpackInt32(b []byte) ([]int32, error) {
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are no int32 array", len(b))
	}
	v := make([]int32, len(b)/4)
	for i := range v {
		v[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}

func unpackFloat32(b []byte) ([]float32, error) {
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are no float32 array", len(b))
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}

func unpackInt64(b []byte) ([]int64, error) {
	if len(b)%8 != 0 {
		return nil, fmt.Errorf("%d bytes are no int64 array", len(b))
	}
	v := make([]int64, len(b)/8)
	for i := range v {
		v[i] = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v, nil
}

// unpack reads packed elements of a protobuf DType, widened to one of the API's types.
func unpack(dtype uint64, b []byte) (Tensor, error) {
	switch dtype {
	case typeFloat32:
		v, err := unpackFloat32(b)
		return Tensor{DType: Float32, Floats: v}, err
	case typeInt64:
		v, err := unpackInt64(b)
		return Tensor{DType: Int64, Ints: v}, err
	case typeInt32:
		v, err := unpackInt32(b)
		t := Tensor{DType: Int64, Ints: make([]int64, len(v))}
		for i, x := range v {
			t.Ints[i] = int64(x)
		}
		return t, err
	case typeBFloat:
		if len(b)%2 != 0 {
			return Tensor{}, fmt.Errorf("%d bytes are no bfloat16 array", len(b))
		}
		t := Tensor{DType: Float32, Floats: make([]float32, len(b)/2)}
		for i := range t.Floats {
			t.Floats[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
		return t, nil
	}
	return Tensor{}, fmt.Errorf("element type %d", dtype)
}

// pack is the inverse of unpack.
func (t Tensor) pack() (dtype uint64, b []byte) {
	if t.DType == Int64 {
		return typeInt64, packInt64(t.Ints)
	}
	return typeFloat32, packFloat32(t.Floats)
}
