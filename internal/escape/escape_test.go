package escape

import (
	"fmt"
	"html"
	"strings"
	"testing"
	"unicode/utf8"
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
