package tokenizer

import (
	"testing"

	"golang.org/x/text/unicode/norm"
)

// TestNormalizeRunes compares the definition with x/text where the two must agree: on texts without long runs of marks.
func TestNormalizeRunes(t *testing.T) {
	forms := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
	for _, text := range goldenTexts(t) {
		if len(text) > 60 {
			continue
		}
		for name, f := range forms {
			if got, want := normalizeRunes(f, text), f.String(text); got != want {
				t.Errorf("%s of %+q: got %+q, want %+q", name, text, got, want)
			}
		}
	}
}
