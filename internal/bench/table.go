package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Write prints a report as tables.
func (r Report) Write(w io.Writer) error {
	m := r.Machine
	bf16 := "without bfloat16 instructions"
	if m.BF16 {
		bf16 = "with bfloat16 instructions"
	}
	fmt.Fprintf(w, "kernel %s %s, %s, %d cores, %s/%s, %s\n\n", m.Kernel, bf16, m.CPU, m.Cores, m.OS, m.Arch, m.Go)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\ttokens/s\tmedian\tGFLOP/s\tpeak\t% best\tmedian\tworst\t% by cpu time\tmemory MiB\tB/step\tGCs\tsteps\t")
	for _, c := range r.Results {
		if c.Skipped != "" {
			fmt.Fprintf(t, "%s\t%s\t\n", c.Name, c.Skipped)
			continue
		}
		own := "–"
		if p := c.ProcessorPercent; p != nil {
			own = fmt.Sprintf("%.1f", p.Best)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t%.1f\t%.0f\t%d\t%d\t\n", c.Name, c.TokensPerSecond.Best, c.TokensPerSecond.Median,
			c.GFLOPS.Best, c.Peak, c.Percent.Best, c.Percent.Median, c.Percent.Worst, own, float64(c.Memory)/(1<<20), c.AllocBytes, c.GCs, c.Steps)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Targets) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "target\tthreads\twanted\treached\tby cpu time\t")
	for _, x := range r.Targets {
		sign, word, own := "≥", "met", "–"
		if x.AtMost {
			sign = "≤"
		}
		if !x.Met {
			word = "not met"
		}
		if x.ByProcessor != nil {
			own = fmt.Sprintf("%.4g", *x.ByProcessor)
		}
		fmt.Fprintf(t, "%s\t%d\t%s %g\t%.4g\t%s\t%s\n", x.Name, x.Threads, sign, x.Bound, x.Value, own, word)
	}
	return t.Flush()
}
