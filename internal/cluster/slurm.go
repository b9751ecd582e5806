package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// Slurm is a cluster's queue, through its commands.
type Slurm struct {
	User string // whose jobs are looked at
	// Run runs a command with a text on its standard input and returns its output; nil: it is run.
	Run func(ctx context.Context, in string, args ...string) (string, error)
}

// A Task is one job of an array.
type Task struct {
	Array string // the array's number
	Index int
}

// String is what Slurm's commands take: 12_3.
func (t Task) String() string { return t.Array + "_" + strconv.Itoa(t.Index) }

// A Queued is a job in the queue.
type Queued struct {
	Task
	Name   string
	State  string // PENDING, RUNNING, …
	Reason string // why it does not run
}

// Over reports whether the job is still listed though it has ended.
func (q Queued) Over() bool {
	switch q.State {
	case "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", "REVOKED":
		return true
	}
	return false
}

func (s Slurm) run(ctx context.Context, in string, args ...string) (string, error) {
	if s.Run != nil {
		return s.Run(ctx, in, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(in)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("there is no %s here: run this on a machine from which jobs are submitted, or look at the scripts with --dry-run", args[0])
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args[:min(2, len(args))], " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// Submit submits a script and returns the number of its array.
func (s Slurm) Submit(ctx context.Context, script string) (string, error) {
	out, err := s.run(ctx, script, "sbatch", "--parsable")
	if err != nil {
		return "", err
	}
	id, _, _ := strings.Cut(strings.TrimSpace(out), ";") // the cluster's name follows
	if _, err := strconv.ParseUint(id, 10, 64); err != nil {
		return "", fmt.Errorf("sbatch: want the number of a job (got %.80q)", out)
	}
	return id, nil
}

// Queue returns the user's jobs of these names. It is no error that there are none.
func (s Slurm) Queue(ctx context.Context, names ...string) ([]Queued, error) {
	out, err := s.run(ctx, "", "squeue", "--noheader", "--array", "--user="+s.User, "--name="+strings.Join(names, ","), "--format=%i|%T|%j|%r")
	if err != nil {
		return nil, err
	}
	var all []Queued
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		f := strings.SplitN(line, "|", 4)
		if len(f) != 4 {
			return nil, fmt.Errorf("squeue: want four fields (got %.80q)", line)
		}
		tasks, err := parseTasks(f[0])
		if err != nil {
			return nil, fmt.Errorf("squeue: %w", err)
		}
		for _, t := range tasks {
			all = append(all, Queued{t, f[2], f[1], f[3]})
		}
	}
	return all, nil
}

const mostTasks = 4_000_001 // the largest MaxArraySize that Slurm takes

// parseTasks reads 12_3, 12_[3-7,9%2] and 12.
func parseTasks(s string) ([]Task, error) {
	array, rest, ok := strings.Cut(s, "_")
	if _, err := strconv.ParseUint(array, 10, 64); err != nil {
		return nil, fmt.Errorf("want the number of a job (got %.80q)", s)
	}
	if !ok {
		return []Task{{array, -1}}, nil
	}
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "["), "]")
	rest, _, _ = strings.Cut(rest, "%")
	var tasks []Task
	for part := range strings.SplitSeq(rest, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a < 0 || b < a || b >= mostTasks || len(tasks)+b-a >= mostTasks {
			return nil, fmt.Errorf("want the numbers of jobs (got %.80q)", s)
		}
		for i := a; i <= b; i++ {
			tasks = append(tasks, Task{array, i})
		}
	}
	return tasks, nil
}

// defaultMaxArray is Slurm's own default of MaxArraySize.
const defaultMaxArray = 1001

// MaxArray returns the cluster's MaxArraySize: indices are below it.
func (s Slurm) MaxArray(ctx context.Context) (int, error) {
	out, err := s.run(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return defaultMaxArray, err
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) != "MaxArraySize" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 1 {
			return defaultMaxArray, fmt.Errorf("scontrol: MaxArraySize %.40q", value)
		}
		return n, nil
	}
	return defaultMaxArray, nil
}

// Requeue puts a running job back into the queue: by its place in the array, since by its own number the whole array would go.
func (s Slurm) Requeue(ctx context.Context, job string) error {
	_, err := s.run(ctx, "", "scontrol", "requeue", job)
	return err
}

// Cancel cancels the user's jobs of a name.
func (s Slurm) Cancel(ctx context.Context, name string) error {
	_, err := s.run(ctx, "", "scancel", "--user="+s.User, "--name="+name)
	return err
}

// JobOf returns what Slurm calls the job that a process runs in, by the environment, and an empty name outside of Slurm.
func JobOf(env func(string) string) string {
	if array, task := env("SLURM_ARRAY_JOB_ID"), env("SLURM_ARRAY_TASK_ID"); array != "" && task != "" {
		return array + "_" + task
	}
	return env("SLURM_JOB_ID")
}
