// Package durable writes files that survive a crash: a file appears whole under its name or not at all, and once a call
// has returned, a power cut does not take it back. It also has file locks that end with the process that holds them.
//
// Everything goes through FS, which has two implementations: OS is the machine's file system, Mem one in memory that
// knows what a crash would leave behind and fails on demand. Code above is tested on Mem at every moment a crash can hit.
package durable

import (
	"errors"
	"io"
	"io/fs"
)

// Errors of an FS. ErrLocked is returned by FS.Lock while somebody else holds the lock, ErrNotRegular where a name to be
// read or written is not a file: reading a pipe or a device can wait for ever, and a link leads out of the folder.
var (
	ErrLocked     = errors.New("held by another")
	ErrNotRegular = errors.New("instead of a file")
)

// An FS is what durable storage needs of a file system. Errors satisfy errors.Is with fs.ErrNotExist, fs.ErrExist and
// fs.ErrPermission where they apply. Implementations are safe for concurrent use.
type FS interface {
	// MkdirAll creates a folder and those above it. Like every change of names, it is durable after SyncDir of the folder above.
	MkdirAll(dir string) error
	// Create makes a new file for writing; it fails with fs.ErrExist where one exists. Nobody can open the file for writing
	// again: it is read-only from the start.
	Create(name string) (File, error)
	// CreateShared is Create for a file that people may change later.
	CreateShared(name string) (File, error)
	// Append opens a file to write at its end, creating it as needed.
	Append(name string) (File, error)
	// Rename gives a file another name in one step, replacing the file of that name.
	Rename(from, to string) error
	// Remove deletes a file or an empty folder.
	Remove(name string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Open opens a file for reading. Links are not followed, and what is no file is ErrNotRegular at once.
	Open(name string) (Reader, error)
	// ReadFile returns a whole file, as Open finds it.
	ReadFile(name string) ([]byte, error)
	// ReadDir lists a folder in the order of names.
	ReadDir(dir string) ([]Info, error)
	// Stat describes what has a name, a link itself and not what it leads to.
	Stat(name string) (Info, error)
	// Lock takes the lock file of that name, creating it as needed, or returns ErrLocked at once. The lock ends when its
	// process does, however that happens.
	Lock(name string, mode LockMode) (Lock, error)
}

// A File is written from its beginning to its end. What was written is durable after Sync.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// A Reader is a file that is read from its beginning.
type Reader interface {
	io.ReadCloser
	Size() int64 // bytes when it was opened
}

// An Info describes a file or folder.
type Info struct {
	Name  string // last element
	Dir   bool
	Size  int64  // bytes; 0 for what is no file
	Other string // what it is where neither a file nor a folder: "a link", "a pipe"
}

// Regular reports whether it is a file.
func (i Info) Regular() bool { return !i.Dir && i.Other == "" }

// What names what it is, with its article.
func (i Info) What() string {
	switch {
	case i.Other != "":
		return i.Other
	case i.Dir:
		return "a folder"
	}
	return "a file"
}

// A LockMode says with whom a lock is shared.
type LockMode int

// Shared locks exclude Exclusive ones only.
const (
	Shared LockMode = iota
	Exclusive
)

// A Lock is held until Unlock or the end of the process.
type Lock interface {
	// Downgrade makes an exclusive lock a shared one. Another may get in between.
	Downgrade() error
	// Unlock ends the lock and leaves its file.
	Unlock() error
	// Remove deletes the lock's file and ends the lock: for locks with names that do not come back. Those who opened the file
	// and wait for it notice and start again.
	Remove() error
}

// Exists reports whether a file or folder is there.
func Exists(fsys FS, name string) (bool, error) {
	_, err := fsys.Stat(name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	return false, err
}
