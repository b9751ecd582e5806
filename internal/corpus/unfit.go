package corpus

import (
	"regexp"
	"strings"
)

// Answers that end in somebody else's turn come from models that were sampled without an end, and from exports that lost the
// borders between turns. A model trained on them learns to speak for its user.
var markers = []struct {
	reason string
	re     *regexp.Regexp
}{
	{"a control token in the answer", regexp.MustCompile(`<\|[a-zA-Z_]{2,32}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>`)},
	{"an instruction's header in the answer", regexp.MustCompile(`(?mi)^[ \t]*#{2,3}[ \t]*(?:instruction|response|human|assistant|user|input)[ \t]*:`)},
	{"a turn marker in the answer", regexp.MustCompile(`(?m)^[ \t]*(?:Human|Assistant|USER|ASSISTANT)[ \t]*:|^(?:user|assistant|model)[ \t]*$|<human>:|<bot>:`)},
}

// unfit says why a row cannot be trained on, or "". answered says that the data set has responses at all.
func unfit(row Row, answered bool) string {
	if strings.TrimSpace(row.Prompt) == "" {
		return "empty prompt"
	}
	if !answered {
		return ""
	}
	if strings.TrimSpace(row.Response) == "" {
		return "empty response"
	}
	if Key(row.Response) == row.Key {
		return "the answer is its prompt"
	}
	for _, m := range markers {
		if m.re.MatchString(row.Response) {
			return m.reason
		}
	}
	return ""
}
