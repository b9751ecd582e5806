package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The numbers of protobuf fields of the results.
const (
	resultType, resultOutputs, resultMetrics = 1, 2, 3
	recordTag, recordFields, recordDatums    = 1, 2, 3
	batchedData, batchedOffsets, batchedType = 1, 2, 3
	batchedTrailing                          = 4
	sampleSequences, samplePromptLogProbs    = 1, 2
	seqStop, seqTokens, seqLogProbs          = 1, 2, 3
	stopStop, stopLength                     = 0, 1
)

// Proto writes the result as protobuf: one record, in which the arrays of a name lie end to end. Every output must have the
// names and element types of the first.
func (r PassResult) Proto() ([]byte, error) {
	b := appendString(nil, resultType, r.Type)
	if len(r.Outputs) > 0 {
		record := appendString(nil, recordTag, r.Type)
		fields := map[string][]byte{}
		for name := range r.Outputs[0] {
			f, err := r.batched(name)
			if err != nil {
				return nil, fmt.Errorf("output %q: %w", name, err)
			}
			fields[name] = f
		}
		record = appendMap(record, recordFields, fields, func(b, v []byte) []byte { return appendBytes(b, mapValue, v) })
		record = appendVarint(record, recordDatums, uint64(len(r.Outputs)))
		b = appendBytes(b, resultOutputs, record)
	}
	return appendMap(b, resultMetrics, r.Metrics, func(b []byte, v float64) []byte { return appendDouble(b, mapValue, v) }), nil
}

// batched joins the arrays called name of all outputs. They have one dimension, and lengths of their own.
func (r PassResult) batched(name string) ([]byte, error) {
	var data []byte
	offsets := []int64{0}
	first := r.Outputs[0][name].DType
	var dtype uint64
	for i, o := range r.Outputs {
		t, ok := o[name]
		if !ok || t.DType != first || len(o) != len(r.Outputs[0]) || len(t.Shape) > 1 {
			return nil, fmt.Errorf("datum %d differs from the first", i)
		}
		var packed []byte
		dtype, packed = t.pack()
		data = append(data, packed...)
		offsets = append(offsets, int64(len(data)))
	}
	b := appendBytes(appendBytes(nil, batchedData, data), batchedOffsets, packInt64(offsets))
	return appendVarint(b, batchedType, dtype), nil
}

// PassResultFromProto reads a result that is protobuf.
func PassResultFromProto(b []byte) (PassResult, error) {
	var r PassResult
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case resultType:
			r.Type = string(f.bytes)
			return f.want(protowire.BytesType)
		case resultOutputs:
			outputs, err := recordFromProto(f.bytes)
			r.Outputs = append(r.Outputs, outputs...)
			return err
		case resultMetrics:
			if r.Metrics == nil {
				r.Metrics = map[string]float64{}
			}
			return readNumber(f.bytes, r.Metrics)
		}
		return nil
	})
	if err != nil {
		return PassResult{}, fmt.Errorf("reading a forward-backward result: %w", err)
	}
	return r, nil
}

func recordFromProto(b []byte) ([]map[string]Tensor, error) {
	var outputs []map[string]Tensor
	datums := -1
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case recordFields:
			key, v, err := readEntry(f.bytes)
			if err != nil {
				return err
			}
			tensors, err := batchedFromProto(v.bytes)
			if err != nil {
				return fmt.Errorf("output %q: %w", key, err)
			}
			if outputs == nil {
				outputs = make([]map[string]Tensor, len(tensors))
				for i := range outputs {
					outputs[i] = map[string]Tensor{}
				}
			}
			if len(tensors) != len(outputs) {
				return fmt.Errorf("output %q is of %d datums, another of %d", key, len(tensors), len(outputs))
			}
			for i, t := range tensors {
				outputs[i][key] = t
			}
		case recordDatums:
			datums = int(int32(f.value))
			return f.want(protowire.VarintType)
		}
		return nil
	})
	if err == nil && datums >= 0 && outputs != nil && datums != len(outputs) {
		err = fmt.Errorf("a record of %d datums has arrays of %d", datums, len(outputs))
	}
	return outputs, err
}

