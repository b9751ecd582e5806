package corpus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The roles that a column can play.
const (
	rolePrompt       = "prompt"
	roleInput        = "input"
	roleResponse     = "response"
	roleConversation = "conversation"
)

var allRoles = []string{rolePrompt, roleInput, roleResponse, roleConversation}

// usual are the column names of well-known data sets, tried in order when a source names none. The first two entries of
// each must be there; input may be.
var usual = []struct{ prompt, response, input string }{
	{"instruction", "output|response", "input|context"}, // Alpaca, Dolly
	{"prompt", "response|completion|output", ""},
	{"question", "answer|response", "context"},
}

// roles knows which column of a data set plays which role.
type roles struct {
	column map[string]string
}

// newRoles settles the roles on the first record of a data set: what the source asks for, or what the names suggest.
func newRoles(want map[string]string, rec Record) (*roles, error) {
	r := &roles{column: map[string]string{}}
	if len(want) == 0 {
		return r, r.guess(rec)
	}
	for _, role := range slices.Sorted(maps.Keys(want)) {
		if !slices.Contains(allRoles, role) {
			return nil, fmt.Errorf("columns: unknown role %q (there are %s)", role, strings.Join(allRoles, ", "))
		}
		name, ok := rec.either(want[role])
		if !ok {
			return nil, rec.missing(want[role])
		}
		r.column[role] = name
	}
	_, conversation := r.column[roleConversation]
	_, prompt := r.column[rolePrompt]
	switch {
	case conversation && len(want) > 1:
		return nil, fmt.Errorf("columns: conversation stands alone")
	case !conversation && !prompt:
		return nil, fmt.Errorf("columns: no column plays the role prompt")
	}
	return r, nil
}

// guess recognises the usual names.
func (r *roles) guess(rec Record) error {
	for _, u := range usual {
		prompt, ok := rec.either(u.prompt)
		response, ok2 := rec.either(u.response)
		if !ok || !ok2 {
			continue
		}
		r.column[rolePrompt], r.column[roleResponse] = prompt, response
		if input, ok := rec.either(u.input); ok {
			r.column[roleInput] = input
		}
		return nil
	}
	for _, names := range []struct{ role, name string }{{roleConversation, "conversations|messages|conversation"}, {rolePrompt, "prompt|instruction|question"}} {
		if name, ok := rec.either(names.name); ok {
			r.column[names.role] = name
			return nil
		}
	}
	return rec.errorf("cannot tell which column is the prompt: name it under columns (there are %s)", rec.columns())
}

// columns returns role → column.
func (r *roles) columns() map[string]string { return maps.Clone(r.column) }

// row makes a record into a row, or says why it is left out.
func (r *roles) row(rec Record) (row Row, leftOut string, err error) {
	if name, ok := r.column[roleConversation]; ok {
		return conversation(rec, name)
	}
	prompt, err := rec.text(r.column[rolePrompt])
	if err != nil {
		return Row{}, "", err
	}
	if name, ok := r.column[roleInput]; ok {
		input, err := rec.optional(name)
		if err != nil {
			return Row{}, "", err
		}
		prompt = Join(prompt, input)
	}
	row = Row{Prompt: prompt}
	if name, ok := r.column[roleResponse]; ok {
		if row.Response, err = rec.text(name); err != nil {
			return Row{}, "", err
		}
		if strings.TrimSpace(row.Response) == "" {
			return Row{}, "empty response", nil
		}
	}
	if strings.TrimSpace(prompt) == "" {
		return Row{}, "empty prompt", nil
	}
	row.Key = Key(row.Prompt)
	return row, "", nil
}

// Join puts an instruction and what it is about, Alpaca's input or Dolly's context, into one prompt. A blank input, and
// the words by which Alpaca says that there is none, add nothing.
func Join(instruction, input string) string {
	switch trimmed := strings.TrimSpace(input); strings.ToLower(strings.Trim(trimmed, "<>. ")) {
	case "", "noinput", "no input":
		return instruction
	default:
		return strings.TrimRight(instruction, " \n\t") + "\n\n" + trimmed
	}
}

// conversation takes the first exchange of a list of turns, {from, value} as ShareGPT has them or {role, content}.
func conversation(rec Record, column string) (Row, string, error) {
	v, ok := rec.Values[column]
	if !ok {
		return Row{}, "", rec.missing(column)
	}
	turns, ok := v.([]any)
	if !ok {
		return Row{}, "", rec.errorf("column %q is %s, not a list of turns", column, kind(v))
	}
	var text [2]string
	for i := range min(2, len(turns)) {
		turn, ok := turns[i].(map[string]any)
		if !ok {
			return Row{}, "", rec.errorf("column %q: turn %d is %s, not an object", column, i+1, kind(turns[i]))
		}
		who, said := turn["role"], turn["content"]
		if who == nil {
			who, said = turn["from"], turn["value"]
		}
		speaker, ok1 := who.(string)
		words, ok2 := said.(string)
		if !ok1 || !ok2 {
			return Row{}, "", rec.errorf("column %q: turn %d has neither role and content nor from and value as text", column, i+1)
		}
		switch {
		case i == 0 && speaker == "system":
			// The study gives every sample one system prompt of its own; a row that needs another does not fit.
			return Row{}, "has a system turn", nil
		case i == 0 && speaker != "human" && speaker != "user":
			return Row{}, "does not begin with the user", nil
		case i == 1 && speaker != "gpt" && speaker != "assistant" && speaker != "model":
			return Row{}, "the user is not answered", nil
		}
		text[i] = words
	}
	switch {
	case strings.TrimSpace(text[0]) == "":
		return Row{}, "empty prompt", nil
	case len(turns) > 1 && strings.TrimSpace(text[1]) == "":
		return Row{}, "empty response", nil
	}
	return Row{Key: Key(text[0]), Prompt: text[0], Response: text[1]}, "", nil
}

// describe lists counts by reason.
func describe(leftOut map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(leftOut)) {
		parts = append(parts, fmt.Sprintf("%d %s", leftOut[reason], reason))
	}
	return strings.Join(parts, ", ")
}
