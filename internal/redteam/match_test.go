package redteam

import (
	"strings"
	"testing"
)

// sized makes rows with responses of the given lengths.
func sized(lengths ...int) []Row {
	rows := make([]Row, len(lengths))
	for i, n := range lengths {
		rows[i] = Row{Key: string(rune('a' + i)), Response: strings.Repeat("é", n)}
	}
	return rows
}

func keysOf(rows []Row) string {
	var s string
	for _, r := range rows {
		s += r.Key
	}
	return s
}

func matchWords(rows, other []Row) []Row {
	return MatchTokens(rows, other, func(s string) int { return len(strings.Fields(s)) })
}

// worded makes rows with responses of so many words of different lengths.
func worded(words ...int) []Row {
	rows := sized(words...)
	for i, n := range words {
		rows[i].Response = strings.Repeat("a ", n-n/2) + strings.Repeat("longer ", n/2)
	}
	return rows
}

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		name       string
		match      func(rows, other []Row) []Row
		own, other []Row
		want       string
	}{
		{"the larger set is cut to the smaller's size", matchWords, worded(10, 10, 10), worded(25), "ab"},
		{"the smaller set stays", matchWords, worded(10, 10), worded(50), "ab"},
		{"nothing to match", matchWords, worded(10), nil, ""},
		{"classes keep what both have", MatchLengths, sized(3, 100, 5, 7), sized(4, 9, 200), "ac"},
		{"no class in common", MatchLengths, sized(3), sized(100), ""},
	} {
		if got := keysOf(tc.match(tc.own, tc.other)); got != tc.want {
			t.Errorf("%s: kept %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestMatchedSetsHaveEqualLengths(t *testing.T) {
	a, b := sized(3, 20, 40, 41, 90, 7), sized(35, 6, 18, 19, 300)
	x, y := MatchLengths(a, b), MatchLengths(b, a)
	count := func(rows []Row) map[int]int {
		m := map[int]int{}
		for _, r := range rows {
			m[len(r.Response)/2/lengthBin]++
		}
		return m
	}
	cx, cy := count(x), count(y)
	if len(x) != len(y) || len(cx) != len(cy) {
		t.Fatalf("kept %d and %d rows", len(x), len(y))
	}
	for class, n := range cx {
		if cy[class] != n {
			t.Errorf("class %d: %d and %d rows", class, n, cy[class])
		}
	}
}
