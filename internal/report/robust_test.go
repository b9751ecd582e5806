package report_test

import (
	"encoding/csv"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRobustnessTable: an area over the last steps alone is never above that over all, and split halves are there where the generations are.
func TestRobustnessTable(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.003"}, 1, 100
	study, samples := g.study(1)
	_, page := writeStudy(t, study, samples)
	rows, err := csv.NewReader(strings.NewReader(read(t, filepath.Join(filepath.Dir(page), "tables", "robustness.csv")))).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	for _, r := range rows[1:] {
		var x [3]float64
		for i, col := range []int{2, 5, 6} {
			if x[i], err = strconv.ParseFloat(r[col], 64); err != nil {
				t.Fatalf("%s: %v", rows[0][col], err)
			}
		}
		if x[1] > x[0] || x[1] < 0.5 || x[2] < 0.3 || x[2] > 1.1 {
			t.Errorf("%s: area %g, last steps %g, split %g", r[1], x[0], x[1], x[2])
		}
	}
}
