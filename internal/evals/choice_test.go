package evals

import (
	"math"
	"strings"
	"testing"
)

// TestLowMass warns of letters that the model would not write.
func TestLowMass(t *testing.T) {
	it := &Item{Choices: []string{"w", "x", "y", "z"}, Answer: 1}
	for _, tt := range []struct {
		name string
		mode Mode
		mass float64
		low  bool
	}{{"most", Letters, 0.9, false}, {"enough", Letters, 0.11, false}, {"little", Letters, 0.09, true}, {"texts are long", Texts, 1e-9, false}} {
		t.Run(tt.name, func(t *testing.T) {
			lp := math.Log(tt.mass / 4)
			picked, out := Choose(it, tt.mode, []float64{lp - 1e-9, lp, lp - 1e-9, lp - 1e-9})
			if low := out.Metrics["low_mass"] == 1; picked != 1 || low != tt.low || low != strings.Contains(out.Reason, "of the probability") {
				t.Errorf("picked %d, %+v", picked, out)
			}
		})
	}
}
