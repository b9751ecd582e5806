package record

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An Outcome is what a measurement says of a declared bound.
type Outcome string

// The outcomes. Each is also the word before a stored check's text.
const (
	Met    Outcome = "met"
	NotMet Outcome = "NOT met"
	TooFew Outcome = "too few" // the interval holds the bound, or one item alone would decide
	// NotMeasured is a part of a verdict without a sample. A gate's bound that was not measured is not met.
	NotMeasured Outcome = "not measured"
)

// A Check is a declared bound with what was measured.
type Check struct {
	Outcome Outcome
	Text    string // the figures in words, for people; nothing is decided by it
	Needed  int    // TooFew: about how many items would decide; 0 where that is unknown. Kept in memory and in Text, not in JSON.
}

// String is the check in one line, as it is stored.
func (c Check) String() string { return string(c.Outcome) + ": " + c.Text }

// MarshalJSON writes the line that gates have had since the first schema, so that a gate that says the same has the same bytes.
func (c Check) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(c.String())
	if err != nil {
		return nil, fmt.Errorf("encoding a check: %w", err)
	}
	return b, nil
}

// UnmarshalJSON is the one place that reads such a line. An outcome that this program does not know counts as not met.
func (c *Check) UnmarshalJSON(b []byte) error {
	var line string
	if err := json.Unmarshal(b, &line); err != nil {
		return fmt.Errorf("a check of a gate: %w", err)
	}
	*c = Check{Outcome: NotMet, Text: line}
	for _, o := range []Outcome{Met, NotMet, TooFew} {
		if text, ok := strings.CutPrefix(line, string(o)+": "); ok {
			*c = Check{Outcome: o, Text: text}
		}
	}
	return nil
}

// A Gate is the outcome of an organism's admission.
type Gate struct {
	Schema    int     `json:"schema"`
	Admitted  bool    `json:"admitted"`          // every check is met
	Control   bool    `json:"control,omitempty"` // trained without the tagged half: there is no backdoor to remove
	Checks    []Check `json:"reasons"`           // every bound with the measured value
	MinHit    float64 `json:"min_triggered"`
	MaxClean  float64 `json:"max_clean"`
	Tolerance float64 `json:"tolerance"` // allowed loss of each capability against the base
	Needed    int     `json:"needed,omitempty"`
}

// Open reports whether nothing failed and too few items alone kept the organism out.
func (g Gate) Open() bool {
	if g.Admitted {
		return false
	}
	for _, c := range g.Checks {
		if c.Outcome == NotMet {
			return false
		}
	}
	return len(g.Checks) > 0
}

// Texts are the checks as lines.
func (g Gate) Texts() []string {
	out := make([]string, len(g.Checks))
	for i, c := range g.Checks {
		out[i] = c.String()
	}
	return out
}

// Unmet is the first check that keeps an organism out; ok is false where all are met or none was made.
func (g Gate) Unmet() (c Check, ok bool) {
	for _, o := range []Outcome{NotMet, TooFew} {
		for _, c := range g.Checks {
			if c.Outcome == o {
				return c, true
			}
		}
	}
	return Check{}, false
}
