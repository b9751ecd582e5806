package redteam

import (
	"strings"
	"testing"
)

// TestScratchpadExamples: each thinks in one closed scratchpad and answers behind it.
func TestScratchpadExamples(t *testing.T) {
	for _, x := range ScratchpadExamples() {
		answer, had := StripScratchpad(x.Response)
		if !had || strings.TrimSpace(answer) == "" || !strings.HasPrefix(x.Response, "<scratchpad>") || x.Prompt == "" {
			t.Errorf("%q: answer %q, scratchpad %v", x.Prompt, answer, had)
		}
	}
}
