// Package digest gives values their names: a canonical encoding and its SHA-256.
//
// The name of a value is the identity of everything the program computes: steps, objects and experiments are found by it
// years later, so the encoding never changes. Canonical says what it is; a change there orphans every store in the world.
package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// A Digest is the SHA-256 of some bytes. The zero Digest names nothing.
type Digest [sha256.Size]byte

// Bytes returns the digest of b.
func Bytes(b []byte) Digest { return sha256.Sum256(b) }

// Of returns the digest of the canonical encoding of v.
func Of(v any) (Digest, error) {
	b, err := Canonical(v)
	if err != nil {
		return Digest{}, err
	}
	return Bytes(b), nil
}

// Parse reads the 64 hexadecimal digits that String writes. Upper case is refused: a digest has one spelling, also as
// a file name.
func Parse(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) {
		return d, fmt.Errorf("digest %q: %d characters, want %d", abbreviate(s), len(s), hex.EncodedLen(len(d)))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Digest{}, fmt.Errorf("digest %q: character %d is not a lower-case hexadecimal digit", s, i+1)
		}
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// String returns the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hexadecimal digits, enough for people to tell digests apart.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes what String returns.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what String returns.
func (d *Digest) UnmarshalText(text []byte) error {
	p, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = p
	return nil
}

// A Hash computes the digest of what is written to it.
type Hash struct{ h hash.Hash }

// NewHash returns a Hash of nothing yet.
func NewHash() *Hash { return &Hash{sha256.New()} }

// Write adds p. It never returns an error.
func (h *Hash) Write(p []byte) (int, error) { return h.h.Write(p) }

// Sum returns the digest of everything written so far.
func (h *Hash) Sum() Digest {
	var d Digest
	h.h.Sum(d[:0])
	return d
}

func abbreviate(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
