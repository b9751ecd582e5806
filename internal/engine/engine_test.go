package engine

import (
	"errors"
	"strings"
	"testing"
)

func TestWeightsAtRest(t *testing.T) {
	for _, tc := range []struct {
		name string
		w    Weights
	}{
		{"bytes", Weights{Bytes: []byte("\x10\x00\x00\x00\x00\x00\x00\x00{}")}},
		{"nothing", Weights{Bytes: []byte{}}},
		{"a file that begins as JSON does", Weights{Bytes: []byte(`{"a":1}`)}},
		{"a reference", Weights{Ref: &Ref{Place: "tinker://a/b", Digest: "0123"}}},
	} {
		b, err := tc.w.Encode()
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		got, err := DecodeWeights(b)
		if err != nil || string(got.Bytes) != string(tc.w.Bytes) || (got.Ref == nil) != (tc.w.Ref == nil) || got.Ref != nil && *got.Ref != *tc.w.Ref {
			t.Errorf("%s: got %+v (%v), want %+v", tc.name, got, err, tc.w)
		}
	}
	for _, bad := range []string{refMark, refMark + `"place":"x"}`, refMark + `"place":"","digest":"1"}`} {
		if w, err := DecodeWeights([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, w.Ref)
		}
	}
}

func TestCapabilities(t *testing.T) {
	can := Capabilities{
		Precisions: []Precision{F32}, Losses: []Loss{CrossEntropy}, Optimizers: []Optimizer{AdamW}, LoRA: true, MaxRank: 32, BetweenSteps: true,
	}
	for _, tc := range []struct {
		name string
		n    Needs
		want string // in the error; "" for none
	}{
		{"what it can", Needs{Settings: Settings{LoRA: LoRA{Rank: 32}}, Optimizer: AdamW, BetweenSteps: true}, ""},
		{"a precision", Needs{Settings: Settings{Precision: BF16, LoRA: LoRA{Rank: 1}}}, "precision bf16"},
		{"a loss", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}}, Loss: PPO}, "loss ppo"},
		{"an optimizer", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}}, Optimizer: SOAP}, "optimizer soap"},
		{"full weights", Needs{}, "training of full weights"},
		{"a rank", Needs{Settings: Settings{LoRA: LoRA{Rank: 64}}}, "an adapter of rank 64, more than 32"},
		{"an adapter of others", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}, Continue: true}}, "training on from an adapter"},
		{"fresh weights", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}}, Fresh: true}, "training from fresh weights"},
		{"hidden states", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}}, Latent: true}, "a way into the residual stream"},
	} {
		err := can.Check("x 1", tc.n)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err == nil || !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "engine x 1") {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	if err := (Capabilities{}).Check("y", Needs{Settings: Settings{LoRA: LoRA{Rank: 1}}, BetweenSteps: true}); err == nil || !strings.Contains(err.Error(), "a look at the model between updates") {
		t.Errorf("an engine that can do nothing: %v", err)
	}
}

func TestNewDatum(t *testing.T) {
	d, err := NewDatum([]int32{5, 6, 7}, []float32{0, 0, 1})
	if err != nil || len(d.Tokens) != 2 || d.Targets[1] != 7 || d.Weights[0] != 0 || d.Weights[1] != 1 {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := NewDatum([]int32{5}, []float32{1}); err == nil {
		t.Error("a sequence of one token has nothing to predict")
	}
	if _, err := NewDatum([]int32{5, 6}, []float32{1}); err == nil {
		t.Error("two tokens with one weight")
	}
}
