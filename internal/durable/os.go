package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// OS is the machine's file system.
type OS struct{}

// MkdirAll creates a folder and those above it.
func (OS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o755) }

// Create makes a new file that is read-only for everyone who opens it later.
func (OS) Create(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444))
}

// CreateShared makes a new file that its owner may write to later.
func (OS) CreateShared(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644))
}

// Append opens a file to write at its end.
func (OS) Append(name string) (File, error) {
	return wrapFile(openRegular(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND))
}

// wrapFile keeps a nil *os.File from becoming a File that is not nil.
func wrapFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename gives a file another name.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file or an empty folder.
func (OS) Remove(name string) error { return os.Remove(name) }

// openRegular opens a file and nothing else. It looks before it opens, since opening alone can make a device act, and
// again afterwards, since the name may have changed hands.
func openRegular(name string, flags int) (*os.File, error) {
	before, err := os.Lstat(name)
	if err == nil && !before.Mode().IsRegular() {
		return nil, notRegular(name, before)
	}
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || flags&os.O_CREATE == 0) {
		return nil, err
	}
	f, err := os.OpenFile(name, flags|openSafely, 0o644)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && !now.Mode().IsRegular() {
		err = notRegular(name, now)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func notRegular(name string, fi os.FileInfo) error {
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%s %w", describe(fi).What(), ErrNotRegular)}
}

// OpenNow opens what people name for reading, through links and whatever it is, but without waiting for the other end of a
// pipe: one that nobody writes to reads as empty. A shell's <(command) has its other end open.
func OpenNow(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDONLY|openAtOnce, 0) }

// osReader is an open file with the size that it had.
type osReader struct {
	*os.File
	size int64
}

func (r osReader) Size() int64 { return r.size }

// Open opens a file for reading.
func (OS) Open(name string) (Reader, error) {
	f, err := openRegular(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osReader{f, fi.Size()}, nil
}

// ReadFile returns a whole file.
func (o OS) ReadFile(name string) ([]byte, error) {
	f, err := o.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// ReadDir lists a folder.
func (OS) ReadDir(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(entries))
	for _, e := range entries {
		fi, err := e.Info()
		if os.IsNotExist(err) {
			continue // removed since the folder was read
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, describe(fi))
	}
	return infos, nil
}

// Stat describes what has a name.
func (OS) Stat(name string) (Info, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return describe(fi), nil
}

func describe(fi os.FileInfo) Info {
	info := Info{Name: fi.Name()}
	switch mode := fi.Mode(); {
	case mode.IsRegular():
		info.Size = fi.Size()
	case mode.IsDir():
		info.Dir = true
	case mode&fs.ModeSymlink != 0:
		info.Other = "a link"
	case mode&fs.ModeNamedPipe != 0:
		info.Other = "a pipe"
	case mode&fs.ModeSocket != 0:
		info.Other = "a socket"
	default:
		info.Other = "a device"
	}
	return info
}
