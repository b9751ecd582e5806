//go:build unix

package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openSafely keeps an opening from following a link that took the name meanwhile, and from waiting for a pipe's other end.
const (
	openSafely = unix.O_NOFOLLOW | unix.O_NONBLOCK
	openAtOnce = unix.O_NONBLOCK
)

// SyncDir makes the names in a folder durable.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // a file system whose folders cannot be synced: it offers no more
	}
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Lock takes a lock by flock(2), which the kernel ends together with the process.
func (OS) Lock(name string, mode LockMode) (Lock, error) {
	how := unix.LOCK_SH
	if mode == Exclusive {
		how = unix.LOCK_EX
	}
	for {
		f, err := openRegular(name, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, err
		}
		if err := flock(f, how|unix.LOCK_NB); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// Remove may have deleted the file between open and flock. A lock on a file without a name excludes nobody.
		same, err := stillNamed(f, name)
		if err == nil && same {
			return &osLock{f, name}, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		default:
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}

func stillNamed(f *os.File, name string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(name)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(open, named), nil
}

type osLock struct {
	f    *os.File
	name string
}

func (l *osLock) Downgrade() error { return flock(l.f, unix.LOCK_SH) }

func (l *osLock) Unlock() error { return l.f.Close() }

// Remove deletes the name while the lock is still held, so that no second holder can have it.
func (l *osLock) Remove() error {
	return errors.Join(ignoreMissing(os.Remove(l.name)), l.f.Close())
}

// free asks the file system of a folder or file.
func free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("asking how much is free at %s: %w", path, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // their types differ between systems
}
