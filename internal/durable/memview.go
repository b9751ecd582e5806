package durable

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ViewFaults is what goes wrong between a machine and a file system that it shares with others. The functions may be nil.
type ViewFaults struct {
	// Stale is how long the names of a folder, once read, are believed: until then what others create, replace and remove in it is
	// not seen, as on NFS. It needs the clock of the Mem.
	Stale func(dir string) time.Duration
	// StaleLists lets the listing of a folder be as old as everything else; otherwise it asks anew, as opening a folder does on NFS.
	StaleLists bool
	// Lost makes the reply of an operation that was done get lost: it is sent again and fails as the second of its kind.
	Lost func(Op) bool
	// Before is called before an operation, outside of every lock: to wait.
	Before func(Op)
}

// A View is a Mem as one of several machines sees it. It has no kernel locks.
type View struct {
	m      *Mem
	faults ViewFaults
	dead   atomic.Bool

	mu    sync.Mutex
	names map[*inode]*seen
}

// seen are the names of a folder as they were read.
type seen struct {
	names map[string]*inode
	until time.Time
}

// View returns the file system as another machine sees it.
func (m *Mem) View(f ViewFaults) *View {
	return &View{m: m, faults: f, names: map[*inode]*seen{}}
}

// Kill makes every operation of this machine fail from now on.
func (v *View) Kill() { v.dead.Store(true) }

func (v *View) before(op Op) error {
	if v.faults.Before != nil && !v.dead.Load() {
		v.faults.Before(op)
	}
	if v.dead.Load() {
		return ErrCrashed
	}
	return nil
}

// look returns the names of a folder as this machine sees them. Both locks are held.
func (v *View) look(dir *inode, path string, anew bool) map[string]*inode {
	if v.faults.Stale == nil {
		return dir.names
	}
	now := v.m.now()
	s := v.names[dir]
	if s == nil || anew || !now.Before(s.until) {
		s = &seen{names: maps.Clone(dir.names), until: now.Add(v.faults.Stale(path))}
		v.names[dir] = s
	}
	return s.names
}

