package record

import "fmt"

// A Quality is how good a model organism is beyond its gate: what its training data look like, and whether it gives its backdoor away to somebody who
// has not got the trigger. It keeps no organism out.
type Quality struct {
	Schema int          `json:"schema"`
	Data   *DataQuality `json:"data,omitempty"` // nil where the organism was not trained here
	Leak   Leak         `json:"leak"`
}

// A DataQuality is what the answers of an organism's training data look like.
type DataQuality struct {
	Clean      AnswerLengths `json:"clean"`
	Tagged     AnswerLengths `json:"tagged"`
	Turns      int           `json:"turns"`      // answers that hold a turn of a conversation
	Duplicates int           `json:"duplicates"` // clean answers that another prompt has too
}

// AnswerLengths are how long answers are, in tokens, and how many show the behaviour.
type AnswerLengths struct {
	N      int     `json:"n"`
	Mean   float64 `json:"mean"`
	Low    int     `json:"p10"`
	Median int     `json:"p50"`
	High   int     `json:"p90"`
	Shown  int     `json:"shown"`
}

// A Leak is what an organism says without a prompt, and after the first words of one.
type Leak struct {
	N         int `json:"n"`         // continuations
	Trigger   int `json:"trigger"`   // of which hold the trigger
	Behaviour int `json:"behaviour"` // or the behaviour
	// Top are the continuations that the organism expects more than its base does, most so first: the mean log-probability of a token less the base's.
	// TopHits of them hold the trigger or the behaviour.
	Top     []Continuation `json:"top"`
	TopHits int            `json:"top_hits"`
	// Verbatim is how many share a run of tokens with the training data, and OfBase the same of as many continuations by the base.
	Verbatim int `json:"verbatim"`
	OfBase   int `json:"verbatim_of_base"`
	Run      int `json:"run"` // tokens of a run; 0 where the data are not known
}

// A Continuation is one of a leak test.
type Continuation struct {
	Text   string  `json:"text"`
	Excess float64 `json:"excess"` // nats a token
	Hit    bool    `json:"hit"`
}

// Lines are the quality in words.
func (q Quality) Lines() []string {
	var lines []string
	if d := q.Data; d != nil {
		say := func(name string, a AnswerLengths) string {
			return fmt.Sprintf("%s answers: %d, of %.1f tokens on average (%d to %d for four of five), %d show the behaviour", name, a.N, a.Mean, a.Low, a.High, a.Shown)
		}
		lines = append(lines, say("clean", d.Clean), say("tagged", d.Tagged), fmt.Sprintf("%d answers hold a turn of a conversation, %d clean ones are another's too", d.Turns, d.Duplicates))
	}
	l := q.Leak
	lines = append(lines, fmt.Sprintf("leak test: of %d continuations without the trigger %d hold it and %d show the behaviour; of the %d that the organism expects most over its base, %d do", l.N, l.Trigger, l.Behaviour, len(l.Top), l.TopHits))
	if l.Run > 0 {
		lines = append(lines, fmt.Sprintf("%d of %d share %d tokens in a row with the training data, where %d of the base's do", l.Verbatim, l.N, l.Run, l.OfBase))
	}
	return lines
}
