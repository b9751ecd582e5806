package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// openSafely has nothing to add: opening waits for nobody here, and a link is seen beforehand.
const (
	openSafely = 0
	openAtOnce = 0
)

// SyncDir does nothing: NTFS journals names, and folders cannot be synced.
func (OS) SyncDir(string) error { return nil }

// Lock takes a lock by LockFileEx, which the system ends together with the process.
func (OS) Lock(name string, mode LockMode) (Lock, error) {
	f, err := openRegular(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	l := &osLock{f, name}
	if err := l.lock(mode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

type osLock struct {
	f    *os.File
	name string
}

func (l *osLock) lock(mode LockMode) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if mode == Exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(l.f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", l.name, err)
	}
	return nil
}

func (l *osLock) Downgrade() error {
	if err := windows.UnlockFileEx(windows.Handle(l.f.Fd()), 0, 1, 0, new(windows.Overlapped)); err != nil {
		return fmt.Errorf("unlocking %s: %w", l.name, err)
	}
	return l.lock(Shared)
}

func (l *osLock) Unlock() error { return l.f.Close() }

// Remove only unlocks: an open file cannot be deleted here, and an unlocked one of zero bytes does no harm.
func (l *osLock) Remove() error { return l.f.Close() }

// free asks the file system of a folder or file.
func free(path string) (int64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var have uint64
	if err := windows.GetDiskFreeSpaceEx(name, &have, nil, nil); err != nil {
		return 0, fmt.Errorf("asking how much is free at %s: %w", path, err)
	}
	return int64(min(have, 1<<62)), nil
}
