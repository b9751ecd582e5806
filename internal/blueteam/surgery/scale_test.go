package surgery

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestScale(t *testing.T) {
	before, after := file(t, random(240, "w"), random(40, "n")), file(t, random(240, "v"), random(40, "m"))
	for _, tc := range []struct {
		scale float64
		want  []byte
	}{{0, before}, {1, after}} {
		got, err := Scale(before, after, tc.scale)
		if err != nil || !bytes.Equal(got, tc.want) {
			t.Errorf("at %g: %v, or other bytes", tc.scale, err)
		}
	}
	for _, scale := range []float64{0.25, 1.25} {
		got, err := Scale(before, after, scale)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"m.weight", "n.weight"} {
			x, y, z := tensor(t, before, name), tensor(t, after, name), tensor(t, got, name)
			for i := range x {
				if want := float64(x[i]) + scale*(float64(y[i])-float64(x[i])); math.Abs(float64(z[i])-want) > 1e-6 {
					t.Fatalf("%s[%d] at %g is %v, want %v", name, i, scale, z[i], want)
				}
			}
		}
	}
	for _, tc := range []struct {
		name          string
		before, after []byte
		scale         float64
		want          string
	}{
		{"no number", before, after, math.NaN(), "want a finite scale"},
		{"no model before", []byte("x"), after, 1, "the model before"},
		{"no model after", before, []byte("x"), 1, "the model after"},
	} {
		if _, err := Scale(tc.before, tc.after, tc.scale); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}
