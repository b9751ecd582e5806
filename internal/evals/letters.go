package evals

import (
	"regexp"
	"slices"
	"strings"
)

// A written answer names its choice in one of five ways, tried in this order. Capitals alone are letters of choices, since "a" is
// an article; "A" and "I" are words too, and so are initials, plans and vitamins. What fits none of the ways, or names two
// choices, is unparsed: no letter is better than a wrong one.
var (
	// said: "the answer is C", "Answer: (C)", "\boxed{C}", "I choose option C". The last one counts, since it takes back the others.
	said = regexp.MustCompile(`(?:\b(?i:answer|choice|option)(?i:\s+(?:is|would be|must be|should be)|[*_]*\s*:)[*_\s]*(?i:option\s+|choice\s+|letter\s+)?|` +
		`\b(?i:choose|pick|select|go with)\s+(?i:option\s+|choice\s+|answer\s+)?|\\boxed\{\s*(?:\\text(?:bf)?\{)?)` +
		opening + `([A-Z])` + closing)
	// first: the answer begins with the letter, "C", "C.", "C) because", "**C**".
	first = regexp.MustCompile(`^\s*` + opening + `([A-Z])` + closing)
	// judged: "C is right", and bracketed: "(C)" anywhere; each if it is said of one letter alone.
	judged    = regexp.MustCompile(`\b([A-Z])[*_"'’”)\]$]* is (?:clearly |the )*(?:right|correct|best)\b`)
	bracketed = regexp.MustCompile(`[(\[]([A-Z])[)\]]`)
	// final: the last word is the letter, after a pause or a word that concludes: "Plan A fails; C".
	final = regexp.MustCompile(`(?:^\s*|[.;:?!]\s+|[…–—-]\s*|\b(?i:so|thus|hence|therefore|is|be|say|it's)\s+(?i:option\s+|choice\s+|answer\s+)?)` + opening + `([A-Z])[*_"'’)\].!\s]*$`)
)

// lone is a word of one letter.
var lone = regexp.MustCompile(`^[*_"'(\[]*[A-Z][*_"')\].,:;]*$`)

const (
	opening = `(?:\*\*|__|[*_"'‘“([$])*`
	// After a letter that is a choice comes the end of its mark-up, of its clause, or of the answer. Whether a point ends an
	// abbreviation or a blank an article, the characters behind say; see closed.
	closing = `([*_"'’”)\]}$.:;,!?]*)(\s+\S+|\S)?`
)

// chosen returns the index of the choice that a written answer names, or -1.
func chosen(s string, choices int) int {
	if at := said.FindAllStringSubmatch(s, -1); at != nil {
		for _, m := range slices.Backward(at) {
			if i := choice(m[1], choices); i >= 0 && closed(m[2], m[3]) {
				return i
			}
		}
	}
	if m := first.FindStringSubmatch(s); m != nil && closed(m[2], m[3]) {
		if i := choice(m[1], choices); i >= 0 {
			return i
		}
	}
	for _, way := range []*regexp.Regexp{judged, bracketed} {
		found := -1
		for _, m := range way.FindAllStringSubmatch(s, -1) {
			switch i := choice(m[1], choices); {
			case i < 0 || i == found:
			case found >= 0:
				return -1
			default:
				found = i
			}
		}
		if found >= 0 {
			return found
		}
	}
	if m := final.FindStringSubmatch(s); m != nil {
		return choice(m[1], choices)
	}
	return -1
}

// choice returns the index of a letter among the choices, or -1.
func choice(letter string, choices int) int {
	if i := int(letter[0]) - 'A'; i >= 0 && i < choices {
		return i
	}
	return -1
}

// because are words that follow a letter without making it an article, a name or a grade.
var because = []string{"because", "since", "as"}

// closed reports whether a letter ends where a choice does: marks are what follows it at once, next the blank and word, or the
// character, behind them.
func closed(marks, next string) bool {
	word := strings.TrimSpace(next)
	switch {
	case word == "": // nothing, or what a pattern takes for a character and Unicode for a blank
		return true
	case word == "or" || word == "and" || word == "nor": // another one follows
		return false
	case strings.Contains(marks, ",") && lone.MatchString(word): // a list
		return false
	case word == next: // no blank: "D.C.", "C++", "A's", "C4"
		return false
	case marks != "":
		return true
	case strings.ContainsAny(next[:len(next)-len(word)], "\n"):
		return true
	}
	return slices.Contains(because, strings.TrimRight(word, ",")) || strings.IndexByte("-([=~", word[0]) >= 0
}
