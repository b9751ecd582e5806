// Package llama is the model of the embedded engine: the Llama family's architecture with hand-written forward and backward
// passes, low-rank adapters, and sampling.
//
// Read it in this order: config.go and layout.go (shapes, and where every weight lies), forward.go and backward.go (the
// model, over a chunk of samples that lie end to end without padding), lora.go, then cache.go, decode.go, sample.go, pick.go
// and score.go (continuations). The plain version of it all is oracle_test.go: one token after the other in float64.
//
// A chunk is one goroutine's work. Nothing in here depends on how many there are, and rows do not depend on each other's
// company: the same tokens give the same bits in training, sampling and scoring.
package llama

import (
	"errors"
	"fmt"
	"math"
)

// Architectures of the family. They differ in biases and norms only.
const (
	ArchLlama = "llama" // Llama 2 to 3.3, TinyLlama, SmolLM2
	ArchQwen2 = "qwen2" // biases on the q, k and v projections
	ArchQwen3 = "qwen3" // an RMSNorm on every head's query and key before the rotation
)

// Config is the shape of a model: everything that is needed to compute it beside its weights.
type Config struct {
	Arch    string `json:"arch"`
	Vocab   int    `json:"vocab"`            // rows of the embedding, padding included
	Tokens  int    `json:"tokens,omitempty"` // rows in use; sampling never draws one from here up. 0 means all
	Hidden  int    `json:"hidden"`           // width of the residual stream
	Layers  int    `json:"layers"`
	Heads   int    `json:"heads"`    // query heads
	KVHeads int    `json:"kv_heads"` // key and value heads; Heads is a multiple of it
	HeadDim int    `json:"head_dim"`
	FFN     int    `json:"ffn"`     // width of the gated feed-forward layer
	Context int    `json:"context"` // most positions of a sample

	NormEps   float64      `json:"norm_eps"`
	RopeTheta float64      `json:"rope_theta"`
	Rope      *RopeScaling `json:"rope_scaling,omitempty"`

	Tied    bool `json:"tied"`               // the output layer is the embedding
	QKVBias bool `json:"qkv_bias,omitempty"` // Qwen 2
	QKNorm  bool `json:"qk_norm,omitempty"`  // Qwen 3

	BOS int   `json:"bos,omitempty"` // token ids, for export alone
	EOS []int `json:"eos,omitempty"`
}

// RopeScaling stretches the rotary frequencies. Kind "llama3" is Llama 3.1's piecewise rule, "linear" divides every
// frequency by Factor.
type RopeScaling struct {
	Kind     string  `json:"kind"`
	Factor   float64 `json:"factor"`
	Low      float64 `json:"low_freq_factor,omitempty"`
	High     float64 `json:"high_freq_factor,omitempty"`
	Original int     `json:"original_context,omitempty"`
}

// maxDim bounds every size of a configuration and maxLayers the number of layers, so that the number of parameters fits into
// an int and nonsense is found early.
const (
	maxDim    = 1 << 22
	maxLayers = 1 << 12
	// MaxRank bounds an adapter's rank; one above a matrix's smaller side says no more than that side does.
	MaxRank = 1 << 16
)

// Validate lists everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	switch c.Arch {
	case ArchLlama, ArchQwen2, ArchQwen3:
	default:
		bad("architecture %q is not supported (have llama, qwen2, qwen3)", c.Arch)
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"vocab", c.Vocab},
		{"hidden", c.Hidden},
		{"layers", c.Layers},
		{"heads", c.Heads},
		{"kv_heads", c.KVHeads},
		{"head_dim", c.HeadDim},
		{"ffn", c.FFN},
		{"context", c.Context},
	} {
		if f.value < 1 || f.value > maxDim {
			bad("%s is %d, want 1 to %d", f.name, f.value, maxDim)
		}
	}
	if c.Layers > maxLayers {
		bad("%d layers, want at most %d", c.Layers, maxLayers)
	}
	if c.Heads <= maxDim && c.HeadDim <= maxDim && c.Heads*c.HeadDim > maxDim {
		bad("%d heads of %d are wider than %d", c.Heads, c.HeadDim, maxDim)
	}
	if c.Tokens < 0 || c.Tokens > c.Vocab {
		bad("tokens is %d with a vocabulary of %d", c.Tokens, c.Vocab)
	}
	if c.Heads > 0 && c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		bad("%d query heads are no multiple of %d key heads", c.Heads, c.KVHeads)
	}
	if c.HeadDim%2 != 0 {
		bad("head_dim %d is odd, rotary positions need pairs", c.HeadDim)
	}
	if !(c.NormEps > 0) || c.NormEps > 1 {
		bad("norm_eps is %v", c.NormEps)
	}
	if !(c.RopeTheta >= 1) || math.IsInf(c.RopeTheta, 0) {
		bad("rope_theta is %v", c.RopeTheta)
	}
	if c.Rope != nil {
		c.Rope.validate(bad)
	}
	if len(errs) > 0 {
		return fmt.Errorf("model configuration: %w", errors.Join(errs...))
	}
	return nil
}

func (r *RopeScaling) validate(bad func(format string, a ...any)) {
	switch {
	case r.Kind != "llama3" && r.Kind != "linear":
		bad("rope scaling %q is not supported (have llama3, linear)", r.Kind)
	case !(r.Factor >= 1) || math.IsInf(r.Factor, 0):
		bad("rope scaling factor is %v", r.Factor)
	case r.Kind == "llama3" && (!(r.Low > 0) || !(r.High > r.Low) || math.IsInf(r.High, 0) || r.Original < 1):
		bad("rope scaling llama3 with low %v, high %v, original context %d", r.Low, r.High, r.Original)
	}
}

// UsedTokens is the number of token ids that mean something.
func (c Config) UsedTokens() int {
	if c.Tokens > 0 {
		return c.Tokens
	}
	return c.Vocab
}

// qWidth and kvWidth are the widths of all query heads and of all key heads; qkvWidth of the fused projection.
func (c Config) qWidth() int   { return c.Heads * c.HeadDim }
func (c Config) kvWidth() int  { return c.KVHeads * c.HeadDim }
func (c Config) qkvWidth() int { return c.qWidth() + 2*c.kvWidth() }

// MatmulFLOPs is the number of floating-point operations of the matrix products of one training token, forward and backward,
// on average over a causal sample of length t of which a share of the tokens carries loss. Attention counts as its causal
// half; behind the attention of the last layer the tokens with loss count alone, for the others are not computed there. With
// full weights a backward product costs two forward ones; with an adapter of rank lora, the frozen ones cost one.
func (c Config) MatmulFLOPs(t int, lossShare float64, lora int) float64 {
	d, f, layers := float64(c.Hidden), float64(c.FFN), float64(c.Layers)
	qkv, q, kv := float64(c.qkvWidth()), float64(c.qWidth()), float64(c.kvWidth())
	behind := layers - 1 + lossShare // layers, as far as their second half is computed
	linear := layers*d*qkv + behind*(q*d+3*d*f) + lossShare*float64(c.Vocab)*d
	attention := 6 * layers * q * float64(t+1) // scores and mixing, each half a square, forward and twice backward
	if lora == 0 {
		return 6*linear + attention
	}
	r := float64(lora)
	low := layers*r*(3*d+q+2*kv) + behind*r*((q+d)+2*(d+f)+(f+d))
	// Nothing goes back below the first layer's projections.
	return 4*linear - 2*d*qkv + 6*low - 2*r*3*d + attention
}
