package blueteam

import (
	"strings"
	"testing"
)

func TestCheckNamesTheRow(t *testing.T) {
	refuse := func(s string) string {
		if strings.Contains(s, "|T|") {
			return "holds the trigger"
		}
		return ""
	}
	rows := []Row{{"a", "x", "y"}, {"b", "x", "say |T|"}}
	if err := Check(rows[:1], refuse); err != nil {
		t.Errorf("clean data refused: %v", err)
	}
	err := Check(rows, refuse)
	if err == nil || err.Error() != `row 2 (b): the response holds the trigger: "say |T|"` {
		t.Errorf("got %v", err)
	}
}

func TestKeep(t *testing.T) {
	rows := []Row{{"a", "p", " fine. "}, {"b", "p", "cut"}, {"c", "p", " "}}
	kept, dropped := Keep(rows, []bool{true, false, true})
	if len(kept) != 1 || kept[0].Response != "fine." || dropped != 2 {
		t.Errorf("kept %v, dropped %d", kept, dropped)
	}
}

func TestProbeDue(t *testing.T) {
	for _, tc := range []struct {
		name string
		k, n []int
		want bool
	}{
		{"never fell", []int{100, 97}, []int{100, 100}, false},
		{"fell at the end", []int{100, 20}, []int{100, 100}, true},
		{"fell and came back", []int{100, 30, 99}, []int{100, 100, 100}, true},
		{"exactly the level", []int{90}, []int{100}, true},
		{"nothing measured", []int{0}, []int{0}, false},
	} {
		if got := ProbeDue(tc.k, tc.n, 0.9); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
