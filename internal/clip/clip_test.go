package clip

import "testing"

func TestText(t *testing.T) {
	for _, tc := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"äöü", 3, "äöü"}, {"äöüß", 2, "äö…"}, {"a\xffb", 2, "a\xff…"}, {"x", 0, "…"},
	} {
		if got := Text(tc.in, tc.n); got != tc.want {
			t.Errorf("Text(%q, %d) is %q, want %q", tc.in, tc.n, got, tc.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"name", "run", "results", "ifeval"}
	for in, want := range map[string]string{
		"nmae": "name", //nolint:misspell // the point of the row
		"rnu":  "run", "result": "results", "ifevl": "ifeval", "ifveal": "ifeval", "walk": "", "": "", "abc": "", "runs": "run",
	} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 67374: "67,374", 1234567: "1,234,567"} {
		if got := Grouped(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
