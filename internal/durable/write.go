package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// TempPrefix begins the names of files that are being written.
const TempPrefix = ".tmp-"

var tempCounter atomic.Uint64

// WriteFile makes data, its parts one after the other, the content of name: written to a temporary file in tempDir (on the same file system), synced,
// renamed, and the folder synced. A crash leaves the old file or the new one, and perhaps a temporary file. The file is
// read-only.
func WriteFile(fsys FS, tempDir, name string, data ...[]byte) error {
	return replace(fsys, fsys.Create, tempDir, name, data...)
}

// Publish is WriteFile for what is written for people outside of a store: the temporary file is in the same folder, the file may
// be changed later, and a link of that name is replaced, not followed. Where the name is a device, a pipe, or leads to one, as
// /dev/stdout does, data is written to it.
func Publish(fsys FS, name string, data []byte) error {
	if stream(name) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		_, err = f.Write(data)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		return nil
	}
	return replace(fsys, fsys.CreateShared, filepath.Dir(name), name, data)
}

// PublishTo is Publish for a file that is written piece by piece, and never to what is no file. Where write fails, the file that was there
// is left.
func PublishTo(fsys FS, name string, write func(io.Writer) error) error {
	temp, err := fillTemp(fsys, fsys.CreateShared, filepath.Dir(name), func(f File) error {
		b := bufio.NewWriterSize(f, 1<<18)
		if err := write(b); err != nil {
			return err
		}
		return b.Flush()
	})
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

// stream reports whether a name is one of the system's for something that is open already, or is no file.
func stream(name string) bool {
	if abs, err := filepath.Abs(name); err == nil && (strings.HasPrefix(abs, "/dev/") || strings.HasPrefix(abs, "/proc/")) {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && !info.IsDir() && !info.Mode().IsRegular()
}

func replace(fsys FS, create func(string) (File, error), tempDir, name string, data ...[]byte) error {
	temp, err := writeTemp(fsys, create, tempDir, data...)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := fsys.Rename(temp, name); err != nil && !happened(fsys, temp, name, data...) {
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

// WriteTemp returns the name of a new, synced, read-only file in a folder that holds data: for what is to get its name by a link.
func WriteTemp(fsys FS, dir string, data []byte) (string, error) {
	return writeTemp(fsys, fsys.Create, dir, data)
}

// writeTemp returns the name of a new, synced file that holds data.
func writeTemp(fsys FS, create func(string) (File, error), dir string, data ...[]byte) (string, error) {
	return fillTemp(fsys, create, dir, func(f File) error {
		for _, part := range data {
			if _, err := f.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillTemp is writeTemp for what is written piece by piece.
func fillTemp(fsys FS, create func(string) (File, error), dir string, fill func(File) error) (string, error) {
	f, name, err := createTemp(create, dir)
	if err != nil {
		return "", err
	}
	err = fill(f)
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
func createTemp(create func(string) (File, error), dir string) (File, string, error) {
	for {
		n := tempCounter.Add(1)
		name := filepath.Join(dir, TempPrefix+strconv.Itoa(os.Getpid())+"-"+strconv.FormatUint(n, 10))
		f, err := create(name)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return f, name, err
		}
	}
}

// RemoveTemp deletes the temporary files that killed processes left in a folder, which nobody else writes in now.
func RemoveTemp(fsys FS, dir string) error {
	infos, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if i.Regular() && strings.HasPrefix(i.Name, TempPrefix) {
			if err := ignoreMissing(fsys.Remove(filepath.Join(dir, i.Name))); err != nil {
				return err
			}
		}
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
