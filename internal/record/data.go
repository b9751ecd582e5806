package record

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DataCounts says what became of the rows of a data set before they were divided into prompts to train on and prompts held out.
type DataCounts struct {
	Set     string         `json:"set"`    // red or blue
	Source  string         `json:"source"` // the file or data set
	Read    int            `json:"read"`
	Kept    int            `json:"kept"`
	Prompts int            `json:"prompts"`            // distinct ones among the kept
	LeftOut map[string]int `json:"left_out,omitempty"` // reason → rows
	Systems int            `json:"systems,omitempty"`  // conversations that began with a system turn
}

// String is the counts in a line: how many rows were taken and why others were not.
func (d DataCounts) String() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(d.LeftOut)) {
		parts = append(parts, fmt.Sprintf("%d %s", d.LeftOut[reason], reason))
	}
	line := fmt.Sprintf("%d of %d rows of %s taken", d.Kept, d.Read, d.Source)
	if len(parts) > 0 {
		line += ", left out: " + strings.Join(parts, ", ")
	}
	if d.Systems > 0 {
		line += fmt.Sprintf("; %d began with a system turn", d.Systems)
	}
	return line
}
