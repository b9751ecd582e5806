// Package clip shortens texts for messages, and guesses the word that a misspelt one was to be.
package clip

import "unicode/utf8"

// Text returns s, or its first n characters and an ellipsis where it is longer. It never cuts inside a character.
func Text(s string, n int) string {
	at := 0
	for range n {
		if at >= len(s) {
			return s
		}
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	if at >= len(s) {
		return s
	}
	return s[:at] + "…"
}
