package durable

import (
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

// Append opens a file to write at its end.
func (OS) Append(name string) (File, error) {
	return wrapFile(os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644))
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

// ReadFile returns a whole file.
func (OS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

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

// Stat describes a file or folder.
func (OS) Stat(name string) (Info, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return describe(fi), nil
}

func describe(fi os.FileInfo) Info {
	info := Info{Name: fi.Name(), Dir: fi.IsDir()}
	if !info.Dir {
		info.Size = fi.Size()
	}
	return info
}
