package experiment

import (
	"fmt"
	"slices"
)

// Scales: what a reader has to know about the models before anything else.
const (
	Micro = "micro" // a few million parameters, trained by the program
	Small = "small" // real models that run on one machine
	Study = "study" // the sizes of the study itself
)

// studyParameters is the number of parameters from which on a model is of the study's scale: it lies between the largest small models in use,
// of 3 billion, and the study's own 8 billion.
const studyParameters = 5e9

// real lists the models that the program did not make: bases of the hub or of a folder, and organisms that are given.
func (f *File) real() []string {
	var names []string
	for i, name := range f.Bases.Names {
		if b := f.Bases.Items[i]; b.Path != "" || b.Hub != "" {
			names = append(names, "bases."+name)
		}
	}
	for i, name := range f.Organisms.Names {
		if slices.ContainsFunc(f.Organisms.Items[i].Variants, func(v Variant[Organism]) bool { return v.Value.Given != "" }) {
			names = append(names, "organisms."+name)
		}
	}
	return names
}

// settleScale derives the scale where the models alone say it. That of real models depends on their size, which Expand finds out.
func (f *File) settleScale() {
	if f.Scale == "" && len(f.real()) == 0 {
		f.Scale = Micro
	}
}

func (f *File) checkScale() {
	found := f.real()
	switch f.Scale {
	case Micro:
		if len(found) > 0 {
			f.say("scale", "%s is a real model, which micro is not: leave scale out, and it follows from the models", found[0])
		}
	case Small, Study:
		if len(found) == 0 {
			f.say("scale", "every model of this experiment is trained by the program, which is micro (got %q): leave scale out, and it follows from the models", f.Scale)
		}
	case "":
	default:
		oneOf(f, "scale", f.Scale, Micro, Small, Study)
	}
}

// scale is that of the largest model. Where no size is known, what the file says is taken, and small where it says nothing.
func (e *expander) scale() string {
	if e.f.Scale == Micro {
		return Micro
	}
	largest := 0.0
	for _, s := range e.sizes {
		if s.engine == nil || s.config == nil {
			continue
		}
		if shape, err := s.engine.Describe(s.config); err == nil {
			largest = max(largest, float64(shape.Parameters))
		}
	}
	found := Small
	switch {
	case largest == 0:
		if e.f.Scale != "" {
			return e.f.Scale
		}
	case largest >= studyParameters:
		found = Study
	}
	if e.f.Scale != "" && e.f.Scale != found {
		e.fail("scale", fmt.Errorf("the largest model has %.1f billion parameters, which is %s (got %q): leave scale out, and it follows from the models", largest/1e9, found, e.f.Scale))
	}
	return found
}
