package wire

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Proto writes the request as protobuf.
func (r PassRequest) Proto() []byte {
	b := appendString(nil, passModel, r.ModelID)
	b = appendVarint(b, passSeq, uint64(r.SeqID))
	for i := range r.Data {
		b = appendBytes(b, passData, r.Data[i].proto())
	}
	b = appendString(b, passLoss, r.Loss)
	b = appendMap(b, passConfig, r.Config, func(b []byte, v float64) []byte { return appendDouble(b, mapValue, v) })
	if r.ForwardOnly {
		b = appendVarint(b, passForward, 1)
	}
	// Servers of both kinds find the numbers: the older field above, the newer one here.
	return appendMap(b, passConfig2, r.Config, func(b []byte, v float64) []byte {
		return appendBytes(b, mapValue, appendDouble(nil, configNumber, v))
	})
}

func (d Datum) proto() []byte {
	b := appendBytes(nil, datumInput, appendBytes(nil, chunkText, appendBytes(nil, textTokens, packInt32(d.Tokens))))
	return appendMap(b, datumLossInputs, d.Inputs, func(b []byte, t Tensor) []byte { return appendBytes(b, mapValue, t.proto()) })
}

func (t Tensor) proto() []byte {
	dtype, data := t.pack()
	b := appendVarint(appendBytes(nil, tensorDense, data), tensorType, dtype)
	var shape []byte
	for _, d := range t.Shape {
		shape = protowire.AppendVarint(shape, uint64(d))
	}
	return appendBytes(b, tensorShape, shape)
}

// PassRequestFromProto reads a request that is protobuf.
func PassRequestFromProto(b []byte) (PassRequest, error) {
	var r PassRequest
	config, config2 := map[string]float64{}, map[string]float64{}
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case passModel:
			r.ModelID = string(f.bytes)
			return f.want(protowire.BytesType)
		case passSeq:
			r.SeqID = int64(int32(f.value))
			return f.want(protowire.VarintType)
		case passData:
			d, err := datumFromProto(f.bytes)
			if err != nil {
				return fmt.Errorf("datum %d: %w", len(r.Data), err)
			}
			r.Data = append(r.Data, d)
			return f.want(protowire.BytesType)
		case passLoss:
			r.Loss = string(f.bytes)
			return f.want(protowire.BytesType)
		case passConfig:
			return readNumber(f.bytes, config)
		case passConfig2:
			return readConfigValue(f.bytes, config2)
		case passForward:
			r.ForwardOnly = f.value != 0
			return f.want(protowire.VarintType)
		}
		return nil
	})
	if err != nil {
		return PassRequest{}, fmt.Errorf("reading a forward-backward request: %w", err)
	}
	if len(config2) > 0 {
		config = config2
	}
	if len(config) > 0 {
		r.Config = config
	}
	return r, nil
}

// readConfigValue reads an entry of the newer map of a loss's settings, whose values are a number or a text.
func readConfigValue(b []byte, into map[string]float64) error {
	key, v, err := readEntry(b)
	if err != nil {
		return err
	}
	into[key] = 0
	return eachField(v.bytes, func(f protoField) error {
		if f.num == configText {
			return fmt.Errorf("loss_fn_config %q: a text is %w", key, errUnsupported)
		}
		if f.num != configNumber {
			return nil
		}
		into[key] = math.Float64frombits(f.value)
		return f.want(protowire.Fixed64Type)
	})
}

func datumFromProto(b []byte) (Datum, error) {
	d := Datum{Inputs: map[string]Tensor{}}
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case datumInput:
			tokens, err := chunkFromProto(f.bytes)
			d.Tokens = append(d.Tokens, tokens...)
			if err != nil {
				return fmt.Errorf("model_input: %w", err)
			}
		case datumLossInputs:
			key, v, err := readEntry(f.bytes)
			if err != nil {
				return err
			}
			t, err := tensorFromProto(v.bytes)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			d.Inputs[key] = t
		}
		return nil
	})
	return d, err
}

func chunkFromProto(b []byte) (tokens []int32, err error) {
	err = eachField(b, func(f protoField) error {
		switch f.num {
		case chunkText:
			return eachField(f.bytes, func(f protoField) error {
				if f.num != textTokens {
					return nil
				}
				more, err := unpackInt32(f.bytes)
				tokens = append(tokens, more...)
				return err
			})
		case chunkImage, chunkDmel:
			return fmt.Errorf("an input that is not text is %w", errUnsupported)
		}
		return nil
	})
	return tokens, err
}

func tensorFromProto(b []byte) (Tensor, error) {
	var data []byte
	var dtype uint64
	var shape []int64
	err := eachField(b, func(f protoField) error {
		switch f.num {
		case tensorDense:
			data = f.bytes
			return f.want(protowire.BytesType)
		case tensorSparse:
			return fmt.Errorf("a sparse tensor is %w", errUnsupported)
		case tensorType:
			dtype = f.value
			return f.want(protowire.VarintType)
		case tensorShape:
			var err error
			shape, err = appendShape(shape, f)
			return err
		}
		return nil
	})
	if err != nil {
		return Tensor{}, err
	}
	t, err := unpack(dtype, data)
	if err != nil {
		return Tensor{}, err
	}
	t.Shape = shape
	return t, t.check()
}

// appendShape reads a repeated int64, packed or not.
func appendShape(shape []int64, f protoField) ([]int64, error) {
	if f.typ == protowire.VarintType {
		return append(shape, int64(f.value)), nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return nil, err
	}
	for b := f.bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		shape, b = append(shape, int64(v)), b[n:]
	}
	return shape, nil
}
