package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Mem is a file system in memory that keeps apart what programs see and what a crash would leave: data that was not
// synced, and names whose folder was not. Faults makes it fail. The zero Mem is not usable: NewMem makes one.
//
// It is stricter than file systems are: after a crash any part of what was not synced may be there, in any order.
type Mem struct {
	mu      sync.Mutex
	root    *inode
	faults  Faults
	ops     int  // changes so far
	crashed bool // everything fails from here on
	used    int64
	held    []func() // effects of syncs that Faults.Postpone holds back
	locks   map[*inode]*memLockState
	clock   func() time.Time
}

// inode is a file or a folder. A file has two contents, a folder two sets of names: now, and after a crash.
type inode struct {
	dir      bool
	data     []byte
	synced   []byte
	names    map[string]*inode
	durable  map[string]*inode
	readOnly bool
	links    int       // names of a file
	changed  time.Time // when its content was last written
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, durable: map[string]*inode{}}
}

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newDir(), locks: map[*inode]*memLockState{}} }

// find walks to a path; the error is that of package fs.
func (m *Mem) find(op, name string) (*inode, error) {
	at := m.root
	for _, part := range parts(name) {
		if !at.dir {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
		next, ok := at.names[part]
		if !ok {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at = next
	}
	return at, nil
}

func (m *Mem) parent(op, name string) (*inode, string, error) {
	dir, err := m.find(op, filepath.Dir(filepath.Clean(name)))
	if err != nil {
		return nil, "", err
	}
	if !dir.dir {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
	}
	return dir, filepath.Base(name), nil
}

func parts(name string) []string {
	return slices.DeleteFunc(strings.Split(filepath.ToSlash(filepath.Clean(name)), "/"), func(s string) bool {
		return s == "" || s == "."
	})
}

// MkdirAll creates a folder and those above it, each a change of its own.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.root
	for i, part := range parts(dir) {
		next, ok := at.names[part]
		if ok && !next.dir {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		if !ok {
			if err := m.change(Op{OpMkdir, strings.Join(parts(dir)[:i+1], "/")}); err != nil {
				return err
			}
			next = newDir()
			at.names[part] = next
		}
		at = next
	}
	return nil
}

// Create makes a new file.
func (m *Mem) Create(name string) (File, error) { return m.create(name, true) }

// CreateShared makes a new file that may be appended to.
func (m *Mem) CreateShared(name string) (File, error) { return m.create(name, false) }

func (m *Mem) create(name string, readOnly bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent("open", name)
	if err != nil {
		return nil, err
	}
	if _, ok := dir.names[base]; ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	}
	if err := m.change(Op{OpCreate, name}); err != nil {
		return nil, err
	}
	f := &inode{readOnly: readOnly, links: 1, changed: m.now()}
	dir.names[base] = f
	return &memFile{m, f, name}, nil
}

// Append opens a file to write at its end.
func (m *Mem) Append(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.openOrCreate(name)
	if err != nil {
		return nil, err
	}
	if f.dir || f.readOnly {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return &memFile{m, f, name}, nil
}

func (m *Mem) openOrCreate(name string) (*inode, error) {
	dir, base, err := m.parent("open", name)
	if err != nil {
		return nil, err
	}
	f, ok := dir.names[base]
	if ok && m.faults.ReadOnly {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EROFS}
	}
	if !ok {
		if err := m.change(Op{OpCreate, name}); err != nil {
			return nil, err
		}
		f = &inode{links: 1, changed: m.now()}
		dir.names[base] = f
	}
	return f, nil
}

// Rename gives a file another name.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	src, srcBase, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	f, ok := src.names[srcBase]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	dst, dstBase, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	if old, ok := dst.names[dstBase]; ok && (old.dir || f.dir) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	if err := m.change(Op{OpRename, to}); err != nil {
		return err
	}
	if old, ok := dst.names[dstBase]; ok {
		if old == f { // two names of one file: nothing happens
			return nil
		}
		old.links--
	}
	delete(src.names, srcBase)
	dst.names[dstBase] = f
	return nil
}

// Remove deletes a file or an empty folder.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remove(name)
}

func (m *Mem) remove(name string) error {
	dir, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	f, ok := dir.names[base]
	if !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if len(f.names) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	if err := m.change(Op{OpRemove, name}); err != nil {
		return err
	}
	delete(dir.names, base)
	if f.links--; f.links <= 0 {
		m.used -= int64(len(f.data))
	}
	return nil
}

// SyncDir makes the names in a folder durable.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.find("open", name)
	if err != nil {
		return err
	}
	return m.sync(Op{OpSyncDir, name}, func() {
		clear(dir.durable)
		for k, v := range dir.names {
			dir.durable[k] = v
		}
	})
}

// memReader reads what a file held when it was opened.
type memReader struct {
	*bytes.Reader
	size int64
}

func (r memReader) Size() int64 { return r.size }
func (memReader) Close() error  { return nil }

func newMemReader(b []byte) memReader { return memReader{bytes.NewReader(b), int64(len(b))} }

// Open opens a file for reading.
func (m *Mem) Open(name string) (Reader, error) {
	b, err := m.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return newMemReader(b), nil
}

// ReadFile returns a whole file.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if err := m.look(Op{OpRead, name}); err != nil {
		return nil, err
	}
	if f.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("a folder %w", ErrNotRegular)}
	}
	return slices.Clone(f.data), nil
}

// ReadDir lists a folder.
func (m *Mem) ReadDir(name string) ([]Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.find("open", name)
	if err != nil {
		return nil, err
	}
	if err := m.look(Op{OpRead, name}); err != nil {
		return nil, err
	}
	if !dir.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	infos := make([]Info, 0, len(dir.names))
	for base, f := range dir.names {
		infos = append(infos, Info{Name: base, Dir: f.dir, Size: int64(len(f.data))})
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// Stat describes a file or folder.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.look(Op{OpStat, name}); err != nil {
		return Info{}, err
	}
	f, err := m.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	return Info{Name: filepath.Base(name), Dir: f.dir, Size: int64(len(f.data))}, nil
}

// memFile is an open file.
type memFile struct {
	m    *Mem
	f    *inode
	name string
}

// Write appends p. On a full disk, and in a crash, a part of it is written.
func (w *memFile) Write(p []byte) (int, error) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	err := w.m.change(Op{OpWrite, w.name})
	n := len(p)
	switch free := w.m.faults.Quota - w.m.used; {
	case errors.Is(err, errCrashedNow):
		n, err = len(p)/2, ErrCrashed
	case err != nil:
		return 0, err
	case w.m.faults.Quota > 0 && int64(n) > free:
		n, err = int(max(free, 0)), &fs.PathError{Op: "write", Path: w.name, Err: syscall.ENOSPC}
	}
	w.f.data = append(w.f.data, p[:n]...)
	w.f.changed = w.m.now()
	w.m.used += int64(n)
	return n, err
}

// Sync makes what was written durable.
func (w *memFile) Sync() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	return w.m.sync(Op{OpSync, w.name}, func() { w.f.synced = slices.Clone(w.f.data) })
}

// Close ends the use of the file. It makes nothing durable.
func (w *memFile) Close() error {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	if w.m.crashed {
		return ErrCrashed
	}
	return nil
}
