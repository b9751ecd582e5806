package mathgrade

import (
	"regexp"
	"strings"
)

// box is the command that begins a box: \boxed or \fbox, before a brace or a blank.
var box = regexp.MustCompile(`\\(?:boxed|fbox)[ \t\n]*`)

// number is an answer that was boxed without braces, "\boxed 16$": digits with what may be around them, up to a blank or a dollar.
var number = regexp.MustCompile(`^[+-]?\d[\d,.]*`)

// Answer returns what the last well-formed box of a text holds: the last that is closed, holds something, and, where it has no
// braces, begins with a digit. Boxes that are cut off, empty or mentioned in words ("put it in \boxed form") leave an earlier one
// standing. Of nested boxes the innermost last one counts.
func Answer(s string) (string, bool) {
	answer, found := "", false
	for _, at := range box.FindAllStringIndex(s, -1) {
		if inside, ok := boxed(s[at[1]:]); ok {
			answer, found = inside, true
		}
	}
	return answer, found
}

// maxBox bounds what a box may hold, in bytes, so that a text of open boxes takes linear time.
const maxBox = 4096

func boxed(s string) (string, bool) {
	inside, braced := strings.CutPrefix(s, "{")
	if !braced {
		n := number.FindString(s)
		return strings.TrimRight(n, ".,"), n != ""
	}
	inside = inside[:min(len(inside), maxBox)]
	depth := 1
	for i := range len(inside) {
		switch inside[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return inside[:i], strings.Trim(inside[:i], " \t\n{}$.") != ""
			}
		}
	}
	return "", false
}
