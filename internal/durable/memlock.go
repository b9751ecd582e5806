package durable

import "sync"

// memLockState is who holds the lock of an inode.
type memLockState struct {
	shared    int
	exclusive bool
}

// Lock takes a lock by inode, as flock does: a file that was removed and made again has another.
func (m *Mem) Lock(name string, mode LockMode) (Lock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.openOrCreate(name)
	if err != nil {
		return nil, err
	}
	st := m.locks[f]
	if st == nil {
		st = &memLockState{}
		m.locks[f] = st
	}
	if st.exclusive || mode == Exclusive && st.shared > 0 {
		return nil, ErrLocked
	}
	l := &memLock{m: m, f: f, name: name, mode: mode}
	if mode == Exclusive {
		st.exclusive = true
	} else {
		st.shared++
	}
	return l, nil
}

type memLock struct {
	m    *Mem
	f    *inode
	name string
	mode LockMode
	once sync.Once
}

// Downgrade makes an exclusive lock a shared one.
func (l *memLock) Downgrade() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.mode == Exclusive {
		l.m.locks[l.f].exclusive = false
		l.m.locks[l.f].shared++
		l.mode = Shared
	}
	return nil
}

// Unlock ends the lock.
func (l *memLock) Unlock() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.release()
	return nil
}

// Remove deletes the lock's file and ends the lock.
func (l *memLock) Remove() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	err := ignoreMissing(l.m.remove(l.name))
	l.release()
	return err
}

func (l *memLock) release() {
	l.once.Do(func() {
		st := l.m.locks[l.f]
		if l.mode == Exclusive {
			st.exclusive = false
		} else {
			st.shared--
		}
		if *st == (memLockState{}) {
			delete(l.m.locks, l.f)
		}
	})
}
