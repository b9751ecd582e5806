package tokenizer

import (
	"bytes"
	"hash/maphash"
)

// A vocabulary holds the texts of tokens, which stay where they stand in the file: 16 bytes a token beside it.
type vocabulary struct {
	file  []byte
	extra []byte  // texts that the file writes with escapes
	at    []place // by id
	index []int32 // hash table of ids, with linear probing, at most half full; -1 is free
	n     int

	splits int // in how many ways tokens can be cut in two
}

// A place is where a text begins and ends in the file; behind its end, in extra.
type place struct{ start, end uint32 }

var nowhere = place{1, 0}

// seed differs from run to run, so that no file can be made to collide. It decides where tokens lie, not what they are.
var seed = maphash.MakeSeed()

// newVocabulary makes room for n tokens with ids below limit.
func newVocabulary(file []byte, n, limit int) *vocabulary {
	v := &vocabulary{file: file, at: make([]place, limit), index: make([]int32, max(2*n, 1))}
	for i := range v.at {
		v.at[i] = nowhere
	}
	for i := range v.index {
		v.index[i] = -1
	}
	return v
}

// bytes returns the text of a token.
func (v *vocabulary) bytes(id int32) ([]byte, bool) {
	if id < 0 || int(id) >= len(v.at) || v.at[id] == nowhere {
		return nil, false
	}
	p := v.at[id]
	if n := uint32(len(v.file)); p.start >= n {
		return v.extra[p.start-n : p.end-n], true
	}
	return v.file[p.start:p.end], true
}

// id returns the token of a text, or -1.
func (v *vocabulary) id(text []byte) int32 {
	slot := v.slot(maphash.Bytes(seed, text))
	for {
		id := v.index[slot]
		if id < 0 {
			return -1
		}
		if got, _ := v.bytes(id); bytes.Equal(got, text) {
			return id
		}
		if slot++; slot == len(v.index) {
			slot = 0
		}
	}
}

// idOf is id of a string.
func (v *vocabulary) idOf(text string) int32 {
	slot := v.slot(maphash.String(seed, text))
	for {
		id := v.index[slot]
		if id < 0 {
			return -1
		}
		if got, _ := v.bytes(id); string(got) == text {
			return id
		}
		if slot++; slot == len(v.index) {
			slot = 0
		}
	}
}

func (v *vocabulary) slot(hash uint64) int { return int((hash >> 32) * uint64(len(v.index)) >> 32) }

// add records a token that is not there yet. text is part of the file from start on, or, with start below 0, is copied.
func (v *vocabulary) add(text []byte, start int, id int32) {
	if start < 0 {
		start = len(v.file) + len(v.extra)
		v.extra = append(v.extra, text...)
	}
	v.at[id] = place{uint32(start), uint32(start + len(text))}
	slot := v.slot(maphash.Bytes(seed, text))
	for v.index[slot] >= 0 {
		if slot++; slot == len(v.index) {
			slot = 0
		}
	}
	v.index[slot] = id
	v.n++
	v.splits += len(text) + 1
}

// text returns the text of a token as a string.
func (v *vocabulary) text(id int32) (string, bool) {
	b, ok := v.bytes(id)
	return string(b), ok
}
