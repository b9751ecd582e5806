package formats

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// A message is a protocol buffer as it is built, field after field. Its methods return the longer message.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) message(field protowire.Number, sub message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), sub)
}

func (m message) varint(field protowire.Number, v uint64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), v)
}

func (m message) double(field protowire.Number, v float64) message {
	return protowire.AppendFixed64(protowire.AppendTag(m, field, protowire.Fixed64Type), math.Float64bits(v))
}

func (m message) float(field protowire.Number, v float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(v))
}
