package pystr

import (
	"slices"
	"testing"
)

// The wanted values are CPython 3.11's.
func TestLower(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"ascii", "Hello WORLD", "hello world"},
		{"dotted i", "İstanbul", "i̇stanbul"},
		{"final sigma", "ΟΔΥΣΣΕΥΣ.", "οδυσσευς."},
		{"lone sigma", "Σ", "σ"},
		{"sigma before an apostrophe and a letter", "ΑΣ'Α", "ασ'α"},
		{"kelvin", "\u212a", "k"},
		{"invalid", "A\xffB", "a\ufffdb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Lower(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCase(t *testing.T) {
	for _, tt := range []struct {
		in           string
		upper, lower bool
	}{
		{"ABC 12!", true, false},
		{"abc", false, true},
		{"12", false, false},
		{"", false, false},
		{"ǅ", false, false},
		{"ABǅ", false, false},
		{"Ⓐ", true, false},
		{"ª", false, true},
		{"Aa", false, false},
	} {
		if u, l := IsUpper(tt.in), IsLower(tt.in); u != tt.upper || l != tt.lower {
			t.Errorf("%q: upper %v, lower %v; want %v, %v", tt.in, u, l, tt.upper, tt.lower)
		}
	}
}

func TestSpace(t *testing.T) {
	if got := Strip("\x1f\u00a0 a\u200b\u3000"); got != "a\u200b" {
		t.Errorf("Strip: %q", got)
	}
	if got := Split(" a\x1cb\u2003c "); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("Split: %q", got)
	}
}

func TestFold(t *testing.T) {
	for _, same := range []string{"iIıİ", "sSſ", "kK\u212a", "ßẞ", "σςΣ", "µμΜ"} {
		rs := []rune(same)
		for _, r := range rs[1:] {
			if Fold(r) != Fold(rs[0]) {
				t.Errorf("%q and %q fold apart", rs[0], r)
			}
		}
	}
	if Fold('é') == Fold('e') {
		t.Error("é folds to e")
	}
}

func TestWord(t *testing.T) {
	for _, tt := range []struct {
		r         rune
		re, regex bool
	}{{'_', true, true}, {'²', true, false}, {'é', true, true}, {'\u0301', false, true}, {'-', false, false}, {'Ⓐ', false, true}, {'٣', true, true}} {
		if IsWord(tt.r) != tt.re || IsRegexWord(tt.r) != tt.regex {
			t.Errorf("%q: re %v, regex %v", tt.r, IsWord(tt.r), IsRegexWord(tt.r))
		}
	}
}
