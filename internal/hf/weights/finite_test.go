package weights

import (
	"math"
	"strings"
	"testing"
)

func TestFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, tt := range []struct {
		name, dtype string
		values      []float32
		want        string
	}{
		{"numbers", "F32", []float32{0, -1, math.MaxFloat32, math.SmallestNonzeroFloat32}, ""},
		{"NaN", "F32", []float32{1, 2, nan}, "tensor x: element 2 is NaN"},
		{"infinite", "F32", []float32{inf, 2}, "tensor x: element 0 is -Inf"},
		{"NaN in bfloat16", "BF16", []float32{1, nan}, "tensor x: element 1 is NaN"},
		{"infinite in half", "F16", []float32{1, 1e9}, "tensor x: element 1 is +Inf"},
		{"numbers in half", "F16", []float32{1, 65504}, ""},
		{"numbers in bfloat16", "BF16", []float32{1, 3e38}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := FromFloat32("x", tt.dtype, []int{len(tt.values)}, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Finite(); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
