package tokenizer

import "math/bits"

// Most words of a text are among a few thousand, and most of those are short. The cache holds words of up to cacheKey bytes
// that became up to five tokens, each in the one slot that its bytes hash to: a word that is not there costs a merge and
// nothing else. What it holds depends on the vocabulary alone, so it changes no result.
const (
	cacheKey  = 16
	cacheBits = 14 // 16,384 slots of 40 bytes: they fit a core's second-level cache
)

type cached struct {
	lo, hi      uint64 // the word's bytes
	ids         [5]int32
	size, count uint8 // of the word in bytes, of the ids
}

// packKey returns 16 bytes that, with the length, stand for s: its first and last eight, overlapping where s is shorter.
func packKey(s string) (lo, hi uint64) {
	n := len(s)
	switch {
	case n >= 8:
		return load64(s), load64(s[n-8:])
	case n >= 4:
		return uint64(load32(s)) | uint64(load32(s[n-4:]))<<32, 0
	}
	return uint64(s[0]) | uint64(s[n/2])<<8 | uint64(s[n-1])<<16, 0
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func cacheSlot(lo, hi uint64, n int) uint64 {
	h := (lo ^ bits.RotateLeft64(hi, 29) ^ uint64(n)<<56) * 0x9E3779B97F4A7C15
	return (h ^ h>>32) * 0xD6E8FEB86659FD93 >> (64 - cacheBits)
}