// batchedFromProto cuts arrays that lie end to end.
func batchedFromProto(b []byte) ([]Tensor, error) {
	var data, offsets []byte
	var dtype uint64
	var trailing []int64
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case batchedData:
			data = f.bytes
			return f.want(protowire.BytesType)
		case batchedOffsets:
			offsets = f.bytes
			return f.want(protowire.BytesType)
		case batchedType:
			dtype = f.value
			return f.want(protowire.VarintType)
		case batchedTrailing:
			var err error
			trailing, err = appendShape(trailing, f)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(offsets)%8 != 0 {
		return nil, fmt.Errorf("%d bytes of offsets", len(offsets))
	}
	row := int64(1)
	for _, d := range trailing {
		if d < 1 || d > 1<<31 || row > 1<<31 {
			return nil, fmt.Errorf("trailing shape %v", trailing)
		}
		row *= d
	}
	var out []Tensor
	for i := 0; i+16 <= len(offsets); i += 8 {
		from, to := int64(binary.LittleEndian.Uint64(offsets[i:])), int64(binary.LittleEndian.Uint64(offsets[i+8:]))
		if from < 0 || to < from || to > int64(len(data)) {
			return nil, fmt.Errorf("offsets %d to %d in %d bytes", from, to, len(data))
		}
		t, err := unpack(dtype, data[from:to])
		if err != nil {
			return nil, err
		}
		n := int64(t.Len())
		if n%row != 0 {
			return nil, fmt.Errorf("%d elements in rows of %d", n, row)
		}
		t.Shape = append([]int64{n / row}, trailing...)
		out = append(out, t)
	}
	return out, nil
}

// Proto writes the result as protobuf.
func (r SampleResult) Proto() []byte {
	var b []byte
	for _, s := range r.Sequences {
		var m []byte
		if s.StopReason == StopLength {
			m = appendVarint(m, seqStop, stopLength)
		}
		if len(s.Tokens) > 0 {
			m = appendBytes(m, seqTokens, packInt32(s.Tokens))
		}
		if len(s.LogProbs) > 0 {
			m = appendBytes(m, seqLogProbs, packFloat32(s.LogProbs))
		}
		b = appendBytes(b, sampleSequences, m)
	}
	if len(r.PromptLogProbs) > 0 {
		b = appendBytes(b, samplePromptLogProbs, packFloat32(r.PromptLogProbs))
	}
	return b
}

// SampleResultFromProto reads a result that is protobuf.
func SampleResultFromProto(b []byte) (SampleResult, error) {
	var r SampleResult
	err := eachField(b, func(f protoField) error {
		var err error
		switch f.num {
		case sampleSequences:
			var s Sequence
			s, err = sequenceFromProto(f.bytes)
			r.Sequences = append(r.Sequences, s)
		case samplePromptLogProbs:
			r.PromptLogProbs, err = unpackFloat32(f.bytes)
		}
		return err
	})
	if err != nil {
		return SampleResult{}, fmt.Errorf("reading a sample: %w", err)
	}
	return r, nil
}

func sequenceFromProto(b []byte) (Sequence, error) {
	s := Sequence{StopReason: StopStop}
	err := eachField(b, func(f protoField) (err error) {
		switch f.num {
		case seqStop:
			switch f.value {
			case stopStop:
			case stopLength:
				s.StopReason = StopLength
			default:
				return fmt.Errorf("stop reason %d", f.value)
			}
			return f.want(protowire.VarintType)
		case seqTokens:
			s.Tokens, err = unpackInt32(f.bytes)
		case seqLogProbs:
			s.LogProbs, err = unpackFloat32(f.bytes)
		}
		return err
	})
	if err == nil && s.LogProbs != nil && len(s.LogProbs) != len(s.Tokens) {
		err = fmt.Errorf("%d tokens with %d log-probabilities", len(s.Tokens), len(s.LogProbs))
	}
	return s, err
}

// Equal compares two tensors, bits of their elements included.
func (t Tensor) Equal(o Tensor) bool {
	return t.DType == o.DType && slices.Equal(t.Shape, o.Shape) && slices.Equal(t.Ints, o.Ints) && slices.Equal(packFloat32(t.Floats), packFloat32(o.Floats))
}
