//go:build unix

package weights

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Map maps a regular file for reading and returns how to release it; an empty file gives no bytes. Pages are read when they are first touched, and the
// kernel may drop them again: a checkpoint larger than memory can be converted tensor by tensor.
func Map(path string) (b []byte, unmap func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // the mapping outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	case size == 0: // mmap refuses it; Parse says what is wrong
		return nil, func() error { return nil }, nil
	case int64(int(size)) != size:
		return nil, nil, fmt.Errorf("%s: %d bytes do not fit this machine's addresses", path, size)
	}
	b, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
