package llama

import (
	"encoding/json"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Shortened config.json files of real checkpoints.
var realConfigs = map[string]struct {
	json string
	want Config
}{
	"Llama-3.2-1B": {`{"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,"bos_token_id":128000,
		"eos_token_id":[128001,128008,128009],"head_dim":64,"hidden_act":"silu","hidden_size":2048,"initializer_range":0.02,
		"intermediate_size":8192,"max_position_embeddings":131072,"mlp_bias":false,"model_type":"llama",
		"num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,"pretraining_tp":1,"rms_norm_eps":1e-05,
		"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,
		"original_max_position_embeddings":8192,"rope_type":"llama3"},"rope_theta":500000.0,"tie_word_embeddings":true,
		"torch_dtype":"bfloat16","transformers_version":"4.45.0.dev0","use_cache":true,"vocab_size":128256}`, Config{
		Arch: ArchLlama, Vocab: 128256, Hidden: 2048, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, FFN: 8192,
		Context: 131072, NormEps: 1e-5, RopeTheta: 500000, Tied: true, BOS: 128000, EOS: []int{128001, 128008, 128009},
		Rope: &RopeScaling{Kind: "llama3", Factor: 32, Low: 1, High: 4, Original: 8192},
	}},
	"TinyLlama": {`{"architectures":["LlamaForCausalLM"],"bos_token_id":1,"eos_token_id":2,"hidden_act":"silu",
		"hidden_size":2048,"initializer_range":0.02,"intermediate_size":5632,"max_position_embeddings":2048,
		"model_type":"llama","num_attention_heads":32,"num_hidden_layers":22,"num_key_value_heads":4,"pretraining_tp":1,
		"rms_norm_eps":1e-05,"rope_scaling":null,"tie_word_embeddings":false,"torch_dtype":"bfloat16",
		"transformers_version":"4.35.0","use_cache":true,"vocab_size":32000}`, Config{
		Arch: ArchLlama, Vocab: 32000, Hidden: 2048, Layers: 22, Heads: 32, KVHeads: 4, HeadDim: 64, FFN: 5632,
		Context: 2048, NormEps: 1e-5, RopeTheta: 10000, BOS: 1, EOS: []int{2},
	}},
	"SmolLM2-135M": {`{"architectures":["LlamaForCausalLM"],"attention_bias":false,"attention_dropout":0.0,"bos_token_id":1,
		"eos_token_id":2,"hidden_act":"silu","hidden_size":576,"initializer_range":0.041666666666666664,
		"intermediate_size":1536,"is_llama_config":true,"max_position_embeddings":8192,"mlp_bias":false,
		"model_type":"llama","num_attention_heads":9,"num_hidden_layers":30,"num_key_value_heads":3,"pad_token_id":2,
		"pretraining_tp":1,"rms_norm_eps":1e-05,"rope_interleaved":false,"rope_scaling":null,"rope_theta":100000,
		"tie_word_embeddings":true,"torch_dtype":"bfloat16","transformers.js_config":{"kv_cache_dtype":{"q4f16":"float16"}},
		"transformers_version":"4.42.3","use_cache":true,"vocab_size":49152}`, Config{
		Arch: ArchLlama, Vocab: 49152, Hidden: 576, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64, FFN: 1536, Context: 8192,
		NormEps: 1e-5, RopeTheta: 100000, Tied: true, BOS: 1, EOS: []int{2},
	}},
	"Qwen2.5-0.5B": {`{"architectures":["Qwen2ForCausalLM"],"attention_dropout":0.0,"bos_token_id":151643,
		"eos_token_id":151645,"hidden_act":"silu","hidden_size":896,"initializer_range":0.02,"intermediate_size":4864,
		"max_position_embeddings":32768,"max_window_layers":21,"model_type":"qwen2","num_attention_heads":14,
		"num_hidden_layers":24,"num_key_value_heads":2,"rms_norm_eps":1e-06,"rope_theta":1000000.0,"sliding_window":32768,
		"tie_word_embeddings":true,"torch_dtype":"bfloat16","transformers_version":"4.43.1","use_cache":true,
		"use_sliding_window":false,"vocab_size":151936}`, Config{
		Arch: ArchQwen2, Vocab: 151936, Hidden: 896, Layers: 24, Heads: 14, KVHeads: 2, HeadDim: 64, FFN: 4864,
		Context: 32768, NormEps: 1e-6, RopeTheta: 1e6, Tied: true, QKVBias: true, BOS: 151643, EOS: []int{151645},
	}},
	"Qwen3-0.6B": {`{"architectures":["Qwen3ForCausalLM"],"attention_bias":false,"attention_dropout":0.0,
		"bos_token_id":151643,"eos_token_id":151645,"head_dim":128,"hidden_act":"silu","hidden_size":1024,
		"initializer_range":0.02,"intermediate_size":3072,"max_position_embeddings":40960,"max_window_layers":28,
		"model_type":"qwen3","num_attention_heads":16,"num_hidden_layers":28,"num_key_value_heads":8,"rms_norm_eps":1e-06,
		"rope_scaling":null,"rope_theta":1000000,"sliding_window":null,"tie_word_embeddings":true,
		"torch_dtype":"bfloat16","transformers_version":"4.51.0","use_cache":true,"use_sliding_window":false,
		"vocab_size":151936}`, Config{
		Arch: ArchQwen3, Vocab: 151936, Hidden: 1024, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128, FFN: 3072,
		Context: 40960, NormEps: 1e-6, RopeTheta: 1e6, Tied: true, QKNorm: true, BOS: 151643, EOS: []int{151645},
	}},
}

// parameters are the published sizes.
var parameters = map[string]int{
	"Llama-3.2-1B": 1235814400, "TinyLlama": 1100048384, "SmolLM2-135M": 134515008, "Qwen2.5-0.5B": 494032768,
	"Qwen3-0.6B": 596049920,
}

func TestParseConfig(t *testing.T) {
	for name, c := range realConfigs {
		t.Run(name, func(t *testing.T) {
			got, err := ParseConfig([]byte(c.json))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if n := got.Parameters(); n != parameters[name] {
				t.Errorf("%d parameters, want %d", n, parameters[name])
			}
			b, err := got.HF()
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseConfig(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, again); d != "" {
				t.Errorf("written and read again: %s", d)
			}
		})
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		value any
		want  string
	}{
		"model type":     {"model_type", "gemma2", `model_type "gemma2" is not supported`},
		"unknown field":  {"attn_logit_softcapping", 50, "unknown field attn_logit_softcapping"},
		"quantised":      {"quantization_config", map[string]any{}, "unknown field quantization_config"},
		"activation":     {"hidden_act", "gelu", `hidden_act "gelu"`},
		"attention bias": {"attention_bias", true, "attention_bias true"},
		"mlp bias":       {"mlp_bias", true, "mlp_bias true"},
		"interleaved":    {"rope_interleaved", true, "rope_interleaved true"},
		"window":         {"use_sliding_window", true, "use_sliding_window true"},
		"layer types":    {"layer_types", []string{"full_attention", "sliding_attention"}, `layer_types[1] "sliding_attention"`},
		"yarn":           {"rope_scaling", map[string]any{"rope_type": "yarn", "factor": 4}, `rope_type "yarn"`},
		"rope field":     {"rope_scaling", map[string]any{"rope_type": "linear", "mscale": 4}, `unknown field "mscale"`},
		"partial rope":   {"rope_parameters", map[string]any{"rope_theta": 1e4, "partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"},
		"missing":        {"hidden_size", nil, "hidden_size is missing"},
		"zero":           {"num_hidden_layers", 0, "layers is 0"},
		"huge":           {"vocab_size", 1 << 40, "vocab is 1099511627776"},
		"heads":          {"num_key_value_heads", 5, "no multiple of 5"},
		"odd head":       {"head_dim", 63, "head_dim 63 is odd"},
		"eps":            {"rms_norm_eps", -1, "norm_eps is -1"},
		"type":           {"hidden_size", "big", "hidden_size is a text, want a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(realConfigs["Llama-3.2-1B"].json), &fields); err != nil {
				t.Fatal(err)
			}
			fields[c.field] = c.value
			b, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseConfig(b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// FuzzParseConfig looks for panics; what is accepted must be fit to make a model of.
func FuzzParseConfig(f *testing.F) {
	for _, c := range realConfigs {
		f.Add([]byte(c.json))
	}
	f.Add([]byte(`{"model_type":"` + strings.Repeat("x", 5000) + `"}`))
	f.Add([]byte(`{"layer_types":[` + strings.Repeat(`"",`, 5000) + `""],"model_type":"llama"}`))
	f.Add([]byte(`{"eos_token_id":[` + strings.Repeat(`1,`, 5000) + `1],"model_type":"llama"}`))
	f.Add([]byte(`{` + strings.Repeat(`"a":1,`, 5000) + `"model_type":"llama"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := ParseConfig(b)
		runtime.ReadMemStats(&after)
		// What a small file takes at the least is left out: errors, and the configuration itself.
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(4*len(b)+32<<10) {
			t.Errorf("%d bytes are allocated for %d", n, len(b))
		}
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	})
}

// TestMatmulFLOPs counts shape A of PERFORMANCE.md's kind by hand.
func TestMatmulFLOPs(t *testing.T) {
	c := Config{Vocab: 2048, Hidden: 256, Layers: 4, Heads: 4, KVHeads: 4, HeadDim: 64, FFN: 672}
	const layer, head, attention = 256*768 + 256*256 + 3*256*672, 2048 * 256, 6 * 4 * 256 * 257
	for name, x := range map[string]struct {
		share float64
		rank  int
		want  float64
	}{
		"full":      {1, 0, 6*(4*layer+head) + attention},
		"half loss": {0.5, 0, 6*(3*layer+256*768+0.5*(256*256+3*256*672)+0.5*head) + attention},
		"lora": {1, 1, 4*(4*layer+head) - 2*256*768 + 6*4*((256+256)*4+(256+672)*3) - 2*3*256 +
			attention},
	} {
		if got := c.MatmulFLOPs(256, x.share, x.rank); math.Abs(got-x.want) > 1 {
			t.Errorf("%s: %v operations a token, want %v", name, got, x.want)
		}
	}
}
