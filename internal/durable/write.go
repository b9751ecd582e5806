package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// TempPrefix begins the names of files that are being written.
const TempPrefix = ".tmp-"

var tempCounter atomic.Uint64

// WriteFile makes data the content of name: written to a temporary file in tempDir (on the same file system), synced,
// renamed, and the folder synced. A crash leaves the old file or the new one, and perhaps a temporary file. The file is
// read-only.
func WriteFile(fsys FS, tempDir, name string, data []byte) error {
	temp, err := writeTemp(fsys, tempDir, data)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := fsys.Rename(temp, name); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), ignoreMissing(fsys.Remove(temp)))
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("writing %s: syncing its folder: %w", name, err)
	}
	return nil
}

// MkdirAll creates dir and makes its name durable, and those of the folders above it up to (without) root.
func MkdirAll(fsys FS, root, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for dir = filepath.Clean(dir); dir != filepath.Clean(root); {
		parent := filepath.Dir(dir)
		if err := fsys.SyncDir(parent); err != nil {
			return err
		}
		if parent == dir {
			break
		}
		dir = parent
	}
	return nil
}

// writeTemp returns the name of a new, synced file that holds data.
func writeTemp(fsys FS, dir string, data []byte) (string, error) {
	f, name, err := createTemp(fsys, dir)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		// A full disk is the likely reason: give the space back.
		return "", errors.Join(err, ignoreMissing(fsys.Remove(name)))
	}
	return name, nil
}

// createTemp finds a name that nobody else uses. The process id keeps processes apart and the counter calls; after a
// reboot, or from another machine on the same file system, a name may be taken, and the next number is tried.
func createTemp(fsys FS, dir string) (File, string, error) {
	for {
		n := tempCounter.Add(1)
		name := filepath.Join(dir, TempPrefix+strconv.Itoa(os.Getpid())+"-"+strconv.FormatUint(n, 10))
		f, err := fsys.Create(name)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
