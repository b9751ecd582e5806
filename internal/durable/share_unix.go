//go:build unix

package durable

import (
	"fmt"
	"os"
	"syscall"
)

// Names returns how many names a file has.
func (OS) Names(name string) (int, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: the file system does not say how many names a file has", name)
	}
	return int(st.Nlink), nil
}
