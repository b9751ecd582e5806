package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"
)

// A Sharer is an FS whose files several machines may use at once: what leases need beyond FS. Where a reply is lost on the way
// from the machine that has the disk, an error may be returned although the operation was done.
type Sharer interface {
	FS
	// Link gives a file a second name in one step; fs.ErrExist where that is taken.
	Link(from, to string) error
	// Names returns how many names a file has.
	Names(name string) (int, error)
	// Changed returns when a file's content was last written, by the clock of the machine that has the disk. It opens the file,
	// since what a machine remembers of a file that it does not open may be a minute old.
	Changed(name string) (time.Time, error)
}

// Link gives a file a second name.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Changed returns when a file's content was last written.
func (OS) Changed(name string) (time.Time, error) {
	f, err := openRegular(name, os.O_RDONLY)
	if err != nil {
		return time.Time{}, err
	}
	fi, err := f.Stat()
	if err := errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	return fi.ModTime(), nil
}

// SetClock gives the file system a clock, which is asked under its lock. Without one every change of a file's content is a
// millisecond after the last.
func (m *Mem) SetClock(clock func() time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock = clock
}

func (m *Mem) now() time.Time {
	if m.clock != nil {
		return m.clock()
	}
	return time.UnixMilli(int64(m.ops))
}

// Link gives a file a second name.
func (m *Mem) Link(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.find("link", from)
	if err != nil {
		return err
	}
	dst, base, err := m.parent("link", to)
	if err != nil {
		return err
	}
	if _, taken := dst.names[base]; taken {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	if f.dir {
		return &fs.PathError{Op: "link", Path: from, Err: fs.ErrPermission}
	}
	if err := m.change(Op{OpLink, to}); err != nil {
		return err
	}
	dst.names[base] = f
	f.links++
	return nil
}

// Names returns how many names a file has.
func (m *Mem) Names(name string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.find("stat", name)
	if err != nil {
		return 0, err
	}
	return f.links, m.look(Op{OpStat, name})
}

// Changed returns when a file's content was last written.
func (m *Mem) Changed(name string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.find("stat", name)
	if err != nil {
		return time.Time{}, err
	}
	return f.changed, m.look(Op{OpStat, name})
}

// happened reports whether a rename that returned an error was done all the same: its reply was lost, and the question that was
// sent again found the old name gone (rename(2), BUGS).
func happened(fsys FS, temp, name string, data ...[]byte) bool {
	if ok, err := Exists(fsys, temp); err != nil || ok {
		return false
	}
	have, err := fsys.ReadFile(name)
	for _, part := range data {
		if err != nil || !bytes.HasPrefix(have, part) {
			return false
		}
		have = have[len(part):]
	}
	return err == nil && len(have) == 0
}
