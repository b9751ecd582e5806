package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// A scanner returns the length of the first piece of s, which is not empty. The pieces of a text are what it returns for the
// text, then for the rest, and so on: the patterns below leave no character out.
//
// Each scanner is one regular expression written by hand. The order of its cases is that of the expression's alternatives,
// for the first that matches wins, not the longest.
type scanner func(c *classTable, s string) int

// The patterns of published tokenizers that have scanners.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanners finds the scanner of a pattern as it stands in tokenizer.json.
var scanners = map[string]scanner{
	patternGPT2:   scanGPT2,
	patternLlama3: func(c *classTable, s string) int { return scanCL100K(c, s, 3) },
	patternQwen2:  func(c *classTable, s string) int { return scanCL100K(c, s, 1) },
}

// scanGPT2 is patternGPT2.
func scanGPT2(c *classTable, s string) int {
	if s[0] == '\'' {
		if n := contraction(s, false); n > 0 {
			return n
		}
	}
	class, width := c.at(s, 0)
	i := width // where the run goes on
	if s[0] == ' ' && len(s) > 1 {
		if next, w := c.at(s, 1); next&space == 0 {
			class, i = next, 1+w // " ?" takes the space, and what follows it decides
		}
	}
	switch {
	case class&letter != 0:
		return c.run(s, i, letter)
	case class&number != 0:
		return c.run(s, i, number)
	case class&space == 0:
		return c.otherRun(s, i)
	}
	return spaces(c, s, i)
}

// scanCL100K is patternLlama3 with digits 3, and patternQwen2 with digits 1.
func scanCL100K(c *classTable, s string, digits int) int {
	if s[0] == '\'' {
		if n := contraction(s, true); n > 0 {
			return n
		}
	}
	class, width := c.at(s, 0)
	if class&letter != 0 {
		return c.run(s, width, letter)
	}
	if class&number != 0 {
		i := width
		for n := 1; n < digits && i < len(s); n++ {
			next, w := c.at(s, i)
			if next&number == 0 {
				break
			}
			i += w
		}
		return i
	}
	var next uint8
	var w int
	if len(s) > width {
		next, w = c.at(s, width)
	}
	if next&letter != 0 && s[0] != '\n' && s[0] != '\r' {
		return c.run(s, width+w, letter)
	}
	if class&space == 0 {
		return newlines(s, c.otherRun(s, width))
	}
	if s[0] == ' ' && w > 0 && next&(letter|number|space) == 0 {
		return newlines(s, c.otherRun(s, width+w))
	}
	end := c.run(s, width, space)
	for i := end; i > 0; i-- { // \s*[\r\n]+ ends at the last line break among the spaces
		if b := s[i-1]; b == '\n' || b == '\r' {
			return i
		}
	}
	return beforeWord(c, s, end)
}

// spaces ends \s+(?!\S)|\s+, whose first i bytes are a space.
func spaces(c *classTable, s string, i int) int { return beforeWord(c, s, c.run(s, i, space)) }

// beforeWord leaves the last of the spaces s[:end] to the word behind them, unless it is the only one or there is no word.
func beforeWord(_ *classTable, s string, end int) int {
	if end == len(s) {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(s[:end])
	if last == end {
		return end
	}
	return end - last
}

func newlines(s string, i int) int {
	for i < len(s) && (s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// contraction returns the length of the 's, 't, 're, 've, 'm, 'll or 'd at the start of s, and 0 if there is none. With fold,
// case does not count; the long s (U+017F) is then an s too, as it is for every engine that folds by Unicode.
func contraction(s string, fold bool) int {
	if len(s) < 2 {
		return 0
	}
	a := s[1]
	if fold {
		if a == 0xC5 && len(s) > 2 && s[2] == 0xBF {
			return 3
		}
		a = lower(a)
	}
	switch a {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v', 'l':
	default:
		return 0
	}
	if len(s) < 3 {
		return 0
	}
	b := s[2]
	if fold {
		b = lower(b)
	}
	if a == 'l' && b == 'l' || a != 'l' && b == 'e' {
		return 3
	}
	return 0
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// scanDigit is the Digits pre-tokenizer with individual_digits: each digit is a piece, and what lies between digits is one.
func scanDigit(c *classTable, s string) int {
	i := 0
	for i < len(s) {
		class, width := c.at(s, i)
		if class&numeric != 0 {
			if i == 0 {
				return width
			}
			return i
		}
		i += width
	}
	return i
}

// scanDigits is the Digits pre-tokenizer without individual_digits: runs of digits, and what lies between them.
func scanDigits(c *classTable, s string) int {
	if class, width := c.at(s, 0); class&numeric != 0 {
		return c.run(s, width, numeric)
	}
	return scanDigit(c, s)
}

// metaspace is how SentencePiece's vocabularies write a space.
const metaspace = "▁"

// scanMetaspace cuts before each run of metaspaces.
func scanMetaspace(_ *classTable, s string) int {
	i := 0
	for strings.HasPrefix(s[i:], metaspace) {
		i += len(metaspace)
	}
	if n := strings.Index(s[i:], metaspace); n >= 0 {
		return i + n
	}
	return len(s)
}
