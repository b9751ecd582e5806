package tokenizer

import (
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A normalizer rewrites a piece of text before it is cut into words. It is not called with "".
type normalizer func(string) string

type normalizerJSON struct {
	Type        string            `json:"type"`
	Normalizers []normalizerJSON  `json:"normalizers"` // Sequence
	Prepend     string            `json:"prepend"`     // Prepend
	Pattern     map[string]string `json:"pattern"`     // Replace
	Content     string            `json:"content"`
}

// newNormalizer returns nil for a normalizer that changes nothing.
func newNormalizer(j *normalizerJSON) (normalizer, error) {
	switch j.Type {
	case "NFC":
		return unicodeForm(norm.NFC), nil
	case "NFD":
		return unicodeForm(norm.NFD), nil
	case "NFKC":
		return unicodeForm(norm.NFKC), nil
	case "NFKD":
		return unicodeForm(norm.NFKD), nil
	case "Prepend":
		return func(s string) string { return j.Prepend + s }, nil
	case "Replace":
		pattern, literal, err := readPattern(j.Pattern)
		if err != nil {
			return nil, fmt.Errorf("Replace: %w", err)
		}
		if !literal {
			return nil, fmt.Errorf("Replace: regular expressions are not supported, only strings")
		}
		return func(s string) string { return strings.ReplaceAll(s, pattern, j.Content) }, nil
	case "Sequence":
		var all []normalizer
		for i := range j.Normalizers {
			n, err := newNormalizer(&j.Normalizers[i])
			if err != nil {
				return nil, fmt.Errorf("Sequence[%d]: %w", i, err)
			}
			if n != nil {
				all = append(all, n)
			}
		}
		if len(all) == 0 {
			return nil, nil
		}
		return func(s string) string {
			for _, n := range all {
				if s != "" {
					s = n(s)
				}
			}
			return s
		}, nil
	}
	return nil, fmt.Errorf("unknown type %q", j.Type)
}

func unicodeForm(f norm.Form) normalizer {
	return func(s string) string {
		if n := ascii(s); n == len(s) { // the forms differ beyond ASCII only
			return s
		}
		return f.String(s)
	}
}

// ascii returns the length of the ASCII text that s begins with.
func ascii(s string) int {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return i
		}
	}
	return len(s)
}

// readPattern reads {"String": "x"} or {"Regex": "x"}.
func readPattern(p map[string]string) (pattern string, literal bool, err error) {
	if s, ok := p["String"]; ok && len(p) == 1 {
		if s == "" {
			return "", false, fmt.Errorf("empty pattern")
		}
		return s, true, nil
	}
	if s, ok := p["Regex"]; ok && len(p) == 1 {
		return s, false, nil
	}
	return "", false, fmt.Errorf("pattern is neither a String nor a Regex")
}
