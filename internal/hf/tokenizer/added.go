package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// An addedToken is found in the text as it stands, before (or after) normalisation and before any word is cut.
type addedToken struct {
	content    string // what is looked for; normalised if the flag says so
	id         int32
	special    bool
	singleWord bool // not inside a word
	left       bool // takes the spaces before it
	right      bool // and after it
}

// An addedText is what Decode knows of an added token.
type addedText struct {
	text    string
	special bool
}

// A matcher finds added tokens: at each place the longest, from left to right, without overlap.
type matcher struct {
	tokens []addedToken // by content
	first  [256]bool    // bytes that a token begins with
	only   int          // the byte that all of them begin with, or -1
	plain  bool         // some of them are not special
}

func newMatcher(tokens []addedToken) matcher {
	m := matcher{tokens: tokens, only: -1}
	slices.SortStableFunc(m.tokens, func(a, b addedToken) int { return strings.Compare(a.content, b.content) })
	// Two tokens with the same content are one; the library finds the one that was added first.
	m.tokens = slices.CompactFunc(m.tokens, func(a, b addedToken) bool { return a.content == b.content })
	for i, t := range m.tokens {
		m.first[t.content[0]] = true
		m.plain = m.plain || !t.special
		switch b := int(t.content[0]); {
		case i == 0:
			m.only = b
		case m.only != b:
			m.only = -1
		}
	}
	return m
}

// find returns the first match at or behind from.
func (m *matcher) find(s string, from int) (at int, token *addedToken) {
	for i := from; i < len(s); i++ {
		if m.only >= 0 {
			n := strings.IndexByte(s[i:], byte(m.only))
			if n < 0 {
				return len(s), nil
			}
			i += n
		} else if !m.first[s[i]] {
			continue
		}
		if t := m.longest(s[i:]); t != nil {
			return i, t
		}
	}
	return len(s), nil
}

// longest returns the longest token that s begins with. It narrows the sorted list byte by byte: a token that ends where
// the list stands is the first of what is left.
func (m *matcher) longest(s string) *addedToken {
	var found *addedToken
	list := m.tokens
	for depth := 0; len(list) > 0; depth++ {
		if len(list[0].content) == depth {
			found = &list[0]
			list = list[1:]
		}
		if depth == len(s) || len(list) == 0 {
			break
		}
		b := s[depth]
		lo, _ := slices.BinarySearchFunc(list, b, func(t addedToken, b byte) int { return int(t.content[depth]) - int(b) })
		list = list[lo:]
		hi := len(list)
		if b < 255 {
			hi, _ = slices.BinarySearchFunc(list, b+1, func(t addedToken, b byte) int { return int(t.content[depth]) - int(b) })
		}
		list = list[:hi]
	}
	return found
}

// split hands each part of s to yield: text between tokens with id -1, and tokens. Special tokens count only if special is
// set; otherwise they are text, though they still hide the tokens inside them.
func (m *matcher) split(c *classTable, s string, special bool, yield func(part string, id int32)) {
	if len(m.tokens) == 0 || !special && !m.plain {
		yield(s, -1)
		return
	}
	done := 0
	for from := 0; ; {
		start, t := m.find(s, from)
		if t == nil {
			break
		}
		end := start + len(t.content)
		from = end
		if t.special && !special || t.singleWord && !alone(c, s, start, end) {
			continue
		}
		if t.left {
			start = max(trimRight(c, s[:start]), done)
		}
		if t.right {
			end = c.run(s, end, space)
		}
		if done < start {
			yield(s[done:start], -1)
		}
		yield(s[start:max(start, end)], t.id)
		done = end
	}
	if done < len(s) || len(s) == 0 {
		yield(s[done:], -1)
	}
}

// alone reports that s[start:end] has no word's character beside it.
func alone(c *classTable, s string, start, end int) bool {
	if start > 0 {
		if r, _ := utf8.DecodeLastRuneInString(s[:start]); c.of(r)&word != 0 {
			return false
		}
	}
	if end < len(s) {
		if r, _ := utf8.DecodeRuneInString(s[end:]); c.of(r)&word != 0 {
			return false
		}
	}
	return true
}

// trimRight returns the length of s without the spaces at its end.
func trimRight(c *classTable, s string) int {
	for len(s) > 0 {
		r, n := utf8.DecodeLastRuneInString(s)
		if c.of(r)&space == 0 {
			break
		}
		s = s[:len(s)-n]
	}
	return len(s)
}
