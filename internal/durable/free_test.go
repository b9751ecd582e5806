package durable

import (
	"path/filepath"
	"testing"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	have, err := Free(dir)
	if err != nil || have <= 0 {
		t.Fatalf("%d bytes, %v", have, err)
	}
	if deep, err := Free(filepath.Join(dir, "not", "yet", "here")); err != nil || deep <= 0 || deep > 2*have || have > 2*deep {
		t.Errorf("%d bytes below a folder with %d (%v)", deep, have, err)
	}
}
