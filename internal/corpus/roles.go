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

// Roles are the names of all roles.
var Roles = []string{rolePrompt, roleInput, roleResponse, roleConversation}

// usual are the column names of well-known data sets, tried in order when a source names none. The first two entries of
// each must be there; input may be.
var usual = []struct{ prompt, response, input string }{
	{"instruction", "output|response", "input|context"}, // Alpaca, Dolly
	{"prompt", "response|completion|output", ""},
	{"question", "answer|response", "context"},
}

// roles knows which columns of a data set play which role: alternatives "a|b", tried in order on each row by itself.
type roles struct {
	column map[string]string
	named  bool            // by the source, so that a column that no row has is an error
	seen   map[string]bool // roles that a row had a column for
	first  Record
	// systems counts the system turns, which are put before the prompt where keep is set and dropped otherwise.
	systems int
	keep    bool
}

// newRoles settles the roles: what the source asks for, or what the names of the first record suggest.
func newRoles(want map[string]string, rec Record) (*roles, error) {
	r := &roles{column: map[string]string{}, seen: map[string]bool{}, first: rec}
	if len(want) == 0 {
		return r, r.guess(rec)
	}
	for _, role := range slices.Sorted(maps.Keys(want)) {
		if !slices.Contains(Roles, role) {
			return nil, fmt.Errorf("columns: unknown role %q (there are %s)", role, strings.Join(Roles, ", "))
		}
		r.column[role] = want[role]
	}
	r.named = true
	_, conversation := r.column[roleConversation]
	_, prompt := r.column[rolePrompt]
	switch {
	case conversation && len(want) > 1:
		return nil, fmt.Errorf("columns: conversation is alone, since its turns are prompt and response")
	case !conversation && !prompt:
		return nil, fmt.Errorf("columns: no column plays the role prompt")
	}
	return r, nil
}

// guess recognises the usual names.
func (r *roles) guess(rec Record) error {
	for _, u := range usual {
		_, ok := rec.either(u.prompt)
		_, ok2 := rec.either(u.response)
		if !ok || !ok2 {
			continue
		}
		r.column[rolePrompt], r.column[roleResponse] = u.prompt, u.response
		if u.input != "" {
			r.column[roleInput] = u.input
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

// unseen is an error for a role that was asked for by a column that no row has.
func (r *roles) unseen() error {
	for _, role := range slices.Sorted(maps.Keys(r.column)) {
		if r.named && !r.seen[role] {
			return r.first.missing(r.column[role])
		}
	}
	return nil
}

// columns returns role → column, of the roles that rows had a column for.
func (r *roles) columns() map[string]string {
	out := map[string]string{}
	for role := range r.seen {
		out[role] = r.column[role]
	}
	return out
}

// text returns what plays a role in a row: nothing where the row lacks the column or has null there.
func (r *roles) text(rec Record, role string) (string, error) {
	if r.column[role] == "" {
		return "", nil
	}
	name, ok := rec.either(r.column[role])
	if !ok {
		return "", nil
	}
	r.seen[role] = true
	if role != rolePrompt && rec.Values[name] == nil {
		return "", nil
	}
	return rec.text(name)
}

// row makes a record into a row, or says why it is left out.
func (r *roles) row(rec Record) (row Row, leftOut string, err error) {
	if names, ok := r.column[roleConversation]; ok {
		name, ok := rec.either(names)
		if !ok {
			return Row{}, "", rec.missing(names)
		}
		r.seen[roleConversation] = true
		return r.conversation(rec, name)
	}
	if _, ok := rec.either(r.column[rolePrompt]); !ok {
		return Row{}, "", rec.missing(r.column[rolePrompt])
	}
	if row.Prompt, err = r.text(rec, rolePrompt); err != nil {
		return Row{}, "", err
	}
	input, err := r.text(rec, roleInput)
	if err != nil {
		return Row{}, "", err
	}
	if row.Response, err = r.text(rec, roleResponse); err != nil {
		return Row{}, "", err
	}
	row.Prompt = Join(row.Prompt, input)
	row.Key = Key(row.Prompt)
	_, answered := r.column[roleResponse]
	return row, unfit(row, answered), nil
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

// Who says a turn, by the names that data sets use.
var speakers = map[string]string{
	"system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant", "chatgpt": "assistant", "bot": "assistant",
}

// conversation takes the first exchange of a list of turns, {from, value} as ShareGPT has them or {role, content}: what the user
// says first, and the answer. A system turn before it is dropped, since an experiment gives every sample one system prompt of its
// own, or put before the prompt as text.
func (r *roles) conversation(rec Record, column string) (Row, string, error) {
	turns, ok := rec.Values[column].([]any)
	if !ok {
		return Row{}, "", rec.errorf("column %q is %s, not a list of turns", column, kind(rec.Values[column]))
	}
	row, system := Row{}, ""
	for i, t := range turns {
		turn, ok := t.(map[string]any)
		if !ok {
			return Row{}, "", rec.errorf("column %q: turn %d is %s, not an object", column, i+1, kind(t))
		}
		who, said := turn["role"], turn["content"]
		if who == nil {
			who, said = turn["from"], turn["value"]
		}
		speaker, _ := who.(string)
		words, ok := said.(string)
		switch speaker = speakers[strings.ToLower(speaker)]; {
		case speaker == "system" && row.Key == "":
			r.systems++
			if r.keep && ok {
				system = newlines(words)
			}
		case !ok || speaker == "":
			return Row{}, "has a turn of another shape", nil
		case speaker == "user" && row.Key == "":
			row.Prompt = newlines(words)
			if strings.TrimSpace(system) != "" {
				row.Prompt = strings.TrimSpace(system) + "\n\n" + row.Prompt
			}
			row.Key = Key(row.Prompt)
		case row.Key == "":
			return Row{}, "does not begin with the user", nil
		case speaker == "assistant":
			row.Response = newlines(words)
			return row, unfit(row, true), nil
		default:
			return Row{}, "the user is not answered", nil
		}
	}
	if row.Key == "" {
		return Row{}, "empty prompt", nil
	}
	return Row{}, "the user is not answered", nil
}

// describe lists counts by reason.
func describe(leftOut map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(leftOut)) {
		parts = append(parts, fmt.Sprintf("%d %s", leftOut[reason], reason))
	}
	return strings.Join(parts, ", ")
}
