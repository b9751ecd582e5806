// Package escape makes text of unknown origin safe to show: what a model said, a name in somebody's file, an error that quotes either.
//
// Such text can move a terminal's cursor, write to its clipboard, turn into markup or a formula. Text is a type for it whose every
// way out escapes for where it goes; printed by package fmt it is escaped for a terminal, so that raw text is not printed by mistake.
package escape

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// Text is text of unknown origin.
type Text string

// Format implements fmt.Formatter: every verb prints what Terminal returns.
func (t Text) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(t.Terminal())) }

// Terminal returns the text for a terminal: line breaks and tabs are kept, every other character that does not show, and every byte
// that is not UTF-8, is written as Go writes it in a string.
func (t Text) Terminal() string { return visible(string(t), "\n\t") }

// Line is Terminal for a place that has one line: breaks and tabs become spaces.
func (t Text) Line() string {
	return visible(strings.NewReplacer("\n", " ", "\t", " ").Replace(string(t)), "")
}

// Markdown returns the text for a line or a table's cell of Markdown, where it reads as it is.
func (t Text) Markdown() string { return markup.Replace(t.Line()) }

var markup = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "<", "&lt;", ">", "&gt;", "&", "&amp;", "|", "\\|", "[", "\\[", "]", "\\]", "#", "\\#", "~", "\\~",
)

// HTML returns the text for the content of an element or a quoted attribute.
func (t Text) HTML() string { return html.EscapeString(visible(string(t), "\n\t")) }

// CSV returns the text for a field, before it is quoted: a spreadsheet takes what begins with one of =+-@, or with white space before one,
// for a formula, unless it is a number.
func (t Text) CSV() string {
	s := visible(string(t), "\n\t")
	if s == "" || !strings.ContainsRune("=+-@\t\n", rune(s[0])) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}

// visible writes what does not show as Go would in a string, the characters of keep left alone.
func visible(s, keep string) string {
	plain := true
	for _, r := range s {
		plain = plain && r != '\uFFFD' && strconv.IsPrint(r)
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, "\\x%02x", s[i])
		case strconv.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
