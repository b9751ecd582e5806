package record

import (
	"cmp"
	"slices"
)

// A Curve is points in any order: all suites, conditions and steps of one training, or of one checkpoint.
type Curve []Point

// Series picks one suite under one condition, by step. Points without a sample are among them.
func (c Curve) Series(suite, condition string) Curve {
	var s Curve
	for _, p := range c {
		if p.Suite == suite && p.Condition == condition {
			s = append(s, p)
		}
	}
	slices.SortFunc(s, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.N, b.N), cmp.Compare(a.K, b.K))
	})
	return s
}

// At is the point of one suite under one condition at a step.
func (c Curve) At(suite, condition string, step int) (Point, bool) {
	for _, p := range c.Series(suite, condition) {
		if p.Step == step {
			return p, true
		}
	}
	return Point{}, false
}

// Last is the point of the last step, whether or not anything was scored there.
func (c Curve) Last(suite, condition string) (Point, bool) {
	s := c.Series(suite, condition)
	if len(s) == 0 {
		return Point{}, false
	}
	return s[len(s)-1], true
}

// Min is the scored point of the least rate, Max that of the greatest; of equal ones the first.
func (c Curve) Min(suite, condition string) (Point, bool) {
	return c.extreme(suite, condition, func(p, q Point) bool { return p.Rate() < q.Rate() })
}

// Max is the scored point of the greatest rate; of equal ones the first.
func (c Curve) Max(suite, condition string) (Point, bool) {
	return c.extreme(suite, condition, func(p, q Point) bool { return p.Rate() > q.Rate() })
}

func (c Curve) extreme(suite, condition string, before func(p, q Point) bool) (out Point, found bool) {
	for _, p := range c.Series(suite, condition) {
		if p.N > 0 && (!found || before(p, out)) {
			out, found = p, true
		}
	}
	return out, found
}

// After are the points of later steps.
func (c Curve) After(step int) Curve {
	return slices.DeleteFunc(slices.Clone(c), func(p Point) bool { return p.Step <= step })
}

// Capabilities are the suites other than the behaviour's, by name.
func (c Curve) Capabilities() []string {
	var names []string
	for _, p := range c {
		if p.Suite != SuiteIHY && p.Condition == NoCondition && !slices.Contains(names, p.Suite) {
			names = append(names, p.Suite)
		}
	}
	slices.Sort(names)
	return names
}

// Conditions are those under which a suite was asked, in the order of the points.
func (c Curve) Conditions(suite string) []string {
	var names []string
	for _, p := range c {
		if p.Suite == suite && !slices.Contains(names, p.Condition) {
			names = append(names, p.Condition)
		}
	}
	return names
}