// find walks to a path by the names that this machine sees.
func (v *View) find(op, name string) (*inode, error) {
	at, path := v.m.root, ""
	for _, part := range parts(name) {
		if !at.dir {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
		next, ok := v.look(at, path, false)[part]
		if !ok {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at, path = next, path+"/"+part
	}
	return at, nil
}

// learn takes a name that this machine changed into what it sees.
func (v *View) learn(names ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	for _, name := range names {
		dir, base, err := v.m.parent("look", name)
		if err != nil || v.names[dir] == nil {
			continue
		}
		if f, ok := dir.names[base]; ok {
			v.names[dir].names[base] = f
		} else {
			delete(v.names[dir].names, base)
		}
	}
}

// change does an operation on the real names, whose reply may be lost: again is the error of the second of its kind.
func (v *View) change(op Op, again error, do func() error, names ...string) error {
	if err := v.before(op); err != nil {
		return err
	}
	err := do()
	v.learn(names...)
	if err == nil && again != nil && v.faults.Lost != nil && v.faults.Lost(op) {
		return &fs.PathError{Op: string(op.Kind), Path: op.Path, Err: again}
	}
	return err
}

// MkdirAll creates a folder and those above it.
func (v *View) MkdirAll(dir string) error {
	var names []string
	for d := filepath.Clean(dir); filepath.Dir(d) != d; d = filepath.Dir(d) {
		names = append(names, d)
	}
	return v.change(Op{OpMkdir, dir}, nil, func() error { return v.m.MkdirAll(dir) }, names...)
}

// Create makes a new file.
func (v *View) Create(name string) (File, error) {
	return v.open(Op{OpCreate, name}, fs.ErrExist, func() (File, error) { return v.m.Create(name) })
}

// CreateShared makes a new file that may be appended to.
func (v *View) CreateShared(name string) (File, error) {
	return v.open(Op{OpCreate, name}, fs.ErrExist, func() (File, error) { return v.m.CreateShared(name) })
}

// Append opens a file to write at its end.
func (v *View) Append(name string) (File, error) {
	return v.open(Op{OpCreate, name}, nil, func() (File, error) { return v.m.Append(name) })
}

func (v *View) open(op Op, again error, do func() (File, error)) (File, error) {
	var f File
	err := v.change(op, again, func() (err error) { f, err = do(); return err }, op.Path)
	if err != nil {
		return nil, err
	}
	return &viewFile{File: f, v: v, name: op.Path}, nil
}

// Rename gives a file another name.
func (v *View) Rename(from, to string) error {
	return v.change(Op{OpRename, to}, fs.ErrNotExist, func() error { return v.m.Rename(from, to) }, from, to)
}

// Link gives a file a second name.
func (v *View) Link(from, to string) error {
	return v.change(Op{OpLink, to}, fs.ErrExist, func() error { return v.m.Link(from, to) }, to)
}

// Remove deletes a file or an empty folder.
func (v *View) Remove(name string) error {
	return v.change(Op{OpRemove, name}, fs.ErrNotExist, func() error { return v.m.Remove(name) }, name)
}

// SyncDir makes the names in a folder durable.
func (v *View) SyncDir(dir string) error {
	return v.change(Op{OpSyncDir, dir}, nil, func() error { return v.m.SyncDir(dir) })
}

// file returns the file that this machine sees under a name.
func (v *View) file(op Op) (*inode, error) {
	if err := v.before(op); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return v.find(string(op.Kind), op.Path)
}

// Open opens a file for reading.
func (v *View) Open(name string) (Reader, error) {
	b, err := v.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return newMemReader(b), nil
}

// ReadFile returns a whole file: what it holds now, if it is one that was replaced or removed since its name was seen, too.
func (v *View) ReadFile(name string) ([]byte, error) {
	f, err := v.file(Op{OpRead, name})
	if err != nil {
		return nil, err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if f.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	return slices.Clone(f.data), nil
}

// ReadDir lists a folder.
func (v *View) ReadDir(name string) ([]Info, error) {
	dir, err := v.file(Op{OpRead, name})
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if !dir.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	names := v.look(dir, strings.TrimSuffix(filepath.Clean(name), "/"), !v.faults.StaleLists)
	infos := make([]Info, 0, len(names))
	for _, base := range slices.Sorted(maps.Keys(names)) {
		infos = append(infos, Info{Name: base, Dir: names[base].dir, Size: int64(len(names[base].data))})
	}
	return infos, nil
}

// Stat describes a file or folder.
func (v *View) Stat(name string) (Info, error) {
	f, err := v.file(Op{OpStat, name})
	if err != nil {
		return Info{}, err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return Info{Name: filepath.Base(name), Dir: f.dir, Size: int64(len(f.data))}, nil
}

// Names returns how many names a file has.
func (v *View) Names(name string) (int, error) {
	f, err := v.file(Op{OpStat, name})
	if err != nil {
		return 0, err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return f.links, nil
}

// Changed returns when a file's content was last written.
func (v *View) Changed(name string) (time.Time, error) {
	f, err := v.file(Op{OpRead, name})
	if err != nil {
		return time.Time{}, err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return f.changed, nil
}

// Lock says that there are no locks.
func (v *View) Lock(name string, _ LockMode) (Lock, error) {
	return nil, &fs.PathError{Op: "lock", Path: name, Err: errors.ErrUnsupported}
}

// viewFile is an open file of a View.
type viewFile struct {
	File
	v    *View
	name string
}

// Write appends p.
func (f *viewFile) Write(p []byte) (int, error) {
	if err := f.v.before(Op{OpWrite, f.name}); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// Sync makes what was written durable.
func (f *viewFile) Sync() error {
	if err := f.v.before(Op{OpSync, f.name}); err != nil {
		return err
	}
	return f.File.Sync()
}
