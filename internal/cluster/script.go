// Package cluster runs workers as jobs of Slurm: it writes the scripts, submits them, and watches the queue until the store says that the plan is
// done. It needs sbatch, squeue, scontrol and scancel, and no accounting: squeue says who is alive, the store what is done.
package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Before is how long before the end of its time a job is told to stop (sbatch --signal; Slurm may be a minute early).
const Before = 5 * time.Minute

// A Request is what an array of jobs asks for, each of which runs the same program.
type Request struct {
	Name      string // of the jobs; what the queue is asked for
	Tasks     []int  // indices of the array, each once
	CPUs      int    // of each job
	Memory    int64  // bytes
	Devices   int    // GPUs; 0: none is asked for
	Limit     time.Duration
	Partition string
	Account   string
	QOS       string
	Options   []string // further options of sbatch, such as --constraint=h100
	Dir       string   // working directory
	Log       string   // sbatch's pattern, such as /home/u/logs/%A_%a.log
	Setup     []string // lines of shell before the program: modules, environments
	Program   []string // the program and its arguments
}

// Script writes the batch script. A value that could end a line or an option is refused.
func (r Request) Script() (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("#!/bin/bash\n")
	option := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "#SBATCH --%s=%s\n", name, value)
		}
	}
	option("job-name", r.Name)
	option("array", ranges(r.Tasks))
	option("nodes", "1")
	option("ntasks", "1")
	option("cpus-per-task", strconv.Itoa(r.CPUs))
	if r.Memory > 0 {
		option("mem", strconv.FormatInt((r.Memory+1<<20-1)>>20, 10)+"M")
	}
	if r.Devices > 0 {
		option("gres", "gpu:"+strconv.Itoa(r.Devices))
	}
	option("time", clock(r.Limit))
	option("partition", r.Partition)
	option("account", r.Account)
	option("qos", r.QOS)
	option("signal", fmt.Sprintf("B:USR2@%d", int(Before.Seconds())))
	b.WriteString("#SBATCH --requeue\n")
	option("open-mode", "append")
	option("chdir", r.Dir)
	option("output", r.Log)
	for _, o := range r.Options {
		fmt.Fprintf(&b, "#SBATCH %s\n", o)
	}
	for _, line := range r.Setup {
		fmt.Fprintln(&b, line)
	}
	// The program takes the shell's place, so that the signals reach it.
	b.WriteString("exec")
	for _, arg := range r.Program {
		b.WriteString(" " + quote(arg))
	}
	b.WriteString("\n")
	return b.String(), nil
}

func (r Request) check() error {
	var problems []error
	for name, value := range map[string]string{"name": r.Name, "partition": r.Partition, "account": r.Account, "qos": r.QOS, "working directory": r.Dir, "log": r.Log} {
		if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '"' || c == '\'' || c == '\\' }) {
			problems = append(problems, fmt.Errorf("%s: a batch script cannot hold white space or quotes here (got %q)", name, value))
		}
	}
	for _, o := range r.Options {
		if !strings.HasPrefix(o, "--") || strings.ContainsAny(o, "\n\r\x00") {
			problems = append(problems, fmt.Errorf("option of sbatch: want one that begins with -- on one line (got %q)", o))
		}
	}
	for _, s := range append(slices.Clone(r.Program), r.Setup...) {
		if strings.ContainsAny(s, "\x00\r") {
			problems = append(problems, fmt.Errorf("program or set-up: characters that a script cannot hold (got %q)", s))
		}
	}
	if r.Name == "" || len(r.Tasks) == 0 || r.CPUs < 1 || r.Limit <= 0 || len(r.Program) == 0 {
		problems = append(problems, fmt.Errorf("a job needs a name, tasks, CPUs, a time limit and a program (got %q, %d, %d, %v, %d)", r.Name, len(r.Tasks), r.CPUs, r.Limit, len(r.Program)))
	}
	return errors.Join(problems...)
}

// quote makes one word of shell of a text.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-./=:,@%+", c))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// clock writes a time limit as Slurm takes it: days-hours:minutes:seconds.
func clock(d time.Duration) string {
	s := int((d + time.Second - 1) / time.Second)
	return fmt.Sprintf("%d-%02d:%02d:%02d", s/86400, s/3600%24, s/60%60, s%60)
}

// ranges writes indices as an array has them: 0-3,7.
func ranges(tasks []int) string {
	tasks = slices.Compact(slices.Sorted(slices.Values(tasks)))
	var parts []string
	for i := 0; i < len(tasks); {
		k := i
		for k+1 < len(tasks) && tasks[k+1] == tasks[k]+1 {
			k++
		}
		part := strconv.Itoa(tasks[i])
		if k > i {
			part += "-" + strconv.Itoa(tasks[k])
		}
		parts = append(parts, part)
		i = k + 1
	}
	return strings.Join(parts, ",")
}
