package experiment

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// list writes a YAML list of n different numbers.
func list(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint(i + 1)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// TestSweepsAreCounted: lists that multiply beyond the bounds are refused by counting, with what makes the number, in no time
// and no memory.
func TestSweepsAreCounted(t *testing.T) {
	five := "batch: " + list(300) + "\n    steps: " + list(300) + "\n    prompts: " + list(300) + "\n    rank: " + list(300) + "\n    seed: " + list(300)
	for _, tt := range []struct{ name, old, new, want string }{
		{"five lists of 300", "steps: 32", five, "interventions.hhh: the lists multiply to 4.86e+12 variants (lr 2 × batch 300 × steps 300 × prompts 300 × rank 300 × seed 300), and a file has at most 10000"},
		{"five lists of an organism", "    lr: 5e-4", "    " + five, "organisms.org: the lists multiply to 2.43e+12 variants"},
		{"an absurd rank", "steps: 32", "rank: 999999999999", "interventions.hhh.rank: want at most 65536 (got 999999999999)"},
		{"an absurd batch", "steps: 32", "batch: 99999999", "interventions.hhh.batch: want at most 1048576 (got 99999999)"},
		{"an absurd number of steps", "steps: 32", "steps: 999999999999", "interventions.hhh.steps: want at most 1000000000 (got 999999999999)"},
		{"one long list", "steps: 32", "steps: " + list(20_000), "the lists multiply to 40000 variants (lr 2 × steps 20000)"},
		{"many seeds", "name: t\n", "name: t\nseed: " + list(5000) + "\n", "seed: 5000 seeds, at most 1000"},
		{"organisms by interventions by seeds", "name: t\n", "name: t\nseed: " + list(900) + "\n", ""},
		{
			"arms", "steps: 32", "steps: 32\n    rank: " + list(90) + "\n  again: {technique: hhh, after: hhh, rank: " + list(100) + "}",
			"the file asks for 18180 arms (interventions 2 × interventions.hhh.lr 2 × interventions.hhh.rank 90 × interventions.again.rank 100), at most 10000",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := strings.Replace(good, tt.old, tt.new, 1)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			_, err := Parse("t.yaml", []byte(src))
			took := time.Since(begun)
			runtime.ReadMemStats(&after)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%.400v, want %q", err, tt.want)
			}
			if got := after.TotalAlloc - before.TotalAlloc; took > 30*time.Second || got > 256<<20 {
				t.Errorf("%s and %d MiB", took, got>>20)
			}
		})
	}
}

// TestManyProblems: a file that is wrong in every line is refused with a part of them.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString(good)
	for i := range 50_000 {
		fmt.Fprintf(&b, "    wrong%d: 1\n", i)
	}
	begun := time.Now()
	_, err := Parse("t.yaml", []byte(b.String()))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) > maxProblems+1 || !strings.Contains(err.Error(), "more problems are not listed") {
		t.Errorf("%d problems: %.300v", len(problems), err)
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestExpandHearsItsContext: an experiment of thousands of arms is given up at once.
func TestExpandHearsItsContext(t *testing.T) {
	f, err := Parse("t.yaml", []byte(strings.Replace(good, "steps: 32", "steps: 32\n    rank: "+list(1000), 1)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	begun := time.Now()
	if _, err := f.Expand(ctx, nil, nil, testLab()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("took %s", took)
	}
}
