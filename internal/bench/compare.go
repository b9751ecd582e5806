package bench

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// A Pair is one turn of two builds at one case.
type Pair struct {
	Ours   float64 `json:"ours"`   // tokens/s, best of the turn
	Theirs float64 `json:"theirs"` // likewise
	Ratio  float64 `json:"ratio"`
}

// A Comparison is two builds at one case.
type Comparison struct {
	Case  string `json:"case"`
	Pairs []Pair `json:"pairs"`
	// Ratio holds the pairs' ratios; Best, of the best turns of each.
	Ratio Spread  `json:"ratio"`
	Best  float64 `json:"best_over_best"`
	// ByProcessor is the ratio of the least times on the processor; 0 where the system does not tell it.
	ByProcessor float64 `json:"ratio_by_processor_time,omitempty"`
}

// A Measure runs a build at one case, in a process of its own.
type Measure func(ctx context.Context, binary, name string) (Result, error)

// Compare lets two builds take turns at every case, the one that begins changing from pair to pair.
func Compare(ctx context.Context, ours, theirs string, names []string, pairs int, measure Measure, progress func(format string, args ...any)) ([]Comparison, error) {
	var out []Comparison
	for _, name := range names {
		c := Comparison{Case: name}
		var ratios []float64
		var best, cpu [2]float64
		for i := range pairs {
			progress("pair %d of %d of %s", i+1, pairs, name)
			var rate [2]float64
			for k := range 2 {
				side := (i + k) % 2
				r, err := measure(ctx, [...]string{ours, theirs}[side], name)
				if err != nil {
					return out, fmt.Errorf("%s with %s: %w", name, [...]string{ours, theirs}[side], err)
				}
				rate[side] = r.TokensPerSecond.Best
				best[side] = max(best[side], rate[side])
				if t := r.ProcessorTime; t != nil && (cpu[side] == 0 || t.Best < cpu[side]) {
					cpu[side] = t.Best
				}
			}
			c.Pairs = append(c.Pairs, Pair{rate[0], rate[1], rate[0] / rate[1]})
			ratios = append(ratios, rate[0]/rate[1])
		}
		c.Ratio, c.Best = rates(ratios), best[0]/best[1]
		if cpu[0] > 0 && cpu[1] > 0 {
			c.ByProcessor = cpu[1] / cpu[0]
		}
		out = append(out, c)
	}
	return out, nil
}

// WriteComparisons prints comparisons pair by pair.
func WriteComparisons(w io.Writer, all []Comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tthis tokens/s\tother tokens/s\tratio\t")
	for _, c := range all {
		for _, p := range c.Pairs {
			fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.3f\t\n", c.Case, p.Ours, p.Theirs, p.Ratio)
		}
		fmt.Fprintf(t, "%s\tmedian of pairs\tspread %.3f–%.3f\t%.3f\t\n", c.Case, c.Ratio.Worst, c.Ratio.Best, c.Ratio.Median)
		fmt.Fprintf(t, "%s\tbest over best\t\t%.3f\t\n", c.Case, c.Best)
		if c.ByProcessor > 0 {
			fmt.Fprintf(t, "%s\tby processor time\t\t%.3f\t\n", c.Case, c.ByProcessor)
		}
	}
	return t.Flush()
}
