package engine

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A Llama is what of a model's configuration its size depends on.
type Llama struct {
	Vocab   int  `json:"vocab"`
	Hidden  int  `json:"hidden"`
	Layers  int  `json:"layers"`
	Heads   int  `json:"heads"`
	KVHeads int  `json:"kv_heads"`
	HeadDim int  `json:"head_dim"`
	FFN     int  `json:"ffn"`
	Tied    bool `json:"tied"`
}

// LlamaOf reads the shape of a checkpoint's configuration.
func LlamaOf(config []byte) (Llama, error) {
	var z Llama
	if err := json.Unmarshal(config, &z); err != nil {
		return z, fmt.Errorf("reading the model's configuration: %w", err)
	}
	if z.Hidden < 1 || z.Layers < 1 || z.Heads < 1 || z.KVHeads < 1 || z.HeadDim < 1 || z.FFN < 1 || z.Vocab < 1 {
		return z, errors.New("reading the model's configuration: it has no size")
	}
	return z, nil
}

// Matrices are those of a layer, as (out, in): queries, keys, values, output, gate, up, down.
func (z Llama) Matrices() [][2]float64 {
	h, q, kv, f := float64(z.Hidden), float64(z.Heads*z.HeadDim), float64(z.KVHeads*z.HeadDim), float64(z.FFN)
	return [][2]float64{{q, h}, {kv, h}, {kv, h}, {h, q}, {f, h}, {f, h}, {h, f}}
}

// Outer counts the parameters of embedding and output.
func (z Llama) Outer() float64 {
	n := float64(z.Vocab * z.Hidden)
	if z.Tied {
		return n
	}
	return 2 * n
}

// Layer counts the parameters of a layer.
func (z Llama) Layer() float64 {
	n := 2 * float64(z.Hidden)
	for _, m := range z.Matrices() {
		n += m[0] * m[1]
	}
	return n
}

// Parameters counts all of them.
func (z Llama) Parameters() float64 {
	return z.Outer() + float64(z.Hidden) + float64(z.Layers)*z.Layer()
}

// Cached counts the numbers of keys and values that a model keeps of a token.
func (z Llama) Cached() float64 { return 2 * float64(z.Layers*z.KVHeads*z.HeadDim) }
