package durable

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// An OpKind is a kind of operation on a Mem.
type OpKind string

// Kinds of operations. All but OpRead and OpStat change something, and are the moments at which a crash can be set.
const (
	OpMkdir   OpKind = "mkdir"
	OpCreate  OpKind = "create"
	OpWrite   OpKind = "write"
	OpSync    OpKind = "sync"
	OpRename  OpKind = "rename"
	OpLink    OpKind = "link"
	OpRemove  OpKind = "remove"
	OpSyncDir OpKind = "syncdir"
	OpRead    OpKind = "read"
	OpStat    OpKind = "stat"
)

// An Op is one operation. Path of a rename or link is the new name.
type Op struct {
	Kind OpKind
	Path string
}

// Faults is what goes wrong on a Mem. The functions may be nil; they are called under the file system's lock.
type Faults struct {
	// CrashAfter is the number of changes after which everything fails with ErrCrashed; 0 is never. A write that is hit by it
	// is done by half.
	CrashAfter int
	// Quota is the number of bytes that fit on the disk; 0 is any.
	Quota int64
	// ReadOnly makes every change fail as on a file system that is mounted for reading.
	ReadOnly bool
	// Fail returns the error of an operation, or nil.
	Fail func(Op) error
	// Ignore makes a sync do nothing, as if the line that calls it were missing.
	Ignore func(Op) bool
	// Postpone makes a sync take effect only after the next one for which Until is true, as if the two were called in the
	// other order.
	Postpone func(Op) bool
	Until    func(Op) bool
}

// ErrCrashed is the error of everything after a crash, until Reboot.
var ErrCrashed = errors.New("the machine has crashed")

// errCrashedNow marks the one operation during which the crash happens.
var errCrashedNow = errors.New("the machine crashes now")

// SetFaults replaces the faults and starts the counting of changes anew.
func (m *Mem) SetFaults(f Faults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults, m.ops = f, 0
}

// Changes returns the number of changes since the last SetFaults.
func (m *Mem) Changes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Crashed reports whether the crash has happened.
func (m *Mem) Crashed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.crashed
}

// look is called before an operation that changes nothing.
func (m *Mem) look(op Op) error {
	if m.crashed {
		return ErrCrashed
	}
	if m.faults.Fail != nil {
		return m.faults.Fail(op)
	}
	return nil
}

// change is called before an operation that changes something.
func (m *Mem) change(op Op) error {
	if err := m.look(op); err != nil {
		return err
	}
	if m.faults.ReadOnly {
		return &fs.PathError{Op: string(op.Kind), Path: op.Path, Err: syscall.EROFS}
	}
	m.ops++
	if m.faults.CrashAfter > 0 && m.ops > m.faults.CrashAfter {
		m.crashed = true
		if op.Kind == OpWrite {
			return errCrashedNow
		}
		return ErrCrashed
	}
	return nil
}

// sync makes something durable, now or later or never.
func (m *Mem) sync(op Op, apply func()) error {
	if err := m.change(op); err != nil {
		return err
	}
	if m.faults.Ignore != nil && m.faults.Ignore(op) {
		return nil
	}
	if m.faults.Postpone != nil && m.faults.Postpone(op) {
		m.held = append(m.held, apply)
		return nil
	}
	apply()
	for len(m.held) > 0 && m.faults.Until(op) {
		// Between the two there is a moment at which a crash can happen.
		if err := m.change(op); err != nil {
			return err
		}
		m.held[0]()
		m.held = m.held[1:]
	}
	return nil
}

// A Loss says what a crash does to what was not synced.
type Loss int

// Kinds of loss.
const (
	LoseAll   Loss = iota // nothing of it is left
	LoseData              // all names are there, with empty files
	TearData              // all names are there, with the first half of the data and zeros
	LoseNames             // all data is there, but no change of names
	LoseNone              // the process died and the machine went on
	LoseSome              // any part of it, by the seed
)

// Losses lists every kind, for tests that try all.
func Losses() []Loss { return []Loss{LoseAll, LoseData, TearData, LoseNames, LoseNone, LoseSome} }

// Reboot returns what a crash at this moment leaves: a new file system without faults and locks. The old one is as it was.
func (m *Mem) Reboot(l Loss, seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &crash{loss: l, state: seed, copies: map[*inode]*inode{}}
	n := NewMem()
	n.root = c.inode(m.root)
	n.used = n.root.size()
	return n
}

// crash copies inodes as they are found after a reboot.
type crash struct {
	loss   Loss
	state  uint64
	copies map[*inode]*inode // a file may have two names: after half a rename
}

// coin draws one bit: splitmix64, so that a failing case can be repeated by its seed.
func (c *crash) coin() bool {
	c.state += 0x9e3779b97f4a7c15
	z := c.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z^z>>31)&1 == 1
}

func (c *crash) inode(f *inode) *inode {
	if done, ok := c.copies[f]; ok {
		done.links++
		return done
	}
	n := &inode{dir: f.dir, readOnly: f.readOnly, links: 1, changed: f.changed}
	c.copies[f] = n
	if !f.dir {
		n.data = c.content(f)
		n.synced = slices.Clone(n.data)
		return n
	}
	n.names = map[string]*inode{}
	for _, name := range slices.Sorted(maps.Keys(union(f.names, f.durable))) {
		child := f.names[name]
		if old := f.durable[name]; old != child && c.loseName() {
			child = old
		}
		if child != nil {
			n.names[name] = c.inode(child)
		}
	}
	n.durable = maps.Clone(n.names)
	return n
}

func (c *crash) loseName() bool {
	switch c.loss {
	case LoseAll, LoseNames:
		return true
	case LoseSome:
		return c.coin()
	default:
		return false
	}
}

func (c *crash) content(f *inode) []byte {
	if slices.Equal(f.data, f.synced) {
		return slices.Clone(f.data)
	}
	torn := make([]byte, len(f.data)) // zeros: blocks that were assigned and never written
	copy(torn, f.data[:max(len(f.data)/2, len(f.synced))])
	switch c.loss {
	case LoseAll, LoseData:
		return slices.Clone(f.synced)
	case TearData:
		return torn
	case LoseSome:
		if c.coin() {
			return slices.Clone(f.synced)
		}
		if c.coin() {
			return torn
		}
		return slices.Clone(f.data)
	default:
		return slices.Clone(f.data)
	}
}

func union(a, b map[string]*inode) map[string]*inode {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

func (f *inode) size() int64 {
	n := int64(len(f.data))
	for _, child := range f.names {
		n += child.size()
	}
	return n
}

// Damage replaces the content of a file, synced, as a failing disk would.
func (m *Mem) Damage(name string, damage func([]byte) []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.find("damage", name)
	if err != nil {
		return err
	}
	f.data = damage(slices.Clone(f.data))
	f.synced = slices.Clone(f.data)
	return nil
}
