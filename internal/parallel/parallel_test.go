package parallel

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

func TestDoRunsEachTaskOnce(t *testing.T) {
	for _, workers := range []int{0, 1, 2, 3, 8} {
		p := New(workers)
		for _, n := range []int{0, 1, 2, 7, 1000} {
			counts := make([]atomic.Int32, n)
			p.Do(n, func(w, i int) {
				if w < 0 || w >= p.Workers() {
					t.Errorf("worker %d of %d", w, p.Workers())
				}
				counts[i].Add(1)
			})
			for i := range counts {
				if c := counts[i].Load(); c != 1 {
					t.Fatalf("%d workers, %d tasks: task %d ran %d times", workers, n, i, c)
				}
			}
		}
		p.Close()
	}
}

// TestDoStartsInOrder lets every task wait for the one before it: a pool that started them out of order would hang.
func TestDoStartsInOrder(t *testing.T) {
	p := New(3)
	defer p.Close()
	const n = 50
	var done [n]chan struct{}
	for i := range done {
		done[i] = make(chan struct{})
	}
	p.Do(n, func(_, i int) {
		if i > 0 {
			<-done[i-1]
		}
		close(done[i])
	})
}

func TestDoPassesPanicOn(t *testing.T) {
	for _, workers := range []int{1, 3} {
		p := New(workers)
		var ran atomic.Int32
		func() {
			defer func() {
				if v, ok := recover().(string); !ok || !strings.Contains(v, "task three") {
					t.Errorf("%d workers: recovered %v", workers, v)
				}
			}()
			p.Do(6, func(_, i int) {
				ran.Add(1)
				if i == 3 {
					panic("task three")
				}
			})
		}()
		if ran.Load() != 6 {
			t.Errorf("%d workers: %d tasks ran beside the panic, want 6", workers, ran.Load())
		}
		p.Do(2, func(_, _ int) {}) // usable afterwards
		p.Close()
	}
}

func TestDoAllocatesNothing(t *testing.T) {
	p := New(2)
	defer p.Close()
	var sum atomic.Int64
	task := func(_, i int) { sum.Add(int64(i)) }
	if n := testing.AllocsPerRun(100, func() { p.Do(16, task) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestCoresAreSome(t *testing.T) {
	if n := Cores(); n < 1 || n > runtime.NumCPU() {
		t.Errorf("%d cores of %d processors", n, runtime.NumCPU())
	}
}
