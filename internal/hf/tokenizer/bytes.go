package tokenizer

import "unicode/utf8"

// Byte-level BPE writes each byte as a printable character: those of Latin-1 that are printable stand for themselves, the
// other 68 bytes, in order, for U+0100 and on. So a vocabulary is text although its tokens are bytes.
var (
	byteRunes [256]rune
	runeBytes = map[rune]byte{}
)

func init() {
	next := rune(0x100)
	for b := range rune(256) {
		r := b
		if b < '!' || b > '~' && b < 0xA1 || b == 0xAD {
			r = next
			next++
		}
		byteRunes[b] = r
		runeBytes[r] = byte(b)
	}
}

// appendAlphabet appends s with each byte written as its character.
func appendAlphabet(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, byteRunes[s[i]])
	}
	return dst
}

// appendBytes appends the bytes that token stands for. A token with a character outside of the alphabet stands for its own
// text: added tokens do.
func appendBytes(dst []byte, token string) []byte {
	start := len(dst)
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return append(dst[:start], token...)
		}
		dst = append(dst, b)
	}
	return dst
}
