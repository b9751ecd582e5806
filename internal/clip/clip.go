// Package clip shortens texts for messages, sets the thousands of numbers apart, and guesses the word that a misspelt one was to be.
package clip

import (
	"strconv"
	"unicode/utf8"
)

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

// Grouped writes a number that is not negative with its thousands apart.
func Grouped(n int) string {
	s := strconv.Itoa(n)
	for at := len(s) - 3; at > 0; at -= 3 {
		s = s[:at] + "," + s[at:]
	}
	return s
}
