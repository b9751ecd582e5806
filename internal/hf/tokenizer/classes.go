package tokenizer

import (
	"slices"
	"sync"
	"unicode/utf8"
)

// The classes of characters that scanners ask for, as bits. A character outside of letter, number and space is what the
// patterns write as [^\s\p{L}\p{N}].
const (
	letter  = 1 << iota // \p{L}
	number              // \p{N}
	space               // \s
	numeric             // Rust's char::is_numeric
	word                // Rust's \w
	newer               // perhaps unknown to Go: see standIn
)

// A classTable answers for the class of any character in two loads. Pages of 256 code points; those without any class
// share page 0.
type classTable struct {
	ascii [utf8.RuneSelf]uint8
	index [(utf8.MaxRune + 1) >> 8]uint16
	pages [][256]uint8
}

var classes = sync.OnceValue(func() *classTable {
	t := &classTable{pages: make([][256]uint8, 1, 800)}
	t.set(letterRanges[:], letter)
	t.set(numberRanges[:], number)
	t.set(spaceRanges[:], space)
	t.set(numericRanges[:], numeric)
	t.set(wordRanges[:], word)
	for _, r := range newerRanges {
		t.set([][2]rune{{r[0], r[1]}}, newer)
	}
	copy(t.ascii[:], t.pages[t.index[0]][:])
	return t
})

func (t *classTable) set(ranges [][2]rune, class uint8) {
	for _, r := range ranges {
		for c := r[0]; c <= r[1]; c++ {
			page := t.index[c>>8]
			if page == 0 {
				page = uint16(len(t.pages))
				t.pages = append(t.pages, [256]uint8{})
				t.index[c>>8] = page
			}
			t.pages[page][c&0xff] |= class
		}
	}
}

func (t *classTable) of(c rune) uint8 { return t.pages[t.index[c>>8]][c&0xff] }

// at returns the class and the width in bytes of the character at s[i]. A byte that is not UTF-8 is a character without
// class.
func (t *classTable) at(s string, i int) (class uint8, width int) {
	if c := s[i]; c < utf8.RuneSelf {
		return t.ascii[c], 1
	}
	c, width := utf8.DecodeRuneInString(s[i:])
	if c == utf8.RuneError {
		return 0, width
	}
	return t.of(c), width
}

// run returns where the characters of class end that begin at s[i].
func (t *classTable) run(s string, i int, class uint8) int {
	for i < len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			if t.ascii[c]&class == 0 {
				return i
			}
			i++
			continue
		}
		got, width := t.at(s, i)
		if got&class == 0 {
			return i
		}
		i += width
	}
	return i
}

// otherRun returns where the characters end, beginning at s[i], that are neither letter nor number nor space.
func (t *classTable) otherRun(s string, i int) int {
	for i < len(s) {
		got, width := t.at(s, i)
		if got&(letter|number|space) != 0 {
			return i
		}
		i += width
	}
	return i
}

// standIn returns a character that regular expressions built on Go's Unicode tables take as the library's own engine, whose
// tables are younger, takes c.
func standIn(c rune) rune {
	i, ok := slices.BinarySearchFunc(newerRanges[:], c, func(r [3]rune, c rune) int {
		switch {
		case r[1] < c:
			return -1
		case r[0] > c:
			return 1
		}
		return 0
	})
	if !ok {
		return c
	}
	return newerRanges[i][2]
}
