package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Class is a kind of jobs: those for steps on CPUs, or those for steps that need GPUs.
type Class struct {
	Request // Tasks are not used
	Jobs    int
}

// An Outlook is what the store says.
type Outlook struct {
	Left   []int    // open steps that may still run, by class
	Ready  []int    // of these, those whose inputs are there and that nobody runs
	Done   int      // steps that are done
	Steps  int      // of the plan
	Failed []string // steps that failed in a worker
	// Ended says why a job ended, for those that said it before they did.
	Ended func(job string) (why string, ok bool)
	// Busy reports whether a job runs something.
	Busy func(job string) bool
}

// A Watch keeps as many jobs in the queue as the steps that wait for one can use, until none is open: nobody's processors and GPUs wait for
// what others compute.
type Watch struct {
	Slurm    Slurm
	Classes  []Class
	MaxArray int
	Look     func(context.Context) (Outlook, error)
	Log      func(format string, args ...any)
	Pause    func(context.Context) error // between two looks at the queue

	told    string        // how things stood the last time that it was said
	tasks   map[Task]bool // that were seen or submitted and not yet missed
	done    int           // at the last submission
	useless int           // submissions since then without anything done
}

// mostUseless is how often jobs are submitted again while nothing gets done.
const mostUseless = 20

// ErrUseless says that jobs end without doing anything.
var ErrUseless = errors.New("jobs end again and again and nothing gets done: read their logs")

// Run watches until the store says that nothing is left, or ctx ends; the jobs are left in the queue then.
func (w *Watch) Run(ctx context.Context) (Outlook, error) {
	w.tasks, w.done = map[Task]bool{}, -1
	for {
		look, err := w.Look(ctx)
		if err != nil {
			return look, err
		}
		if total(look.Left) == 0 {
			return look, nil
		}
		if err := w.top(ctx, look); err != nil {
			return look, err
		}
		if err := w.Pause(ctx); err != nil {
			return look, err
		}
	}
}

func total(ns []int) int {
	sum := 0
	for _, n := range ns {
		sum += n
	}
	return sum
}

// top submits what is missing in the queue.
func (w *Watch) top(ctx context.Context, look Outlook) error {
	var names []string
	for _, c := range w.Classes {
		names = append(names, c.Name)
	}
	queue, err := w.Slurm.Queue(ctx, names...)
	if err != nil {
		w.Log("the queue cannot be asked, and is asked again: %v", err)
		return nil // a controller that restarts takes minutes; the jobs go on
	}
	alive := map[Task]bool{}
	count, idle := map[string]int{}, map[string]int{} // jobs by name; idle: those that have begun nothing, or not begun
	w.tell(look, queue)
	for _, q := range queue {
		if q.Over() {
			continue
		}
		alive[q.Task], w.tasks[q.Task] = true, true
		if count[q.Name]++; !look.Busy(q.Task.String()) {
			idle[q.Name]++
		}
	}
	for _, t := range sortedTasks(w.tasks) {
		if alive[t] {
			continue
		}
		delete(w.tasks, t)
		if why, ok := look.Ended(t.String()); ok {
			w.Log("job %s: %s", t, why)
		} else {
			w.Log("job %s is lost: it is not in the queue and left no record", t)
		}
	}
	for i, c := range w.Classes {
		if missing := min(c.Jobs-count[c.Name], look.Ready[i]-idle[c.Name]); missing > 0 {
			if err := w.submit(ctx, c, missing, look.Done); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell says how things stand, where that is new.
func (w *Watch) tell(look Outlook, queue []Queued) {
	run, wait, reasons := 0, 0, map[string]bool{}
	for _, q := range queue {
		switch {
		case q.Over():
		case q.State == "PENDING":
			wait++
			reasons[q.Reason] = true
		default:
			run++
		}
	}
	now := fmt.Sprintf("%d of %d steps done, %d jobs run, %d wait", look.Done, look.Steps, run, wait)
	if wait > 0 {
		now += " (" + strings.Join(slices.Sorted(maps.Keys(reasons)), ", ") + ")"
	}
	if now != w.told {
		w.told = now
		w.Log("%s", now)
	}
}

// submit submits n jobs, in as many arrays as it takes.
func (w *Watch) submit(ctx context.Context, c Class, n, done int) error {
	if done == w.done {
		if w.useless++; w.useless > mostUseless {
			return ErrUseless
		}
	} else {
		w.done, w.useless = done, 0
	}
	for _, r := range c.Arrays(n, w.MaxArray) {
		script, err := r.Script()
		if err != nil {
			return err
		}
		id, err := w.Slurm.Submit(ctx, script)
		if err != nil {
			return err
		}
		w.Log("submitted %d jobs as array %s", len(r.Tasks), id)
		for _, t := range r.Tasks {
			w.tasks[Task{id, t}] = true
		}
	}
	return nil
}

// Arrays divides n jobs of a class into arrays that a cluster takes.
func (c Class) Arrays(n, maxArray int) []Request {
	var all []Request
	for n > 0 {
		r := c.Request
		r.Tasks = make([]int, min(n, maxArray))
		for i := range r.Tasks {
			r.Tasks[i] = i
		}
		n -= len(r.Tasks)
		all = append(all, r)
	}
	return all
}

func sortedTasks(set map[Task]bool) []Task {
	tasks := make([]Task, 0, len(set))
	for t := range set {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(len(a.Array), len(b.Array)), cmp.Compare(a.Array, b.Array), cmp.Compare(a.Index, b.Index))
	})
	return tasks
}

// Limit is a job's time: what the steps are expected to take, with head-room, and time to start and to stop.
func Limit(expected, most time.Duration) time.Duration {
	const least = 30 * time.Minute
	d := max(least, 2*expected+2*Before).Round(time.Minute)
	if most > 0 {
		d = min(d, most)
	}
	return d
}
