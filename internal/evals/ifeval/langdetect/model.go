package langdetect

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the profiles
	"encoding/binary"
	"io"
	"sync"
	"unicode"
	"unicode/utf8"
)

//go:embed profiles.bin.gz
var packed []byte

// An entry is the probability of an n-gram among those of its length in one language.
type entry struct {
	lang int32
	prob float64
}

// A model is what the profiles say, by n-gram.
type model struct {
	langs   []string
	index   map[uint64]int32 // n-gram by key to its number
	first   []int32          // the entries of n-gram g are entries[first[g]:first[g+1]]
	entries []entry

	ignored    map[rune]bool          // of Latin-1
	vietnamese map[rune]map[rune]rune // letter, mark: composed letter
	kanji      map[rune]rune          // character to the one that stands for its class
}

// load unpacks the profiles at the first call, in about 20 ms; most runs never ask for a language.
var load = sync.OnceValue(func() *model {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("langdetect: the embedded profiles are damaged: " + err.Error())
	}
	data, err := io.ReadAll(z)
	if err != nil {
		panic("langdetect: the embedded profiles are damaged: " + err.Error())
	}
	d := decoder(data)
	m := &model{ignored: map[rune]bool{}, vietnamese: map[rune]map[rune]rune{}, kanji: map[rune]rune{}}
	totals := make([][3]float64, d.int())
	for i := range totals {
		m.langs = append(m.langs, d.text())
		for n := range totals[i] {
			totals[i][n] = float64(d.int())
		}
	}
	grams := d.int()
	m.index = make(map[uint64]int32, grams)
	m.first = make([]int32, grams+1)
	for g := range grams {
		gram := []rune(d.text())
		m.index[key(gram)] = int32(g)
		for range d.int() {
			lang := d.int()
			m.entries = append(m.entries, entry{int32(lang), float64(d.int()) / totals[lang][len(gram)-1]})
		}
		m.first[g+1] = int32(len(m.entries))
	}
	for _, r := range d.text() {
		m.ignored[r] = true
	}
	letters, marks := []rune(d.text()), d.text()
	for _, letter := range letters {
		m.vietnamese[letter] = map[rune]rune{}
	}
	for _, mark := range marks {
		for i, composed := range []rune(d.text()) {
			m.vietnamese[letters[i]][mark] = composed
		}
	}
	for range d.int() {
		class := []rune(d.text())
		for _, r := range class {
			m.kanji[r] = class[0]
		}
	}
	return m
})

// A decoder reads the layout that reference/langdetect_profiles.py writes.
type decoder []byte

func (d *decoder) int() int {
	v, n := binary.Uvarint(*d)
	*d = (*d)[n:]
	return int(v)
}

func (d *decoder) text() string {
	n := d.int()
	s := string((*d)[:n])
	*d = (*d)[n:]
	return s
}

// key packs up to three characters of 21 bits.
func key(gram []rune) uint64 {
	var k uint64
	for _, r := range gram {
		k = k<<21 | uint64(r)
	}
	return k
}

// class maps a character to the one that the profiles were counted with. The ranges are Unicode blocks.
func (m *model) class(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		if r|0x20 < 'a' || r|0x20 > 'z' {
			return ' '
		}
	case r <= 0xff:
		if m.ignored[r] {
			return ' '
		}
	case r == 'ș': // with a comma below: to the cedilla that Romanian was long written with
		return 'ş'
	case r == 'ț':
		return 'ţ'
	case r == '\u06cc': // Persian yeh
		return '\u064a'
	case r >= 0x1ea0 && r <= 0x1eff: // Vietnamese
		return '\u1ec3'
	case r >= 0x2000 && r <= 0x206f: // punctuation
		return ' '
	case r >= 0x3040 && r <= 0x309f: // Hiragana
		return '\u3042'
	case r >= 0x30a0 && r <= 0x30ff: // Katakana
		return '\u30a2'
	case r >= 0x3100 && r <= 0x312f || r >= 0x31a0 && r <= 0x31bf: // Bopomofo
		return '\u3105'
	case r >= 0x4e00 && r <= 0x9fff:
		if c, ok := m.kanji[r]; ok {
			return c
		}
	case r >= 0xac00 && r <= 0xd7af: // Hangul
		return '\uac00'
	}
	return r
}

// isUpper is Python's str.isupper of one character.
func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'A' && r <= 'Z'
	}
	return unicode.IsUpper(r) || unicode.Is(unicode.Other_Uppercase, r)
}
