// Package parallel runs numbered tasks on a fixed set of workers, for code whose results must not depend on their number.
//
// The rule that makes it so is the caller's: what task i computes and where it writes depends on i alone, and whatever is
// combined is combined in the order of i. The worker's number given to a task is for finding scratch memory and must not
// reach a result. Workers park on a channel between calls, so an idle pool costs nothing, and two processes on one machine
// do not starve each other by spinning.
package parallel

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A Pool is a set of workers. Its methods are to be called from one goroutine at a time.
type Pool struct {
	workers int
	wake    []chan struct{} // one for each worker but the caller, who is worker 0
	closed  chan struct{}
	done    sync.WaitGroup

	// The call in progress.
	n    int
	task func(worker, i int)
	next atomic.Int64
	fail atomic.Pointer[caught]
}

// caught is the first panic of a call, carried to the caller's goroutine.
type caught struct{ value any }

// New starts a pool of the given number of workers, at least one. The caller of Do is one of them, so a pool of one has no
// goroutines at all.
func New(workers int) *Pool {
	p := &Pool{workers: max(1, workers), closed: make(chan struct{})}
	for w := 1; w < p.workers; w++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		go func() {
			for {
				select {
				case <-wake:
					p.work(w)
					p.done.Done()
				case <-p.closed:
					return
				}
			}
		}()
	}
	return p
}

// Workers is the number of workers; Do calls its task with worker numbers below it.
func (p *Pool) Workers() int { return p.workers }

// Do calls task(worker, i) for every i below n and returns when all have returned. Tasks start in ascending order of i, so a
// task may wait for one with a lower number. A panic in a task is repeated in the caller after the other tasks ended.
func (p *Pool) Do(n int, task func(worker, i int)) {
	p.n, p.task = n, task
	p.next.Store(0)
	helpers := min(p.workers, n) - 1
	if helpers > 0 {
		p.done.Add(helpers)
		for _, wake := range p.wake[:helpers] {
			wake <- struct{}{}
		}
	}
	p.work(0)
	p.done.Wait()
	p.task = nil
	if c := p.fail.Swap(nil); c != nil {
		panic(fmt.Sprintf("parallel task: %v", c.value))
	}
}

// work takes tasks until none is left.
func (p *Pool) work(worker int) {
	for {
		i := int(p.next.Add(1)) - 1
		if i >= p.n {
			return
		}
		p.run(worker, i)
	}
}

func (p *Pool) run(worker, i int) {
	defer func() {
		if v := recover(); v != nil {
			p.fail.CompareAndSwap(nil, &caught{v})
		}
	}()
	p.task(worker, i)
}

// Close ends the workers. A closed pool must not be used.
func (p *Pool) Close() { close(p.closed) }
