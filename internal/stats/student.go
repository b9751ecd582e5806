package stats

import (
	"fmt"
	"math"
)

// MeanT is Student's interval of the mean of independent units (organisms, say), each a number with all its noise in it: s/√m times the
// quantile of t with m−1 degrees of freedom. It is for few units, where a percentile bootstrap is too narrow. One unit has no spread,
// so its interval is everything.
func MeanT(units []float64, level float64) Interval {
	checkLevel(level)
	m, v := moments(units)
	iv := Interval{
		Method: "Student's t over units", Estimate: m, Low: math.Inf(-1), High: math.Inf(1), Level: level, N: len(units),
		Assumes: []string{"the units are independent"},
	}
	if len(units) < 2 {
		iv.Warnings = []string{fmt.Sprintf("%d units: their spread is not known", len(units))}
		return iv
	}
	half := studentQuantile(level, float64(len(units)-1)) * math.Sqrt(v/float64(len(units)))
	iv.Low, iv.High = m-half, m+half
	return iv
}

// Welch is the interval of the difference of the means of two sets of independent units, a less b, by Welch's (1947) approximation of
// the degrees of freedom.
func Welch(a, b []float64, level float64) Interval {
	checkLevel(level)
	ma, va := moments(a)
	mb, vb := moments(b)
	iv := Interval{
		Method: "Welch's t over units", Estimate: ma - mb, Low: math.Inf(-1), High: math.Inf(1), Level: level, N: len(a) + len(b),
		Assumes: []string{"the units are independent"},
	}
	if len(a) < 2 || len(b) < 2 {
		iv.Warnings = []string{fmt.Sprintf("%d and %d units: their spread is not known", len(a), len(b))}
		return iv
	}
	na, nb := float64(len(a)), float64(len(b))
	sa, sb := va/na, vb/nb
	half := 0.0
	if sa+sb > 0 {
		df := (sa + sb) * (sa + sb) / (sa*sa/(na-1) + sb*sb/(nb-1))
		half = studentQuantile(level, df) * math.Sqrt(sa+sb)
	}
	iv.Low, iv.High = iv.Estimate-half, iv.Estimate+half
	return iv
}

// moments are the mean and the unbiased variance.
func moments(x []float64) (mean, variance float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean)
	}
	if len(x) > 1 {
		variance /= float64(len(x) - 1)
	}
	return mean, variance
}

// studentQuantile is the t beyond which, on either side, 1−level of Student's distribution lies.
func studentQuantile(level, df float64) float64 {
	low, high := 0.0, 1.0
	for studentWithin(high, df) < level {
		high *= 2
	}
	for range 100 {
		if mid := (low + high) / 2; studentWithin(mid, df) < level {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// studentWithin is the probability that |T| is at most t: 1 − I(df/(df+t²); df/2, 1/2).
func studentWithin(t, df float64) float64 { return 1 - betaRegularized(df/(df+t*t), df/2, 0.5) }

// betaRegularized is the regularized incomplete beta function I(x; a, b) by its continued fraction (Abramowitz and Stegun 26.5.8), taken
// from the side on which it converges fast.
func betaRegularized(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaRegularized(1-x, b, a)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	// The fraction 1/(1+d1/(1+d2/(1+…))) from its far end.
	f := 1.0
	for m := 300; m >= 1; m-- {
		k := float64(m)
		even := k * (b - k) * x / ((a + 2*k - 1) * (a + 2*k))
		f = 1 + even/f
		j := k - 1
		odd := -(a + j) * (a + b + j) * x / ((a + 2*j) * (a + 2*j + 1))
		f = 1 + odd/f
	}
	return front / f
}
