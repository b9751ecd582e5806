package cli

import "testing"

// TestMemoryBudget is the run that was ended by the kernel: two steps of 10.6 GiB where 22.4 were free at the start.
func TestMemoryBudget(t *testing.T) {
	const have, step = 224 << 30 / 10, 106 << 30 / 10
	if got := memoryBudget(have, true); got < step || got >= 2*step {
		t.Errorf("%d bytes for steps beside each other of %d, want room for one of %d", got, int64(have), int64(step))
	}
	if got := memoryBudget(0, false); got != 0 {
		t.Errorf("%d bytes where nothing is known, want no budget", got)
	}
}
